"""Planning by sparse sampling: a tree of a fixed width, closed-loop, for discrete actions.

Each node of the tree is a state of the model, and so a belief about the environment. From it every action is tried,
each with a few draws of what may come of it, and the best action is chosen *after* that is known:

    Q(s, a) = mean over draws of r + γ c max_a' Q(s', a')

A model's `imagine` draws what the next observation would tell (its stochastic latent), so a tree over its states is
closed-loop: it knows the worth of looking. How much work it takes does not depend on the number of states.

Each action of each node has draws of its own, whose errors average out over the tree; but where there is one draw of
each, the best of many actions is often the luckiest one, and a value fitted to what searches promise (`state_value`)
promises more with each round. With `common_draws` all nodes and actions of a depth have the same ones: nothing is luck,
and what little chance there is in a nearly deterministic model does not look like a difference between actions.

Reference: Kearns, Mansour & Ng 2002, "A sparse sampling algorithm for near-optimal planning in large Markov decision
processes", with a width for each depth (their section 6 lets it shrink); Ng & Jordan 2000, "PEGASUS", for searching
with all draws fixed.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs import Space
from throughtime.rl import Categorical, forbid
from throughtime.world.model import WorldModel
from throughtime.world.planning.cross_entropy import check_discrete
from throughtime.world.planning.planner import (
    Planned,
    Planner,
    TerminalValue,
    check_counts,
    check_share,
    repeat_rows,
)

MOST_LEAVES = 1_000_000


class SparseSampling(Planner):
    """A full tree over actions, with `widths[h]` draws of the outcome of each at depth h.

    In a deterministic model widths of 1 enumerate all action sequences.

    Args:
        widths: draws at each depth; its length is the depth. The tree has Π (A · widths[h]) leaves.
        discount: γ.
        terminal_value: V(state at a leaf), or None for zero.
        common_draws: gives all nodes and actions of a depth the same draws.
        temperature: τ of softmax(Q / τ), the distribution that is told; its mode is the best action.

    Raises:
        ConfigError: no depth, or a tree that is too large.
    """

    widths: tuple[int, ...] = eqx.field(static=True, default=(4, 4, 2, 2))
    discount: float = eqx.field(static=True, default=0.99)
    terminal_value: TerminalValue | None = None
    temperature: float = eqx.field(static=True, default=1e-2)
    common_draws: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_counts("SparseSampling", depth=len(self.widths), **{f"widths[{h}]": n for h, n in enumerate(self.widths)})
        check_share("SparseSampling", "discount", self.discount)
        check_share("SparseSampling", "temperature", self.temperature, low=1e-6, high=1e6)

    def check(self, space: Space) -> None:
        """One discrete action, and not too many leaves."""
        check_discrete("SparseSampling", space)
        leaves = math.prod(getattr(space, "n", 1) * n for n in self.widths)
        if leaves > MOST_LEAVES:
            raise ConfigError(
                f"widths = {self.widths} make a tree of {leaves:,} leaves.",
                f"Each is a state of the model; {MOST_LEAVES:,} are the most.",
                "Give fewer or smaller widths, or take UCT, which grows its tree where it is worth it.",
            )

    def no_plan(self, space: Space) -> tuple[()]:
        """Nothing: every search is a new one."""
        del space
        return ()

    def __call__(self, model: WorldModel, state: Any, plan: tuple[()], key: PRNGKeyArray) -> Planned:
        """The action values at the root."""
        q = self.action_values(model, state, key)
        best, finite = jnp.max(q), forbid(q, jnp.isfinite(q))
        return Planned(Categorical((finite - jnp.max(finite)) / self.temperature), best, plan)

    def action_values(self, model: WorldModel, state: Any, key: PRNGKeyArray) -> Float[Array, " A"]:
        """Q of each action in a state with leaves `[1, ...]`; −inf for one whose imagined returns are not finite."""
        A = getattr(model.action_space, "n", 1)
        levels = []
        for width, key_level in zip(self.widths, jax.random.split(key, len(self.widths)), strict=True):
            nodes = jax.tree.leaves(state)[0].shape[0]
            actions = jnp.tile(jnp.repeat(jnp.arange(A, dtype=jnp.int32), width), nodes)
            state, reward, goes_on = self._imagine(model, repeat_rows(state, A * width), actions, width, key_level)
            levels.append((reward.reshape(nodes, A, width), goes_on.reshape(nodes, A, width)))
        leaves = levels[-1][0].size
        value = jnp.zeros(leaves) if self.terminal_value is None else self.terminal_value(state)
        q = jnp.zeros((1, A))
        for reward, goes_on in reversed(levels):
            # What follows an end counts nothing, be it NaN; a continuation that is NaN is a NaN.
            after = jnp.where(goes_on == 0, 0.0, self.discount * goes_on * value.reshape(reward.shape))
            q = jnp.mean(reward + after, axis=2)
            q = jnp.where(jnp.isfinite(q), q, -jnp.inf)
            value = jnp.max(q, axis=1)
        return q[0]

    def _imagine(self, model: WorldModel, rows: Any, actions: Array, width: int, key: PRNGKeyArray) -> Any:
        """The outcomes of all rows of a depth, the `width` draws of each action of each node side by side."""
        if not self.common_draws:
            return model.imagine(rows, actions, key)
        apart = jax.tree.map(lambda x: x.reshape(-1, width, *x.shape[1:]), (rows, actions))
        out = jax.vmap(lambda rows, actions: model.imagine(rows, actions, key))(*apart)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)
