"""What a partially observed environment is: functions on arrays, with gymnax 1.0's signature.

    obs, state = env.reset(key, params)
    obs, state, reward, terminated, truncated, info = env.step(key, state, action, params)

`step` resets by itself in the same step: where an episode ended, `obs` is the first one of the next
episode, and `info["final_observation"]` is the true last one of the episode that ended. `terminated` and
`truncated` stay apart.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from throughtime.core import ConfigError, select_rows
from throughtime.envs.drawing import Drawing
from throughtime.envs.instruction_layout import InstructionLayout
from throughtime.envs.linear_gaussian import LinearGaussian

State = TypeVar("State")
Params = TypeVar("Params")


@dataclass(frozen=True)
class Discrete:
    """The integers 0 … n−1."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        """`()`: one integer."""
        return ()

    @property
    def choices(self) -> tuple[int, ...]:
        """Entries of an action mask: `(n,)`."""
        return (self.n,)


@dataclass(frozen=True)
class Box:
    """Real arrays of `shape`, each element between `low` and `high`."""

    low: float
    high: float
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MultiDiscrete:
    """K integers side by side, the k-th of them 0 … sizes[k]−1."""

    sizes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """`(K,)`."""
        return (len(self.sizes),)

    @property
    def choices(self) -> tuple[int, ...]:
        """Entries of an action mask, of each of the K."""
        return self.sizes


Space = Discrete | MultiDiscrete | Box


class Tables(NamedTuple):
    """A finite POMDP in full (float64): what an exact solver needs. S states, A actions, O observations.

    `initial` and the belief after a step follow Cassandra's order: act, move, observe. A time limit that
    truncates is not part of it.
    """

    initial: np.ndarray  # [S], the distribution of the first state
    transition: np.ndarray  # [S, A, S'], P(s' | s, a)
    observation: np.ndarray  # [A, S', O], P(o | a, s')
    reward: np.ndarray  # [S, A], the expected reward
    terminal: np.ndarray  # [S, A] bool, whether the episode terminates with this step
    first_observation: np.ndarray  # [S, O], P(o_0 | s_0)
    observations: np.ndarray  # [O, ...], each observation as the agent sees it


@dataclass(frozen=True)
class Environment(ABC, Generic[State, Params]):
    """A POMDP. Subclasses are frozen dataclasses: hashable, so that jit takes them as static.

    Fields fix shapes and semantics (a corridor's length); `params` holds numbers that may vary without
    recompiling.

    A subclass implements `default_params`, `observation_space`, `action_space`, `reset_env`, `step_env`,
    `is_truncated`, `hidden_state`, and tells its ceilings: `optimal_return`, `memoryless_return` (None
    where unknown), `required_lag`. Where `step_env` draws nothing at random it sets `stochastic_step =
    False`, and no step then pays for a key.
    """

    stochastic_step: ClassVar[bool] = True

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which the registry knows it."""

    @property
    @abstractmethod
    def default_params(self) -> Params:
        """The numbers of the published definition."""

    @property
    @abstractmethod
    def observation_space(self) -> Box:
        """The space of one observation."""

    @property
    @abstractmethod
    def action_space(self) -> Space:
        """The space of one action."""

    @property
    def action_mask(self) -> bool:
        """Whether the last A numbers of the (flat) observation say which discrete actions are allowed now.

        A is the sum of the action space's `choices`; 1 allows, 0 forbids; at least one (of several actions side by side
        one of each) is allowed wherever an action is asked for.
        Every agent that chooses discrete actions then takes allowed ones alone.
        """
        return False

    @abstractmethod
    def reset_env(self, key: PRNGKeyArray, params: Params) -> tuple[Array, State]:
        """A new episode: its first observation and state."""

    @abstractmethod
    def step_env(
        self, key: PRNGKeyArray, state: State, action: Array, params: Params
    ) -> tuple[Array, State, Array, Array, dict[str, Any]]:
        """One step without reset: observation, state, reward, terminated, info."""

    @abstractmethod
    def is_truncated(self, state: State, params: Params) -> Array:
        """Whether the time limit cut the episode at this state."""

    @abstractmethod
    def hidden_state(self, state: State) -> Array:
        """What the observation hides, a belief probe's target: an int32 class `[]`, or float32 `[...]`."""

    @property
    def discount(self) -> float:
        """The discount factor per step in which `optimal_return` and `memoryless_return` are counted."""
        return 1.0

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """A name for each number of the (flattened) observation, for reports."""
        size = math.prod(self.observation_space.shape)
        labels = mask_labels(self) if self.action_mask else ()
        return (*(f"observation {i}" for i in range(size - len(labels))), *labels)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """A name for each discrete action, or for each number of a continuous one, for reports."""
        space = self.action_space
        count = space.n if isinstance(space, Discrete) else math.prod(space.shape)
        return tuple(f"action {i}" for i in range(count))

    @property
    def optimal_return(self) -> float | None:
        """The mean return of the best policy with memory (`default_params`), or None where not known."""
        return None

    @property
    def memoryless_return(self) -> float | None:
        """The mean return of the best policy that sees only the present observation, or None."""
        return None

    @property
    def required_lag(self) -> int | None:
        """How many steps back an optimal policy has to remember, or None where there is no single number."""
        return None

    @property
    def max_episode_steps(self) -> int | None:
        """The most steps an episode can have, or None where it has no end."""
        return None

    @property
    def instruction_layout(self) -> InstructionLayout | None:
        """Where in the observation a sentence stands, and what is seen; None where nothing is said."""
        return None

    def expert(self, state: State) -> Array | None:
        """The action of an expert that sees the whole state, as the environment takes it; None where there is none."""
        del state
        return None

    @property
    def scored(self) -> "Environment[State, Params]":
        """The environment on whose episodes returns are measured: itself, unless a limit serves training only."""
        return self

    def tables(self) -> Tables | None:
        """The POMDP in full where it is finite and small, else None."""
        return None

    def linear_gaussian(self) -> LinearGaussian | None:
        """The POMDP in full where it is linear with Gaussian noise, else None."""
        return None

    def draw(self, state: State) -> Drawing | None:
        """A picture of `state`, what is hidden included; None where the environment has none.

        For people, outside of compiled programs; `draw_moment` adds what was seen, done and paid.

        Args:
            state: of one environment, without a batch; JAX or NumPy arrays.

        Returns:
            At most 78 columns.
        """
        del state
        return None

    def reset(self, key: PRNGKeyArray, params: Params | None = None) -> tuple[Array, State]:
        """A new episode.

        Args:
            key: for the random start.
            params: `default_params` where None.

        Returns:
            The first observation and the state.
        """
        return self.reset_env(key, self.default_params if params is None else params)

    def step(
        self, key: PRNGKeyArray, state: State, action: Array, params: Params | None = None
    ) -> tuple[Array, State, Array, Array, Array, dict[str, Any]]:
        """One step, with a reset in the same step where the episode ended.

        Args:
            key: for the step and the reset: split in two, in this order (where `stochastic_step` is false,
                the reset takes it whole).
            state: as `reset` or the last step returned it.
            action: one action (int32 scalar, int32 `[K]`, or float32 `[A]`).
            params: `default_params` where None.

        Returns:
            obs, state, reward (float32), terminated (bool), truncated (bool), info;
            `info["final_observation"]` is the observation before the reset (the same as `obs` inside an
            episode).
        """
        params = self.default_params if params is None else params
        key_step, key_reset = jax.random.split(key) if self.stochastic_step else (key, key)
        obs, next_state, reward, terminated, info = self.step_env(key_step, state, action, params)
        truncated = self.is_truncated(next_state, params)
        fresh = self.reset_env(key_reset, params)
        ended = jnp.logical_or(terminated, truncated)
        first_obs, next_state = select_rows(ended, fresh, (obs, next_state))
        return first_obs, next_state, reward, terminated, truncated, {**info, "final_observation": obs}


def mask_size(env: Environment) -> int:
    """Entries of the action mask at the end of an environment's observation; 0 where it has none.

    Raises:
        ConfigError: a mask of actions that cannot be counted, or one that is no part of the observation.
    """
    if not env.action_mask:
        return 0
    space, size = env.action_space, math.prod(env.observation_space.shape)
    if isinstance(space, Box):
        raise ConfigError(
            f"{env.name} has an action mask, and its actions are a Box.",
            "A mask says of each discrete action whether it is allowed.",
            "Leave action_mask out, or make the actions Discrete or MultiDiscrete.",
        )
    if size < (entries := sum(space.choices)):
        raise ConfigError(
            f"{env.name}: the observation has {size} numbers, its action mask would have {entries}.",
            "The mask is the last part of the (flat) observation, behind what is seen.",
            "Append it to the observation, and count it in observation_space.",
        )
    return entries


def mask_labels(env: Environment) -> tuple[str, ...]:
    """A name for each entry of an action mask, from the names of the actions."""
    space = env.action_space
    if isinstance(space, MultiDiscrete):
        pairs = zip(env.action_labels, space.sizes, strict=True)
        return tuple(f"may {label} = {i}" for label, n in pairs for i in range(n))
    return tuple(f"may {label}" for label in env.action_labels)
