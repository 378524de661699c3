"""The user's policy as a rollout's laws call it, and one replay of the rollout from its stored states."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from throughtime.proof.memcheck.rollout import Rollout
from throughtime.proof.memcheck.rollout_arrays import MissingError, at, leaves, need


class Replayer:
    """The policy's functions, with what they raise or return wrongly said in words.

    Args:
        policy: with `initial_state(batch)` and `step(state, obs, reset) -> (state, out)`, or None.
        log_prob: of `(out, actions)` makes log-probabilities `[B]`; `policy.log_prob` where None.
        value: of `(out)` makes values `[B]`; `policy.value` where None.
    """

    def __init__(self, policy: Any, log_prob: Callable | None, value: Callable | None):
        self.policy = policy
        self._log_prob = log_prob or getattr(policy, "log_prob", None)
        self._value = value or getattr(policy, "value", None)

    @property
    def has_log_prob(self) -> bool:
        """Whether log-probabilities can be replayed."""
        return self._log_prob is not None

    @property
    def has_value(self) -> bool:
        """Whether values can be replayed."""
        return self._value is not None

    def initial(self, batch: int) -> Any:
        """The state before an episode, in NumPy arrays."""
        self._needs("initial_state")
        return _numpy(self._call("policy.initial_state", self.policy.initial_state, batch))

    def step(self, state: Any, obs: Any, reset: np.ndarray) -> tuple[Any, Any]:
        """The state and the output after `obs`."""
        self._needs("step")
        made = self._call("policy.step", self.policy.step, state, obs, reset)
        if not isinstance(made, tuple) or len(made) != 2:
            raise MissingError(f"policy.step returned {type(made).__name__}, not (state, output)")
        return _numpy(made[0]), made[1]

    def log_prob(self, out: Any, actions: Any) -> np.ndarray:
        """Log-probabilities of `actions`, `[B]`."""
        if self._log_prob is None:
            raise MissingError("needs log_prob")
        return _row(self._call("log_prob", self._log_prob, out, actions), leaves(actions)[0].shape[0], "log_prob")

    def value(self, out: Any, batch: int) -> np.ndarray:
        """Values, `[B]`."""
        if self._value is None:
            raise MissingError("needs value")
        return _row(self._call("value", self._value, out), batch, "value")

    def _needs(self, name: str) -> None:
        if self.policy is None:
            raise MissingError("needs policy")
        if not callable(getattr(self.policy, name, None)):
            raise MissingError(f"needs policy.{name}")

    @staticmethod
    def _call(name: str, function: Callable, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            said = str(error).strip().split("\n")[0]
            raise MissingError(f"{name} raised {type(error).__name__}: {said}") from None


def _numpy(state: Any) -> Any:
    return jax.tree.map(np.asarray, state)


def _row(values: Any, batch: int, name: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape == (batch, 1):
        return values[:, 0]
    if values.shape != (batch,):
        raise MissingError(f"{name} returned shape {values.shape}, not ({batch},)")
    return values


class Replay(NamedTuple):
    """The rollout once more, each piece from the state stored for it; entries before the first are None."""

    first: int  # the step of the first stored state
    after: list[Any]  # the state after each step's observation
    outs: list[Any]
    carried: list[Any]  # for each stored state, the one that the replay of the piece before leads to


def replay(rollout: Rollout, policy: Replayer) -> Replay:
    """Replays the rollout; from the initial state, where none is stored and every row begins an episode."""
    T, B = rollout.resets.shape
    if rollout.observations is None:
        raise MissingError("needs observations")
    stored = stored_states(rollout)
    if not stored:
        if T == 0 or not rollout.resets[0].all():
            need(rollout, "states")
        stored = {0: policy.initial(B)}
    first = min(stored, default=T)
    after, outs, carried = [None] * T, [None] * T, []
    state: Any = None
    for t in range(first, T):
        if t in stored:
            carried.append(state)
            state = stored[t]
        state, outs[t] = policy.step(state, at(rollout.observations, t), rollout.resets[t])
        after[t] = state
    return Replay(first, after, outs, carried)


def stored_states(rollout: Rollout) -> dict[int, Any]:
    """Step to stored state."""
    if rollout.states is None:
        return {}
    steps = rollout.state_steps
    steps = range(rollout.resets.shape[0]) if steps is None else steps
    return {int(t): at(rollout.states, s) for s, t in enumerate(steps)}


def outputs_of(replayed: Replay, rollout: Rollout, policy: Replayer, what: str) -> np.ndarray:
    """Replayed "log_probs" or "values", `[T, B]`; NaN before the first stored state."""
    T, B = rollout.resets.shape
    made = np.full((T, B), np.nan)
    for t in range(replayed.first, T):
        if what == "values":
            made[t] = policy.value(replayed.outs[t], B)
        else:
            made[t] = policy.log_prob(replayed.outs[t], at(rollout.actions, t))
    return made
