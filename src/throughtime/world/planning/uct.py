"""Planning by Monte-Carlo tree search: UCT over the states of a model, with progressive widening.

Each simulation walks from the root by upper confidence bounds until it imagines a state that is new, values it, and
tells everything on its way. A node is a state of the model, and so a belief: the tree is closed-loop, as in
`SparseSampling`, but grows deepest where it is worth it. Where outcomes are drawn from a continuum (or from many),
an action gets another outcome only as its visits grow, ⌈k · n^α⌉ of them after n visits.

References: Kocsis & Szepesvári 2006, "Bandit based Monte-Carlo planning" (UCT); Couëtoux et al. 2011, "Continuous
upper confidence trees" (progressive widening); Silver & Veness 2010, "Monte-Carlo planning in large POMDPs" (POMCP),
whose beliefs are particles, and Sunberg & Kochenderfer 2018, "Online algorithms for POMDPs with continuous state,
action, and observation spaces" (PFT-DPW), a tree over beliefs as here; Schrittwieser et al. 2020 (MuZero), appendix B,
for values scaled to the range that the search has seen.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs import Space
from throughtime.rl import Categorical
from throughtime.world.model import WorldModel
from throughtime.world.planning.cross_entropy import check_discrete
from throughtime.world.planning.planner import Planned, Planner, TerminalValue, check_counts, check_share


class _Tree(NamedTuple):
    """M nodes, A actions of each, up to C outcomes of each."""

    states: Any  # leaves [M, ...]
    child: Int[Array, "M A C"]
    reward: Float[Array, "M A C"]
    goes_on: Float[Array, "M A C"]
    outcomes: Int[Array, "M A"]  # how many of the C there are
    visits: Int[Array, "M A C"]
    q: Float[Array, "M A"]  # mean return; −inf where it was not finite
    low: Float[Array, ""]  # of the returns so far
    high: Float[Array, ""]


class _Walk(NamedTuple):
    """From the root to where a simulation ends."""

    node: Int[Array, ""]  # now
    depth: Int[Array, ""]  # edges behind it
    nodes: Int[Array, " D"]
    actions: Int[Array, " D"]
    picks: Int[Array, " D"]  # which outcome
    new: Bool[Array, ""]  # the last edge leads to a node that does not exist yet
    done: Bool[Array, ""]


class UCT(Planner):
    """Monte-Carlo tree search for discrete actions.

    Args:
        simulations: walks from the root, each adding at most one node.
        depth: edges of the longest walk.
        discount: γ.
        terminal_value: V of a new node, or None for zero: then only what was imagined counts.
        exploration: c of q̄(a) + c √(ln N / n_a), with q̄ in [0, 1] over the range of returns seen.
        widening: k; 1 with `exponent` 0 gives each action one outcome, which is all there is in a deterministic model.
        exponent: α.

    Raises:
        ConfigError: sizes that make no search.
    """

    simulations: int = eqx.field(static=True, default=256)
    depth: int = eqx.field(static=True, default=32)
    discount: float = eqx.field(static=True, default=0.99)
    terminal_value: TerminalValue | None = None
    exploration: float = eqx.field(static=True, default=1.0)
    widening: float = eqx.field(static=True, default=1.0)
    exponent: float = eqx.field(static=True, default=0.5)

    def __check_init__(self):
        check_counts("UCT", simulations=self.simulations, depth=self.depth)
        check_share("UCT", "discount", self.discount)
        check_share("UCT", "exploration", self.exploration, high=1e6)
        check_share("UCT", "widening", self.widening, low=1.0, high=1e6)
        check_share("UCT", "exponent", self.exponent)

    def check(self, space: Space) -> None:
        """One discrete action."""
        check_discrete("UCT", space)

    def no_plan(self, space: Space) -> tuple[()]:
        """Nothing: every search is a new one."""
        del space
        return ()

    def __call__(self, model: WorldModel, state: Any, plan: tuple[()], key: PRNGKeyArray) -> Planned:
        """Searches; the distribution is that of the visits of the root's actions."""
        A = getattr(model.action_space, "n", 1)
        tree = self._plant(state, A)

        def simulate(i: Array, tree: _Tree) -> _Tree:
            walk = self._select(tree)
            tree, leaf = self._expand(model, tree, walk, i + 1, jax.random.fold_in(key, i))
            return self._back_up(tree, walk, leaf)

        tree = jax.lax.fori_loop(0, self.simulations, simulate, tree)
        visits = jnp.sum(tree.visits[0], axis=1)
        best = jnp.argmax(jnp.where(jnp.isfinite(tree.q[0]), visits, -1))
        visits = jnp.where(jnp.isfinite(tree.q[0]), visits, 0).astype(jnp.float32)
        return Planned(Categorical(jnp.log(jnp.maximum(visits, 1e-6))), tree.q[0, best], plan)

    def _plant(self, state: Any, A: int) -> _Tree:
        M = self.simulations + 1
        C = max(1, math.ceil(self.widening * self.simulations**self.exponent))
        edges = (M, A, C)
        return _Tree(
            states=jax.tree.map(lambda x: jnp.zeros((M, *x.shape[1:]), x.dtype).at[0].set(x[0]), state),
            child=jnp.zeros(edges, jnp.int32),
            reward=jnp.zeros(edges),
            goes_on=jnp.zeros(edges),
            outcomes=jnp.zeros((M, A), jnp.int32),
            visits=jnp.zeros(edges, jnp.int32),
            q=jnp.zeros((M, A)),
            low=jnp.asarray(jnp.inf),
            high=jnp.asarray(-jnp.inf),
        )

    def _select(self, tree: _Tree) -> _Walk:
        """Down to an edge whose outcome is to be imagined, the end of an episode, or the greatest depth."""
        nothing, zero = jnp.zeros(self.depth, jnp.int32), jnp.zeros((), jnp.int32)
        no = jnp.zeros((), bool)

        def down(walk: _Walk) -> _Walk:
            n = walk.node
            visits = jnp.sum(tree.visits[n], axis=1).astype(jnp.float32)
            spread = jnp.where(tree.high > tree.low, tree.high - tree.low, 1.0)
            scaled = (tree.q[n] - jnp.where(jnp.isfinite(tree.low), tree.low, 0.0)) / spread
            known = jnp.maximum(visits, 1.0)
            bonus = self.exploration * jnp.sqrt(jnp.log(jnp.maximum(jnp.sum(visits), 1.0)) / known)
            a = jnp.argmax(jnp.where(visits > 0, scaled + bonus, jnp.inf)).astype(jnp.int32)
            there = tree.outcomes[n, a]
            room = jnp.minimum(self.widening * known[a] ** self.exponent, float(tree.child.shape[2]))
            new = there.astype(jnp.float32) < room
            existing = jnp.arange(tree.child.shape[2]) < there
            # Outcomes are draws of equal weight: all are gone to equally often.
            seldom = jnp.argmin(jnp.where(existing, tree.visits[n, a], jnp.iinfo(jnp.int32).max)).astype(jnp.int32)
            pick = jnp.where(new, there, seldom)
            d = walk.depth
            ends = new | (tree.goes_on[n, a, pick] <= 0) | (d + 1 >= self.depth)
            return _Walk(
                jnp.where(new, n, tree.child[n, a, pick]),
                d + 1,
                walk.nodes.at[d].set(n),
                walk.actions.at[d].set(a),
                walk.picks.at[d].set(pick),
                new,
                ends,
            )

        first = _Walk(zero, zero, nothing, nothing, nothing, no, no)
        return jax.lax.while_loop(lambda walk: ~walk.done, down, first)

    def _expand(
        self, model: WorldModel, tree: _Tree, walk: _Walk, i: Array, key: PRNGKeyArray
    ) -> tuple[_Tree, Float[Array, ""]]:
        """Imagines the new node, if there is one; the value of where the walk ends."""
        last = walk.depth - 1
        n, a, c = walk.nodes[last], walk.actions[last], walk.picks[last]
        here = jax.tree.map(lambda x: x[n][None], tree.states)
        after, reward, goes_on = model.imagine(here, a[None], key)
        old = jax.tree.map(lambda x: x[walk.node][None], tree.states)
        leaf = jax.tree.map(lambda x, y: jnp.where(walk.new, x, y), after, old)
        value = jnp.zeros(()) if self.terminal_value is None else self.terminal_value(leaf)[0]

        def put(x: Array, y: Array) -> Array:
            return x.at[n, a, c].set(jnp.where(walk.new, y, x[n, a, c]))

        tree = tree._replace(
            # Node i is written whether it is led to or not: nothing else ever is.
            states=jax.tree.map(lambda x, y: x.at[i].set(y[0]), tree.states, after),
            child=put(tree.child, i),
            reward=put(tree.reward, reward[0]),
            goes_on=put(tree.goes_on, goes_on[0]),
            outcomes=tree.outcomes.at[n, a].add(walk.new.astype(jnp.int32)),
        )
        return tree, value

    def _back_up(self, tree: _Tree, walk: _Walk, leaf: Float[Array, ""]) -> _Tree:
        """G = r + γ c G along the walk, from its end.

        A return that is not finite makes its own edge worth −inf, and others only where every action of a node is: one
        bad outcome does not spoil the way to the good ones beside it.
        """

        def up(j: Array, carry: tuple[_Tree, Array, Array]) -> tuple[_Tree, Array, Array]:
            tree, g, told = carry
            d = walk.depth - 1 - j
            n, a, c = walk.nodes[d], walk.actions[d], walk.picks[d]
            goes_on = tree.goes_on[n, a, c]
            # What follows an end counts nothing, be it NaN; a continuation that is NaN is a NaN.
            g = tree.reward[n, a, c] + jnp.where(goes_on == 0, 0.0, self.discount * goes_on * g)
            good = jnp.isfinite(g) & jnp.isfinite(tree.q[n, a])
            visits = tree.visits.at[n, a, c].add(told.astype(jnp.int32))
            count = jnp.maximum(jnp.sum(visits[n, a]), 1).astype(jnp.float32)
            q = jnp.where(good, tree.q[n, a] + (g - tree.q[n, a]) / count, -jnp.inf)
            q = tree.q.at[n, a].set(jnp.where(told, q, tree.q[n, a]))
            counts = told & good
            low = jnp.where(counts, jnp.minimum(tree.low, g), tree.low)
            high = jnp.where(counts, jnp.maximum(tree.high, g), tree.high)
            g = jnp.where(good, g, -jnp.inf)
            told = told & (good | jnp.all(jnp.isneginf(q[n])))
            return tree._replace(visits=visits, q=q, low=low, high=high), g, told

        return jax.lax.fori_loop(0, walk.depth, up, (tree, leaf, jnp.ones((), bool)))[0]
