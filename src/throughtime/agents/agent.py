"""What a run asks of an agent, whatever its algorithm."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.agents.network import NetworkState
from throughtime.agents.policy import Policy
from throughtime.agents.preflight import FAULT_NONE, Fault
from throughtime.agents.rollout import Actors
from throughtime.envs import Environment
from throughtime.gradients import Guard


@runtime_checkable
class AlgorithmConfig(Protocol):
    """The settings of one algorithm: a frozen dataclass, a table of `config.toml`."""

    @property
    def num_envs(self) -> int:
        """Environments stepped together (B)."""
        ...

    @property
    def rollout_length(self) -> int:
        """Steps of each environment in one iteration (T)."""
        ...

    @property
    def discount(self) -> float:
        """γ."""
        ...


@runtime_checkable
class AgentState(Protocol):
    """All that a checkpoint has to hold for a run to go on bit for bit: a NamedTuple of arrays, these among them."""

    @property
    def policy(self) -> Policy:
        """What acts."""
        ...

    @property
    def guard(self) -> Guard:
        """Counts updates and those that were skipped."""
        ...

    @property
    def actors(self) -> Actors:
        """The environments, in the middle of their episodes."""
        ...

    @property
    def key(self) -> PRNGKeyArray:
        """Of the next iteration."""
        ...

    @property
    def iteration(self) -> Int[Array, ""]:
        """Iterations done."""
        ...

    def _replace(self, **changes: Any) -> Any:
        """A copy with some fields changed."""
        ...


@runtime_checkable
class Metrics(Protocol):
    """A NamedTuple of what one iteration measured; those that every algorithm has."""

    @property
    def episodes(self) -> Array:
        """That ended in this iteration."""
        ...

    @property
    def episode_return(self) -> Array:
        """Their mean; NaN where none ended."""
        ...

    @property
    def episode_length(self) -> Array:
        """Their mean; NaN where none ended."""
        ...

    def _asdict(self) -> dict[str, Array]:
        """All of them by name."""
        ...


class Words(NamedTuple):
    """How an agent's faults are told to people."""

    forward: tuple[str, ...]  # what the guard watches of the forward pass, in the order of its flags
    replayed: str  # what the preflight compares, e.g. "log-probabilities or values"
    broken: str  # what a failed preflight would do to training
    calmer: str  # what to do about gradients that are not finite


class Learning(NamedTuple):
    """What the gradient microscope looks at: sequences, and the loss of what the towers put out of them."""

    starts: NetworkState  # [N, ...]
    inputs: Float[Array, "k N I"]
    resets: Bool[Array, "k N"]
    loss: Callable[[Float[Array, "k N H"], Float[Array, "k N H"]], Float[Array, ""]]
    """Of the actor's features and the critic's (one tower: the same twice)."""


@runtime_checkable
class Agent(Protocol):
    """An algorithm on one environment: pure functions of an `AgentState`."""

    env: Environment
    words: Words

    @property
    def bptt_length(self) -> int:
        """Steps that gradients flow back through."""
        ...

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        ...

    def parameter_names(self, state: Any) -> list[str]:
        """Of what the guard watches, in its order."""
        ...

    def fresh_policy(self, key: PRNGKeyArray) -> Policy:
        """A policy before any update."""
        ...

    def init(self, seed: int | Array) -> Any:
        """A fresh `AgentState`, its policy `fresh_policy(policy_key(seed))`."""
        ...

    def with_new_episodes(self, state: Any) -> Any:
        """The same training at the start of new episodes, for environments that cannot be put back into old ones."""
        ...

    def run(
        self, state: Any, iterations: Int[Array, ""], total: Int[Array, ""], first: Int[Array, ""], buffer: int
    ) -> tuple[Any, Any, Int[Array, ""], Fault]:
        """Up to `iterations` iterations; stops early at a fault (see `run_iterations`)."""
        ...

    def learning(self, state: Any) -> Learning:
        """What the next iteration would learn from, for the gradient microscope; the state stays as it is."""
        ...


def policy_key(seed: int | Array) -> PRNGKeyArray:
    """The key of the first policy's weights in a training with that seed."""
    return jax.random.split(jax.random.key(seed), 3)[0]


def run_iterations(
    iterate: Callable[[Any], tuple[Any, Any, Fault]],
    choose: Callable[[Bool[Array, ""], Any, Any], Any],
    state: Any,
    iterations: Int[Array, ""],
    buffer: int,
) -> tuple[Any, Any, Int[Array, ""], Fault]:
    """Up to `iterations` iterations in one compiled loop; stops early at a fault.

    Args:
        iterate: one iteration: the state after it, its metrics, its fault.
        choose: `choose(good, after, before)`: the state after a good iteration, or after a faulty one what it was
            before (as far as a run that goes on from it is concerned).
        state: where to go on.
        iterations: how many, at most `buffer`.
        buffer: room for metrics (a static size).

    Returns:
        The state, the metrics `[buffer]` (the first `iterations` entries count), how many iterations were completed,
        and the fault.
    """
    shapes = jax.eval_shape(iterate, state)[1:]
    metrics = jax.tree.map(lambda s: jnp.zeros((buffer, *s.shape), s.dtype), shapes[0])
    fault = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[1])

    def more(carry):
        _, _, i, fault = carry
        return (i < iterations) & (fault.kind == FAULT_NONE)

    def body(carry):
        state, metrics, i, _ = carry
        after, row, fault = iterate(state)
        good = fault.kind == FAULT_NONE
        state = choose(good, after, state)
        metrics = jax.tree.map(lambda m, r: m.at[i].set(r), metrics, row)
        return state, metrics, i + good.astype(jnp.int32), fault

    return jax.lax.while_loop(more, body, (state, metrics, jnp.zeros((), jnp.int32), fault))
