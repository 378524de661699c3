"""The exact value of a policy with memory on a finite POMDP, without sampling.

A deterministic policy with memory is a controller: each memory state says an action, and each observation leads to
the next memory state. All memory states that can be reached are enumerated; two that differ by less than `tolerance`
in every number, and say the same action, are taken as one node. The value of the resulting finite-state controller
follows from one linear system over nodes × hidden states (Hansen 1998, "Solving POMDPs by searching in policy
space"). Merging is the only approximation: a smaller tolerance gives more nodes, and the value has to stay.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import spsolve

from throughtime.agents import Policy
from throughtime.core import ConfigError
from throughtime.envs import Environment, Tables

WIDTH = 256  # memory states that are stepped together


class ExactValue(NamedTuple):
    """What the policy is worth from the start of an episode."""

    value: float  # expected discounted return; no time limit
    nodes: int  # memory states after merging
    open_probability: float  # discounted probability of histories cut off at `max_nodes` (0: all was enumerated)


def exact_value(policy: Policy, env: Environment, *, tolerance: float = 1e-3, max_nodes: int = 20_000) -> ExactValue:
    """The expected discounted return of a policy that takes its most probable action.

    Args:
        policy: reads observations, and its previous action where it was trained to; not previous rewards.
        env: a finite POMDP, one whose `tables()` are known. Its time limit is left out, as in the tables.
        tolerance: memory states that differ less than this in every number are one node.
        max_nodes: where to stop; histories beyond count as worth the least that is possible.

    Raises:
        ConfigError: no tables, a discount of 1 without an end, or a policy that reads rewards.
    """
    tables = env.tables()
    if tables is None:
        raise ConfigError(
            f"{env.name} has no tables.", "Exact values need a finite POMDP.", "Sample: evaluate(policy, env)."
        )
    if policy.reads_previous_reward:
        raise ConfigError(
            "The policy reads rewards.", "Memory states then depend on them too.", "Use previous_action instead."
        )
    actions, successors, starts = _controller(policy, tables, tolerance, max_nodes)
    return _solve(tables, env.discount, actions, successors, starts)


def _controller(policy: Policy, tables: Tables, tolerance: float, max_nodes: int) -> tuple[Any, Any, Any]:
    """Enumerates memory states: each node's action, the node after each observation (−1: cut off), the first nodes."""
    observations = jnp.asarray(tables.observations, jnp.float32)
    num_obs = len(observations)

    @jax.jit
    def step(states: Any, rows: jax.Array, first: bool):
        states = jax.tree.map(lambda x: jnp.repeat(x, num_obs, axis=0), states)
        n = rows.shape[0]
        states, actions = policy.act(states, rows, jnp.broadcast_to(first, (n,)))
        flat = [jnp.asarray(leaf, jnp.float32).reshape(n, -1) for leaf in jax.tree.leaves(states)]
        return states, actions, jnp.concatenate([jnp.zeros((n, 0)), *flat], axis=1)

    def expand(states: Any, first: bool):
        return jax.device_get(step(states, jnp.tile(observations, (WIDTH, *([1] * (observations.ndim - 1)))), first))

    known = _Nodes(tolerance)
    states, actions, vectors = expand(policy.initial_state(WIDTH), True)
    starts = [-1] * num_obs
    for o in np.flatnonzero(np.any(tables.first_observation > 0, axis=0)):
        starts[o] = known.add(vectors[o], int(actions[o]), jax.tree.map(lambda x, o=o: x[o], states))
    successors: list[list[int]] = []
    while len(successors) < len(known.actions) and len(known.actions) <= max_nodes:
        batch = known.states[len(successors) : len(successors) + WIDTH]
        padded = batch + [batch[-1]] * (WIDTH - len(batch))
        states, actions, vectors = expand(jax.tree.map(lambda *x: np.stack(x), *padded), False)
        for i in range(len(batch)):
            row = []
            for o in range(num_obs):
                j = i * num_obs + o
                state = jax.tree.map(lambda x, j=j: x[j], states)
                # No need to follow what cannot be observed after this action.
                possible = np.any(tables.observation[known.actions[len(successors)], :, o] > 0)
                row.append(known.add(vectors[j], int(actions[j]), state) if possible else -1)
            successors.append(row)
    cut = [[-1] * O] * (len(known.actions) - len(successors))
    return np.asarray(known.actions), np.asarray(successors + cut).reshape(-1, num_obs), np.asarray(starts)


class _Nodes:
    """Memory states found so far; near ones that say the same action are one."""

    def __init__(self, tolerance: float):
        self.tolerance, self.actions, self.states = tolerance, [], []
        self._vectors: np.ndarray | None = None  # [room, action and memory state], doubled where it is full

    def add(self, vector: np.ndarray, action: int, state: Any) -> int:
        # Actions are whole numbers: as one more coordinate they keep states that act differently apart.
        vector = np.append(np.float32(action), vector)
        count = len(self.actions)
        if self._vectors is None:
            self._vectors = np.zeros((64, len(vector)), np.float32)
        near = np.flatnonzero(np.max(np.abs(self._vectors[:count] - vector), axis=1, initial=0.0) <= self.tolerance)
        if len(near):
            return int(near[0])
        if count == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._vectors[count] = vector
        self.actions.append(action)
        self.states.append(state)
        return count


def _solve(
    tables: Tables,
    discount: float,
    actions: np.ndarray,
    successors: np.ndarray,
    starts: np.ndarray,
) -> ExactValue:
    """V(n, s) = R(s, a) + γ Σ_{s', o} P(s' | s, a) P(o | a, s') V(n', s'), and the same for what is cut off."""
    S, N, num_obs = len(tables.initial), len(actions), successors.shape[1]
    rows, columns, weights = [], [], []
    reward, cut = np.zeros((N, S)), np.zeros((N, S))
    for n, a in enumerate(actions):
        alive = ~tables.terminal[:, a]
        reward[n] = tables.reward[:, a]
        for o in range(num_obs):
            joint = discount * alive[:, None] * tables.transition[:, a] * tables.observation[a, :, o][None]  # [S, S']
            if successors[n, o] < 0:
                cut[n] += joint.sum(axis=1)
                continue
            s, t = np.nonzero(joint)
            rows.append(n * S + s)
            columns.append(successors[n, o] * S + t)
            weights.append(joint[s, t])
    indices = tuple(np.concatenate(x) if x else np.zeros(0, int) for x in (rows, columns))
    data = np.concatenate(weights) if weights else np.zeros(0)
    system = (eye_array(N * S) - coo_array((data, indices), shape=(N * S, N * S))).tocsc()
    worst = float(tables.reward.min()) / (1.0 - discount) if discount < 1.0 else float("-inf")
    open_end = np.where(cut > 0, cut, 0.0)
    value = spsolve(system, (reward + np.where(open_end > 0, open_end * worst, 0.0)).ravel()).reshape(N, S)
    cut_off = spsolve(system, open_end.ravel()).reshape(N, S)
    start = tables.initial[:, None] * tables.first_observation  # [S, O]
    total = sum(float(start[:, o] @ value[n]) for o, n in enumerate(starts) if n >= 0)
    missed = sum(float(start[:, o] @ cut_off[n]) for o, n in enumerate(starts) if n >= 0)
    return ExactValue(total, N, missed)
