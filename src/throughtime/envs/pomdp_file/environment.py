"""`pomdp:FILE`: an environment from a file in Cassandra's .POMDP format."""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment, Tables
from throughtime.envs.pomdp_file.ceilings import Ceilings, ceilings_of
from throughtime.envs.pomdp_file.model import NOTHING_YET, Model
from throughtime.envs.pomdp_file.parser import parse_model, read_bytes

PREFIX = "pomdp:"
LONGEST = 1_000

_MODELS: dict[str, Model] = {}  # by checksum: those that this process has parsed


class PomdpState(NamedTuple):
    """State and clock."""

    state: Int[Array, ""]  # its number in the file
    time: Int[Array, ""]  # steps since the reset


class PomdpParams(NamedTuple):
    """There are none: the file says everything."""


@dataclass(frozen=True)
class PomdpFile(Environment[PomdpState, PomdpParams]):
    """A finite POMDP as a .POMDP file defines it, discounted by the file's discount.

    Observations are one-hot over ("nothing yet", then the file's own). "Nothing yet" is only ever the first one: in
    the format an episode begins with an action, and the first observation follows it. The reward of a step is
    R(a, s, s', o) of what happened, with costs negated.

    An episode terminates with the step after which nothing more is to be earned, whatever is done (see
    `Model.terminal`): the format has no word for an episode's end, and files write it as an absorbing state. Where
    nothing absorbs, the episode is truncated after `time_limit` steps. That serves training alone, which is to see
    starts often: only from there is the discounted return counted. Tables and ceilings know no limit, and returns are
    measured on longer episodes (`scored`).

    Args:
        path: the file.
        time_limit: steps after which the episode is truncated; 0 for twice the horizon 1/(1 − γ) of the discount, at
            most 1,000.
        sha256: the file's checksum; where given, a file with another one is refused, where empty, it is read off.

    Raises:
        ConfigError: the file is missing, has changed or is wrong (says in which line).

    Reference: A. Cassandra, "POMDP file format", pomdp.org/code.
    """

    path: str
    time_limit: int = 0
    sha256: str = ""

    def __post_init__(self):
        if self.time_limit != 0 or isinstance(self.time_limit, bool):
            check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")
        data = read_bytes(Path(self.path))
        found = hashlib.sha256(data).hexdigest()
        if self.sha256 not in ("", found):
            raise ConfigError(
                f"{self.path} is not the file that it was.",
                f"Its sha256 is {found[:16]}…, and {self.sha256[:16]}… was used.",
                "Put the old file back, or train anew on this one.",
            )
        object.__setattr__(self, "sha256", found)
        if found not in _MODELS:  # an environment is built more often than its file changes
            _MODELS[found] = parse_model(data, Path(self.path).name)
        if self.time_limit == 0:
            object.__setattr__(self, "time_limit", round(min(2 / max(1 - self.discount, 1e-9), LONGEST)))

    @property
    def name(self) -> str:
        """`pomdp:` and the path."""
        return f"{PREFIX}{self.path}"

    @property
    def model(self) -> Model:
        """What the file says, as arrays."""
        return _MODELS[self.sha256]

    @property
    def default_params(self) -> PomdpParams:
        """None."""
        return PomdpParams()

    @property
    def observation_space(self) -> Box:
        """One-hot over ("nothing yet", then the file's observations)."""
        return Box(0.0, 1.0, (1 + len(self.model.observations),))

    @property
    def action_space(self) -> Discrete:
        """The file's actions."""
        return Discrete(len(self.model.actions))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The names in the file."""
        return (NOTHING_YET, *self.model.observations)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The names in the file."""
        return self.model.actions

    def reset_env(self, key: PRNGKeyArray, params: PomdpParams) -> tuple[Float[Array, " O"], PomdpState]:
        """A state of the start distribution, nothing seen yet."""
        del params
        state = _draw(jax.random.uniform(key, (), jnp.float32), _arrays(self).initial)
        return self._seen(jnp.zeros((), jnp.int32)), PomdpState(state, jnp.zeros((), jnp.int32))

    def step_env(
        self, key: PRNGKeyArray, state: PomdpState, action: Int[Array, ""], params: PomdpParams
    ) -> tuple[Float[Array, " O"], PomdpState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Move, then observe."""
        del params
        arrays = _arrays(self)
        move, see = jax.random.uniform(key, (2,), jnp.float32)
        a, s = action, state.state
        after = _draw(move, jnp.asarray(arrays.transition)[a, s])
        o = _draw(see, jnp.asarray(arrays.observation)[a, after])
        # An axis of length 1 holds for all.
        at = tuple(i if n > 1 else 0 for i, n in zip((a, s, after, o), arrays.reward.shape, strict=True))
        reward = jnp.asarray(arrays.reward)[at]
        terminated = jnp.asarray(arrays.terminal)[s, a]
        return self._seen(o + 1), PomdpState(after, state.time + 1), reward, terminated, {}

    def is_truncated(self, state: PomdpState, params: PomdpParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: PomdpState) -> Int[Array, ""]:
        """The state's number in the file."""
        return state.state

    @property
    def discount(self) -> float:
        """The file's."""
        return self.model.discount

    @property
    def ceilings(self) -> Ceilings | None:
        """What the solver knows of the best policies; None where the discount is 1.

        The first call may take half a minute; the answer is kept on disk (see `ceilings.py`).
        """
        return ceilings_of(self.model, self.sha256)

    @property
    def optimal_return(self) -> float | None:
        """The solver's lower bound, where it is within 1% of the upper one; else None: see `ceilings`.

        A policy may be better than it by the gap.
        """
        ceilings = self.ceilings
        return ceilings.optimum.lower if ceilings is not None and ceilings.optimum.closed else None

    @property
    def memoryless_return(self) -> float | None:
        """The solver's upper bound of all policies without memory: whatever is above it has used a memory."""
        ceilings = self.ceilings
        return None if ceilings is None else ceilings.memoryless.upper

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit

    @property
    def scored(self) -> "PomdpFile":
        """The same, with episodes so long that what lies beyond counts for a thousandth or less."""
        if not 0 < self.discount < 1:
            return self
        steps = math.ceil(math.log(1e-3) / math.log(self.discount))
        return replace(self, time_limit=max(self.time_limit, min(steps, 10 * LONGEST)))

    def tables(self) -> Tables:
        """States and actions as in the file; observations as in the class."""
        return self.model.tables()

    def _seen(self, index: Int[Array, ""]) -> Float[Array, " O"]:
        return jax.nn.one_hot(index, self.observation_space.shape[0], dtype=jnp.float32)


class _Arrays(NamedTuple):
    """What a step reads (float32); distributions as thresholds for one uniform number."""

    initial: np.ndarray  # [S]
    transition: np.ndarray  # [A, S, S']
    observation: np.ndarray  # [A, S', O]
    reward: np.ndarray  # [A, S, S', O], or 1 along an axis
    terminal: np.ndarray  # [S, A]


@lru_cache(maxsize=64)
def _arrays(env: PomdpFile) -> _Arrays:
    model = env.model
    return _Arrays(
        _thresholds(model.initial),
        _thresholds(model.transition),
        _thresholds(model.observation),
        model.reward.astype(np.float32),
        model.terminal,
    )


def _thresholds(probabilities: np.ndarray) -> np.ndarray:
    """Cumulative sums; from the last possible outcome on infinity, so that rounding draws no impossible one."""
    follows = np.flip(np.maximum.accumulate(np.flip(probabilities > 0, -1), -1), -1)  # [..., i]: one is possible at ≥ i
    follows = np.concatenate([follows[..., 1:], np.zeros_like(follows[..., :1])], axis=-1)
    return np.where(follows, probabilities.cumsum(axis=-1), np.inf).astype(np.float32)


def _draw(u: Float[Array, ""], thresholds: Any) -> Int[Array, ""]:
    """The outcome whose interval holds u ∈ [0, 1)."""
    return jnp.sum((u >= jnp.asarray(thresholds)).astype(jnp.int32))
