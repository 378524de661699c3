"""What a planner is: it looks for the next action of one episode by imagining in a world model.

A planner sees one episode, a state with a batch of one, and makes its own batch of candidates from it. Many episodes
are planned for by `jax.vmap`. Noise comes from the key alone, so the same state, plan and key give the same action.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError, pad_right
from throughtime.envs import Box, Space
from throughtime.rl import ActionDistribution
from throughtime.world.model import WorldModel

TerminalValue = Callable[[Any], Float[Array, " N"]]
"""V(state) `[N]` of model states, leaves `[N, ...]`: the expected discounted return from there on."""


class Planned(NamedTuple):
    """What a planner decided."""

    distribution: (
        ActionDistribution  # of the next action, no batch; continuous ones in units where the range is [-1, 1]
    )
    value: Float[Array, ""]  # the discounted return that the plan promises; not finite where every rollout was not
    plan: Any  # what the next call begins with, moved on by one step


class Planner(eqx.Module):
    """A search for the next action in a model of an environment.

    Subclasses say in `check` which action spaces they search.
    """

    discount: eqx.AbstractVar[float]

    @abstractmethod
    def check(self, space: Space) -> None:
        """Refuses action spaces that this planner does not search.

        Raises:
            ConfigError: which planner does.
        """

    @abstractmethod
    def no_plan(self, space: Space) -> Any:
        """What the first step of an episode begins with, a tree of arrays (without a batch)."""

    @abstractmethod
    def __call__(self, model: WorldModel, state: Any, plan: Any, key: PRNGKeyArray) -> Planned:
        """The next action of one episode.

        Args:
            model: imagines.
            state: of `model.observe`, leaves `[1, ...]`.
            plan: of `no_plan` or of the last call.
            key: of all that is drawn.
        """


def imagined_returns(
    model: WorldModel,
    state: Any,
    actions: Array,
    key: PRNGKeyArray,
    *,
    discount: float,
    terminal_value: TerminalValue | None = None,
) -> Float[Array, " N"]:
    """Discounted returns of action sequences, in expectation over whether the episode goes on.

        G = Σ_{h=0}^{H−1} γ^h (Π_{j<h} c_{j+1}) r_{h+1} + γ^H (Π_{j<H} c_{j+1}) V(s_H)

    r_{h+1} and c_{h+1} are what `imagine` tells of a_h: the reward of the step that ends an episode counts, what would
    come after it does not, be it NaN. A continuation that is NaN is no end.

    Args:
        model: imagines.
        state: s_0, leaves `[N, ...]`.
        actions: a_0 … a_{H−1} as the environment takes them, `[H, N, ...]`.
        key: draws latents.
        discount: γ.
        terminal_value: V; None for zero.

    Returns:
        G; −inf where it is not finite, so that no search follows a model that has blown up.
    """

    def body(carry: Any, inputs: Any) -> tuple[Any, None]:
        state, alive, total = carry
        action, key = inputs
        state, reward, goes_on = model.imagine(state, action, key)
        happens = alive != 0
        total = total + jnp.where(happens, alive * reward, 0.0)
        return (state, jnp.where(happens, discount * alive * goes_on, 0.0), total), None

    N = actions.shape[1]
    keys = jax.random.split(key, actions.shape[0])
    (state, alive, total), _ = jax.lax.scan(body, (state, jnp.ones(N), jnp.zeros(N)), (actions, keys))
    value = jnp.zeros(N) if terminal_value is None else terminal_value(state)
    total = total + jnp.where(alive != 0, alive * value, 0.0)
    return jnp.where(jnp.isfinite(total), total, -jnp.inf)


def repeat_rows(state: Any, times: int) -> Any:
    """Each row of a state `times` times, the copies side by side."""
    return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), state)


def within_bounds(space: Box, action: Array) -> Array:
    """Continuous actions in units where the range is [-1, 1], clipped to it → as the environment takes them."""
    middle, half = 0.5 * (space.high + space.low), 0.5 * (space.high - space.low)
    return middle + half * jnp.clip(action, -1.0, 1.0)


def average_elites(
    values: Float[Array, "N *shape"], returns: Float[Array, " N"], elites: int
) -> tuple[Array, Array, Array]:
    """Mean and standard deviation of the candidates with the greatest returns, and the mean of these returns.

    Candidates whose return is −inf are never among them; where all are, the third result is NaN.
    """
    best, chosen = jax.lax.top_k(returns, elites)
    weight = jnp.isfinite(best).astype(values.dtype)
    count = jnp.sum(weight)
    weight = weight / jnp.maximum(count, 1.0)
    picked, w = values[chosen], pad_right(weight, values.ndim)
    mean = jnp.sum(w * picked, axis=0)
    deviation = jnp.sqrt(jnp.sum(w * (picked - mean[None]) ** 2, axis=0))
    promised = jnp.where(count > 0, jnp.sum(jnp.where(weight > 0, weight * best, 0.0)), jnp.nan)
    return mean, deviation, promised


def check_counts(name: str, **counts: int) -> None:
    """Refuses sizes below one.

    Raises:
        ConfigError: the first of them.
    """
    for field, n in counts.items():
        if n < 1:
            raise ConfigError(f"{name}: {field} = {n}", "A search needs at least one.", f"Give {field} 1 or more.")


def check_share(name: str, field: str, x: float, *, low: float = 0.0, high: float = 1.0) -> None:
    """Refuses numbers outside of [low, high].

    Raises:
        ConfigError: what was given.
    """
    if not low <= x <= high:
        raise ConfigError(f"{name}: {field} = {x}", "", f"Give {field} between {low:g} and {high:g}.")
