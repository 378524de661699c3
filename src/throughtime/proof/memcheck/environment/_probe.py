"""Runs an environment, single or vector, under a time-out, and records what it returned."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from throughtime.core.user_code import place_of
from throughtime.envs.adapters._mask import SOURCES, find_mask, flat_mask
from throughtime.proof.memcheck._time_limit import TookTooLong, within
from throughtime.proof.memcheck.environment._values import copied, same


class FailedError(Exception):
    """The environment raised, hung or returned something else than its API says; the message says which."""


class Worker:
    """Calls the environment's functions, each within a time limit; after a hang it calls nothing any more.

    Args:
        timeout: seconds that a call may take; 0 for no limit.
    """

    def __init__(self, timeout: float):
        self.timeout, self.hung = timeout, False

    def call(self, name: str, function: Callable, *arguments: Any, **settings: Any) -> Any:
        """What the function returns.

        Raises:
            FailedError: it raised, or did not return in time.
        """
        if self.hung:
            raise FailedError("the environment did not return from an earlier call")
        try:
            return within(self.timeout, lambda: function(*arguments, **settings))
        except TookTooLong:
            self.hung = True
            raise FailedError(f"{name} did not return within {self.timeout:g} s") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's code raises is a finding, SystemExit too
            said = str(error).strip().split("\n")[0]
            what = f"{type(error).__name__}: {said}" if said else type(error).__name__
            raise FailedError(f"{name} raised {what} (at {place_of(error)})") from error


@dataclass
class Step:
    """One step; each value as returned, `flags` and `reward_row` made arrays `[B]`."""

    action: Any
    observation: Any  # copied
    reward: Any
    terminated: Any
    truncated: Any
    info: dict
    rewards: np.ndarray  # [B]; NaN where it is no number
    ends: np.ndarray  # [B, 2] bool: terminated, truncated
    reset_to: Any = None  # the first observation of the next episode, where the loop had to reset

    @property
    def over(self) -> np.ndarray:
        """Where an episode ended, `[B]`."""
        return np.asarray(self.ends.any(axis=1))


@dataclass
class Trace:
    """A run from one reset on: what came before it broke off, if it did."""

    first: Any = None
    steps: list[Step] = field(default_factory=list)
    failure: str = ""
    failed_at: str = ""  # "reset", or "step 17"
    changed: str = ""  # where an observation was found changed after it was returned


class Probe:
    """One environment: its kind, its spaces, and runs of it.

    Args:
        env: a Gymnasium environment or vector environment, or anything with the same methods.
        worker: makes the calls.
        policy: an action for an observation; None draws from the action space.
    """

    def __init__(self, env: Any, worker: Worker, policy: Callable[[Any], Any] | None = None):
        self.env, self.worker, self.policy = env, worker, policy
        self.vector = hasattr(env, "num_envs") and hasattr(env, "single_observation_space")
        self.B = int(env.num_envs) if self.vector else 1
        self.mode = mode_of(env)
        self.masked = False  # whether the last action that was drawn had a mask
        self._rng = np.random.default_rng()

    @property
    def resets_by_hand(self) -> bool:
        """Whether the loop has to reset what ended."""
        return self.mode == "disabled" or (not self.vector and not self.mode)

    def run(self, steps: int, seed: int | None, actions: list[Any] | None = None, env: Any = None) -> Trace:
        """Resets with `seed` and takes `steps` steps; stops where the environment fails.

        Args:
            steps: how many.
            seed: for the reset and, with `None` in `actions`, for drawing actions.
            actions: those to take, as far as they go.
            env: another instance in place of the probe's.
        """
        env = self.env if env is None else env
        trace, where = Trace(), "reset"
        try:
            self._seed_actions(env, seed)
            first, info = self._reset(env, seed)
            trace.first, kept = copied(first), [("reset", first, copied(first))]
            observation = first
            for t in range(steps):
                where = f"step {t}"
                if actions is not None and t < len(actions):
                    action = actions[t]
                elif self.policy is not None:
                    action = self.worker.call("the given policy", self.policy, copied(observation))
                else:
                    action = self._draw(env, observation, info)
                step, observation = self._step(env, copied(action))
                info = step.info
                trace.steps.append(step)
                self._watch(trace, kept, observation, where)
                if self.resets_by_hand and step.over.any():
                    where = f"the reset after step {t}"
                    first, info = self._reset(env, None, step.over)
                    step.reset_to, observation = copied(first), first
                    self._watch(trace, kept, first, where)
        except FailedError as error:
            trace.failure, trace.failed_at = str(error), where
        return trace

    def _watch(self, trace: Trace, kept: list, observation: Any, where: str) -> None:
        """Compares the last observation returned with its copy, then keeps this one."""
        name, returned, copy = kept[-1]
        if not trace.changed and not same(returned, copy):
            trace.changed = f"the observation of {name} had changed after {where}"
        kept[:] = [(where, observation, copied(observation))]

    def _seed_actions(self, env: Any, seed: int | None) -> None:
        if self.policy is None and seed is not None:
            self.worker.call("action_space.seed", lambda: env.action_space.seed(seed))
            self._rng = np.random.default_rng(seed)

    def _draw(self, env: Any, observation: Any, info: dict) -> Any:
        """From the action space; where the environment tells of a mask, from what that allows."""
        drawn = self.worker.call("action_space.sample", lambda: env.action_space.sample())
        mask = None
        for source in SOURCES:
            mask = self.worker.call("action_masks", find_mask, source, env, observation, info) if mask is None else mask
        sizes = np.ravel(getattr(env.action_space, "nvec", getattr(env.action_space, "n", 0)))
        entries = [] if mask is None else flat_mask(mask)
        self.masked = bool(len(entries)) and len(entries) == sizes.sum()
        if not self.masked:
            return drawn
        parts = np.split(entries, np.cumsum(sizes)[:-1])
        chosen = [self._rng.choice(allowed) if len(allowed := np.flatnonzero(part)) else 0 for part in parts]
        start = np.ravel(getattr(env.action_space, "start", 0))
        return np.asarray(chosen + start, np.asarray(drawn).dtype).reshape(np.shape(drawn))[()]

    def _reset(self, env: Any, seed: int | None, rows: np.ndarray | None = None) -> tuple[Any, dict]:
        if rows is not None and self.vector:
            settings: dict[str, Any] = {"options": {"reset_mask": rows.copy()}}
        else:
            settings = {} if seed is None else {"seed": seed}
        name = f"reset({', '.join(f'{k}={v}' for k, v in settings.items())})"
        made = self.worker.call(name, env.reset, **settings)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[1], dict):
            raise FailedError(f"{name} returned {_kind(made)}, not (observation, info)")
        return made

    def _step(self, env: Any, action: Any) -> tuple[Step, Any]:
        made = self.worker.call("step", env.step, action)
        if not isinstance(made, tuple) or len(made) != 5:
            raise FailedError(f"step returned {_kind(made)}, not (observation, reward, terminated, truncated, info)")
        observation, reward, terminated, truncated, info = made
        if not isinstance(info, dict):
            raise FailedError(f"step returned an info that is {_kind(info)}, not a dict")
        ends = np.stack([_row_of(flag, self.B, False).astype(bool) for flag in (terminated, truncated)], axis=1)
        rewards = _row_of(reward, self.B, np.nan).astype(float)
        step = Step(action, copied(observation), copied(reward), terminated, truncated, copied(info), rewards, ends)
        return step, observation


def mode_of(env: Any) -> str:
    """The autoreset mode that the metadata tells: "next-step", "same-step", "disabled", or "" where it tells none."""
    metadata = getattr(env, "metadata", None) or {}
    told = metadata.get("autoreset_mode") if isinstance(metadata, dict) else None
    told = str(getattr(told, "value", told)).lower().replace("_", "").replace("-", "")
    return {"nextstep": "next-step", "samestep": "same-step", "disabled": "disabled"}.get(told, "")


def _row_of(value: Any, B: int, fallback: Any) -> np.ndarray:
    """`[B]` of whatever was returned, where it is B numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuf" and array.size == B:
            return array.reshape(B)
    except ValueError:
        pass
    return np.full(B, fallback)


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"
