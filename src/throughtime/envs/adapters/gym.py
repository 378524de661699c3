"""Gymnasium environments (`gym:ID`, `minigrid:ID`, and classes of the user's) for the compiled training loop."""

import atexit
import functools
import itertools
import math
import threading
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.adapters._build import Recipe, Scalar
from throughtime.envs.adapters._look import Facts, look
from throughtime.envs.adapters._mask import SOURCES
from throughtime.envs.adapters._session import Session, Settings
from throughtime.envs.adapters._user import find_class
from throughtime.envs.base import Box, Space, mask_labels
from throughtime.envs.host import HostEnvironment, HostState
from throughtime.envs.instruction_layout import InstructionLayout


@dataclass(frozen=True)
class GymEnvironment(HostEnvironment):
    """B Gymnasium environments behind one callback a step.

    Observations are flattened as `gymnasium.spaces.flatten` has it, to float32; actions are those of `action_layout`.
    Where an episode ended, the environment is reset in the same step and the true final observation is kept;
    `terminated` and `truncated` are the environment's own. Each environment's first reset gets a seed of its own
    (`seeds_of`), later ones none, so that its random numbers go on.

    Args:
        id: Gymnasium's id, or for kind "user" `module:Class` or `file.py:Class`.
        kind: "gym", "minigrid" or "user".
        workers: processes that step the environments; 0 steps them in this process.
        timeout: seconds that one step of the whole batch may take before its environments count as hung.
        restarts: how often environments that raise, hang or die are started anew, all together; their episodes then
            count as truncated. One more ends the training with an `EnvironmentStepError`.
        time_limit: steps after which an episode is truncated; 0 leaves it to the environment.
        masks: where action masks come from: "observation" (a Dict's key "action_mask"), "info" (`info["action_mask"]`),
            "method" (the environment's `action_masks()`), "auto" (the first of these that has one), or "none".
        hide: numbers of the flat observation that are left out, by their places, such as "2,3,5".
        arguments: of the environment's constructor, as sorted pairs.

    Raises:
        ConfigError: an unknown id, a missing extra, arguments or spaces that do not fit, an environment that breaks
            Gymnasium's contract, or one without any step limit. All of it before anything is compiled.
    """

    id: str
    kind: str = "gym"
    workers: int = 0
    timeout: float = 60.0
    restarts: int = 3
    time_limit: int = 0
    masks: str = "auto"
    hide: str = ""
    arguments: tuple[tuple[str, Scalar], ...] = ()

    def __post_init__(self):
        for option, low in (("workers", 0), ("restarts", 0), ("time_limit", 0)):
            if getattr(self, option) < low:
                what = f"{self.name}: {option} = {getattr(self, option)} is impossible."
                raise ConfigError(what, "It is a count.", f"Set {option} to a whole number of at least {low}.")
        if self.masks not in ("auto", "none", *SOURCES):
            what = f"{self.name}: masks = {self.masks!r} is impossible."
            raise ConfigError(
                what, "Action masks come from elsewhere.", did_you_mean(self.masks, ("auto", "none", *SOURCES))
            )
        if not (self.timeout > 0 and math.isfinite(self.timeout)):
            what = f"{self.name}: timeout = {self.timeout} is impossible."
            raise ConfigError(what, "It is a span of time in seconds.", "Set timeout to 60.0, say.")
        if self.workers and self.id.startswith("__main__:"):
            raise ConfigError(
                f"{self.name} cannot be built in worker processes.",
                "They do not run your script, in which the class is written.",
                "Put the class into a file of its own and name it file.py:Class, or set workers = 0.",
            )
        _ = self._facts

    @property
    def recipe(self) -> Recipe:
        """What a process needs to build it."""
        return Recipe(self.kind, self.id, self.arguments, self.time_limit, self.masks, self.hide)

    @property
    def _facts(self) -> Facts:
        # A class may have been written anew since (in a notebook, say).
        return look(self.recipe, find_class(self.id) if self.kind == "user" else None)

    @property
    def name(self) -> str:
        """`gym:ID`, `minigrid:ID`, or `module:Class`."""
        return self.recipe.name

    @property
    def observation_space(self) -> Box:
        """The flattened observation, and the action mask behind it."""
        sight = self._facts.sight
        low, high = sight.layout.low, sight.layout.high
        if sight.mask is not None:
            low, high = min(low, 0.0), max(high, 1.0)
        return Box(low, high, (sight.size,))

    @property
    def action_mask(self) -> bool:
        """Whether the environment tells which actions are allowed."""
        return self._facts.sight.mask is not None

    @property
    def action_space(self) -> Space:
        """Discrete, MultiDiscrete, or a box."""
        return self._facts.actions.space

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """By the names of the parts."""
        return self._facts.sight.labels + (mask_labels(self) if self.action_mask else ())

    @property
    def instruction_layout(self) -> InstructionLayout | None:
        """Of BabyAI's levels: their mission, and the cells."""
        return self._facts.instruction

    @property
    def max_episode_steps(self) -> int:
        """The time limit, or the environment's own."""
        return self._facts.step_limit

    def reset_batch(self, key: PRNGKeyArray, batch_size: int) -> tuple[Array, HostState]:
        """As `HostEnvironment` has it."""
        shapes = _float(batch_size, self._facts.sight.size), jax.ShapeDtypeStruct((batch_size,), jnp.int32)
        data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
        obs, session = io_callback(functools.partial(_reset, self, batch_size), shapes, data)
        return obs, HostState(session, jnp.zeros(batch_size, jnp.int32))

    def step_batch(self, state: HostState, actions: Array) -> tuple[Array, HostState, Array, Array, Array, Array]:
        """As `HostEnvironment` has it."""
        B = state.session.shape[0]
        observation, flag = _float(B, self._facts.sight.size), jax.ShapeDtypeStruct((B,), jnp.bool_)
        # `time` comes back from the callback: each step needs the one before it, so that none can overtake.
        shapes = observation, jax.ShapeDtypeStruct((B,), jnp.int32), _float(B), flag, flag, observation
        obs, time, reward, terminated, truncated, final = io_callback(_step, shapes, *state, actions)
        return obs, HostState(state.session, time), reward, terminated, truncated, final

    def release(self, state: HostState) -> None:
        """As `HostEnvironment` has it; they stay open, and the next `reset_batch` of this size takes them."""
        with _lock:
            session = _sessions.pop(int(state.session[0]), None)
            if session is None:
                return
            idle = _idle.setdefault((session.settings, session.batch_size), [])
            # Nor are they kept where the class may be written anew.
            if session.error is None and not idle and not self.id.startswith("__main__:"):
                idle.append(session)
                return
        session.close()

    def error_of(self, state: HostState) -> Exception | None:
        """As `HostEnvironment` has it."""
        session = _sessions.get(int(state.session[0]))
        return None if session is None else session.error


def seeds_of(key_data: Any, batch_size: int) -> np.ndarray:
    """The seeds of the first resets, uint32 `[B]` below 2³¹, from the data of a JAX key."""
    return np.random.SeedSequence(np.asarray(key_data).ravel().tolist()).generate_state(batch_size) >> np.uint32(1)


def close_environments() -> None:
    """Closes all Python environments of this process, worker processes included; also done when it ends."""
    with _lock:
        sessions = [*_sessions.values(), *itertools.chain.from_iterable(_idle.values())]
        _sessions.clear()
        _idle.clear()
    for session in sessions:
        session.close()


_lock = threading.Lock()
_numbers = itertools.count()
_sessions: dict[int, Session] = {}  # in use, by the number that the compiled program holds
_idle: dict[tuple[Settings, int], list[Session]] = {}
atexit.register(close_environments)


def _reset(env: GymEnvironment, batch_size: int, key_data: Any) -> tuple[np.ndarray, np.ndarray]:
    """The callback behind `reset_batch`."""
    settings = Settings(env.recipe, env.workers, env.timeout, env.restarts)
    with _lock:
        idle = _idle.get((settings, batch_size))
        session = idle.pop() if idle else None
    if session is None:
        session = Session(settings, batch_size, env._facts.sight, env._facts.actions)
    session.reset(seeds_of(key_data, batch_size))
    with _lock:
        number = next(_numbers)
        _sessions[number] = session
    return session.arrays.observations.copy(), np.full(batch_size, number, np.int32)


def _step(numbers: Any, times: Any, actions: Any) -> tuple[np.ndarray, ...]:
    """The callback behind `step_batch`."""
    number, time = int(np.asarray(numbers)[0]), int(np.asarray(times)[0])
    session = _sessions.get(number)
    if session is None:
        raise ConfigError(
            "These Python environments are not open any more.",
            "They were released, or belong to a process that has ended.",
            "Begin new episodes with reset.",
        )
    session.step(time, np.asarray(actions))
    arrays = session.arrays
    return (
        arrays.observations.copy(),
        np.full(session.batch_size, time + 1, np.int32),
        arrays.rewards.copy(),
        arrays.terminated.copy(),
        arrays.truncated.copy(),
        arrays.final_observations.copy(),
    )


def _float(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
