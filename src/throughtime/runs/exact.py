"""The exact value of a policy with memory on a finite POMDP, without sampling.

A deterministic policy with memory is a controller: each memory state says an action, and each observation leads to the
next memory state. Memory states are enumerated from the start, the most probable histories first; states that say the
same action and differ by less than `tolerance` in every number are one node. The value of the finite-state controller
that results follows from one linear system over nodes × hidden states (Hansen 1998, "Solving POMDPs by searching in
policy space").

Merging is the only approximation. Once `max_nodes` are found, what is new goes to the nearest node that says the same
action; `ExactValue.stretched` says how much probability that concerned. A value is to be trusted where it stays when
`max_nodes` grows.
"""

import heapq
import itertools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import spsolve

from throughtime.core import ConfigError, real_numbers
from throughtime.envs import Environment, Tables

WIDTH = 64  # memory states that are stepped together


@runtime_checkable
class Actor(Protocol):
    """What can be scored: a `Policy`, or anything that acts as one."""

    @property
    def reads_previous_reward(self) -> bool:
        """Whether `act` needs the last reward."""
        ...

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first observation, leaves `[batch_size, ...]`."""
        ...

    def act(self, state: Any, observation: Array, reset: Array) -> tuple[Any, Array]:
        """The next state and the action of each row; jittable."""
        ...


class ExactValue(NamedTuple):
    """What the policy is worth from the start of an episode."""

    value: float  # expected discounted return; no time limit
    nodes: int  # memory states after merging
    stretched: float  # discounted probability of the steps that were merged beyond the tolerance; 0: none


class Controller(NamedTuple):
    """A policy as a finite-state machine: N nodes, O observations."""

    actions: Int[np.ndarray, " N"]
    successors: Int[np.ndarray, "N O"]  # −1: cannot be observed
    starts: Int[np.ndarray, " O"]  # the node after the first observation; −1: cannot be observed
    stretched: float  # as in ExactValue


def exact_value(policy: Actor, env: Environment, *, tolerance: float = 1e-2, max_nodes: int = 5_000) -> ExactValue:
    """The expected discounted return of a policy that takes its most probable action.

    Args:
        policy: reads observations, and its previous action where it was trained to; not previous rewards.
        env: a finite POMDP, one whose `tables()` are known. Its time limit is left out, as in the tables.
        tolerance: memory states that differ less than this in every number are one node.
        max_nodes: how many nodes are told apart, at least 1.

    Raises:
        ConfigError: no tables, or a policy that reads rewards.
    """
    tables = env.tables()
    if tables is None:
        raise ConfigError(f"{env.name} has no tables.", "Exact values need a finite POMDP.", "Sample episodes instead.")
    if policy.reads_previous_reward:
        raise ConfigError("The policy reads rewards.", "Its memory states depend on them too.", "Sample instead.")
    controller = extract_controller(policy, tables, env.discount, tolerance, max_nodes)
    return ExactValue(controller_value(controller, tables, env.discount), len(controller.actions), controller.stretched)


def extract_controller(policy: Actor, tables: Tables, discount: float, tolerance: float, max_nodes: int) -> Controller:
    """Enumerates the memory states of a policy, those of the most probable histories first.

    Args:
        policy: as for `exact_value`.
        tables: the POMDP.
        discount: γ, which weights later histories less.
        tolerance: as for `exact_value`.
        max_nodes: as for `exact_value`.
    """
    observations = jnp.asarray(tables.observations, jnp.float32)
    count = len(observations)
    rows = jnp.tile(observations, (WIDTH, *([1] * (observations.ndim - 1))))

    @jax.jit
    def step(states: Any, first: jax.Array):
        """Each of WIDTH states after each observation: states, actions and vectors, `[WIDTH · O, ...]`."""
        states = jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), states)
        states, actions = policy.act(states, rows, jnp.broadcast_to(first, (WIDTH * count,)))
        # Actions are whole numbers: as one more coordinate they keep states that act differently apart.
        leaves = [real_numbers(leaf) for leaf in (actions, *jax.tree.leaves(states))]
        return states, actions, jnp.concatenate(leaves, axis=1)

    def rows_of(tree: Any, i: int) -> Any:
        return jax.tree.map(lambda x: x[i], tree)

    nodes = _Nodes(tolerance, max_nodes)
    states, actions, vectors = jax.device_get(step(policy.initial_state(WIDTH), jnp.asarray(True)))
    belief = tables.initial[:, None] * tables.first_observation  # [S, O], the joint with the first observation
    starts = np.full(count, -1)
    for o in np.flatnonzero(belief.sum(axis=0)).tolist():
        starts[o] = nodes.add(vectors[o], actions[o], rows_of(states, o), belief[:, o])
    successors: list[np.ndarray] = []
    while nodes.queue:
        batch = [nodes.pop() for _ in range(min(WIDTH, len(nodes.queue)))]
        padded = [nodes.states[n] for n, _ in batch] + [nodes.states[0]] * (WIDTH - len(batch))
        states = jax.tree.map(lambda *x: jnp.stack(x), *padded)
        states, actions, vectors = jax.device_get(step(states, jnp.asarray(False)))
        for i, (n, reach) in enumerate(batch):
            a = nodes.actions[n]
            moved = (np.where(tables.terminal[:, a], 0.0, reach) @ tables.transition[:, a]) * discount  # [S']
            reached = moved[:, None] * tables.observation[a]  # [S', O]
            successors += [np.full(count, -1) for _ in range(len(nodes.actions) - len(successors))]
            # Only what can be seen here: memory states after other observations would crowd out those that matter.
            for o in np.flatnonzero(reached.sum(axis=0)).tolist():
                j = i * count + o
                if successors[n][o] < 0:
                    successors[n][o] = nodes.add(vectors[j], actions[j], rows_of(states, j), reached[:, o])
                else:
                    nodes.visit(int(successors[n][o]), reached[:, o])
    successors += [np.full(count, -1) for _ in range(len(nodes.actions) - len(successors))]
    return Controller(np.asarray(nodes.actions), np.stack(successors), starts, nodes.stretched)


def controller_value(controller: Controller, tables: Tables, discount: float) -> float:
    """V(n, s) = R(s, a_n) + γ Σ_{s', o} P(s' | s, a_n) P(o | a_n, s') V(n', s'), summed over the first observations.

    Args:
        controller: N nodes.
        tables: S hidden states.
        discount: γ; below 1, or every history terminates.
    """
    S, N = len(tables.initial), len(controller.actions)
    rows, columns, weights = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)]
    for n, a in enumerate(controller.actions):
        alive = np.where(tables.terminal[:, a], 0.0, discount)
        for o in np.flatnonzero(controller.successors[n] >= 0).tolist():
            successor = controller.successors[n, o]
            joint = alive[:, None] * tables.transition[:, a] * tables.observation[a, :, o][None]  # [S, S']
            s, t = np.nonzero(joint)
            rows.append(n * S + s)
            columns.append(successor * S + t)
            weights.append(joint[s, t])
    entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
    system = (eye_array(N * S) - coo_array(entries, shape=(N * S, N * S))).tocsc()
    reward = tables.reward[:, controller.actions].T  # [N, S]
    value = np.asarray(spsolve(system, reward.ravel())).reshape(N, S)
    start = tables.initial[:, None] * tables.first_observation
    return sum(float(start[:, o] @ value[n]) for o, n in enumerate(controller.starts) if n >= 0)


class _Nodes:
    """Memory states found so far, and a queue of those whose successors are not known, most probable first."""

    def __init__(self, tolerance: float, limit: int):
        self.tolerance, self.limit = tolerance, limit
        self.actions: list[int] = []
        self.states: list[Any] = []
        self.queue: list[tuple[float, int, int, np.ndarray]] = []
        self.stretched = 0.0
        self._support: list[np.ndarray] = []  # with which hidden states each node has been reached
        self._order = itertools.count()
        self._vectors: np.ndarray | None = None

    def add(self, vector: np.ndarray, action: Any, state: Any, reach: Float[np.ndarray, " S"]) -> int:
        """The node of a memory state, reached with discounted probability `reach` (joint with the hidden state)."""
        if self._vectors is None:
            self._vectors = np.zeros((self.limit, len(vector)), np.float32)
        count = len(self.actions)
        if count:
            distances = np.max(np.abs(self._vectors[:count] - vector), axis=1)
            distances[self._vectors[:count, 0] != vector[0]] = np.inf
            nearest = int(np.argmin(distances))
            full = count == self.limit and np.isfinite(distances[nearest])
            if distances[nearest] <= self.tolerance or full:
                self.stretched += float(reach.sum()) if distances[nearest] > self.tolerance else 0.0
                self.visit(nearest, reach)
                return nearest
        if count == self.limit:
            raise ConfigError(f"max_nodes = {self.limit} leaves no node for action {action}.", "", "Raise max_nodes.")
        self._vectors[count] = vector
        self.actions.append(int(action))
        self.states.append(state)
        self._support.append(np.zeros(len(reach), bool))
        self.visit(count, reach)
        return count

    def visit(self, node: int, reach: Float[np.ndarray, " S"]) -> None:
        """Queues a node where it is reached with hidden states that are new there: more may be observed then."""
        if (new := (reach > 0) & ~self._support[node]).any():
            self._support[node] |= new
            heapq.heappush(self.queue, (-float(reach.sum()), next(self._order), node, reach))

    def pop(self) -> tuple[int, np.ndarray]:
        """The most probable node whose successors are not known, and how it is reached."""
        _, _, node, reach = heapq.heappop(self.queue)
        return node, reach
