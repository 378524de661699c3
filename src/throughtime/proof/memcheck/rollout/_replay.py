"""Laws that replay a rollout with the policy that acted: stored states, resets, log-probabilities, values."""

from dataclasses import replace
from typing import Any

import numpy as np

from throughtime.proof.memcheck.law import Finding
from throughtime.proof.memcheck.rollout import laws
from throughtime.proof.memcheck.rollout._arrays import (
    MissingError,
    at,
    ended,
    need,
    row_errors,
    step_and_row,
    trained,
    worst,
)
from throughtime.proof.memcheck.rollout._policy import Replay, Replayer, outputs_of, replay, stored_states
from throughtime.proof.memcheck.rollout.data import Rollout


class Replays:
    """The replay-based laws of one rollout; the replay itself runs once.

    Args:
        rollout: in NumPy arrays.
        policy: the policy that acted.
        tolerance: the largest difference taken for rounding, relative to max(1, |expected|).
    """

    def __init__(self, rollout: Rollout, policy: Replayer, tolerance: float):
        self.rollout, self.policy, self.tolerance = rollout, policy, tolerance
        self._replay: Replay | None = None

    @property
    def replay(self) -> Replay:
        """The rollout once more, from its stored states."""
        if self._replay is None:
            self._replay = replay(self.rollout, self.policy)
        return self._replay

    def state_before(self) -> Finding:
        """Each stored state is what the policy carries there from the one stored before it."""
        need(self.rollout, "states")
        stored = stored_states(self.rollout)
        errors = self._chain(resets_inside=False)
        if np.isnan(errors).all():
            return self._state_before_by_outputs(stored)
        if np.nanmax(errors) <= self.tolerance:
            return laws.STATE_BEFORE.held(f"{np.isfinite(errors).sum()} stored states replayed from the ones before")
        s, row = worst(np.nan_to_num(errors, nan=-1.0, posinf=np.inf))
        step = sorted(stored)[s]
        expected = f"the state that replaying the steps before leads to (within {self.tolerance:g})"
        got = f"a difference of {errors[s, row]:.3g}"
        return laws.STATE_BEFORE.broken(expected, got + self._named(stored), step_and_row((step, row)))

    def reset_clears(self) -> Finding:
        """The same over the pieces with an episode's start in them."""
        need(self.rollout, "states")
        errors = self._chain(resets_inside=True)
        known = ~np.isnan(errors)
        if not known.any():
            raise MissingError("needs an episode that begins between two stored states of the rollout")
        if errors[known].max() <= self.tolerance:
            return laws.RESET_CLEARS.held(f"{known.sum()} stored states after an episode's start")
        s, row = worst(np.where(known, errors, -1.0))
        step = sorted(stored_states(self.rollout))[s]
        got = f"a difference of {errors[s, row]:.3g}"
        if np.nanmax(np.where(known, self._chain(resets_inside=True, ignore=True), np.nan)) <= self.tolerance:
            got = "the state that the episode before leads to: acting carried it on"
        return laws.RESET_CLEARS.broken(
            "the state that starting afresh at the reset leads to", got, step_and_row((step, row))
        )

    def log_probs(self) -> Finding:
        """Recorded log-probabilities replay."""
        rollout, policy = self.rollout, self.policy
        need(rollout, "actions", "log_probs")
        if not policy.has_log_prob:
            raise MissingError("needs log_prob")
        made = outputs_of(self.replay, rollout, policy, "log_probs")
        errors = np.where(self._replayed(), _apart(made, rollout.log_probs), 0.0)
        if errors.max(initial=0.0) <= self.tolerance:
            return laws.LOG_PROBS.held(f"largest difference {errors.max(initial=0.0):.1e}")
        where = worst(errors)
        ratio = float(np.exp(np.clip(made[where] - rollout.log_probs[where], -700, 700)))
        got = f"{made[where]:.6g} replayed, {rollout.log_probs[where]:.6g} recorded: a first ratio of {ratio:.4g}"
        return laws.LOG_PROBS.broken("a first ratio of 1", got + self._forgotten("log_probs"), step_and_row(where))

    def values(self) -> Finding:
        """Recorded values replay."""
        rollout = self.rollout
        need(rollout, "values")
        if not self.policy.has_value:
            raise MissingError("needs value")
        made = outputs_of(self.replay, rollout, self.policy, "values")
        errors = np.where(self._replayed(), _apart(made, rollout.values, relative=True), 0.0)
        if errors.max(initial=0.0) <= self.tolerance:
            return laws.VALUES.held(f"largest difference {errors.max(initial=0.0):.1e}")
        where, named = worst(errors), ""
        for shift, name in ((1, "the next step's"), (-1, "those of the step before")):
            inner = slice(1, -1)
            if len(made) > 2 and np.allclose(np.roll(made, -shift, 0)[inner], rollout.values[inner], atol=1e-4):
                named = f"; the recorded values are {name}"
        got = f"{made[where]:.6g} replayed, {rollout.values[where]:.6g} recorded{named or self._forgotten('values')}"
        return laws.VALUES.broken("the recorded value", got, step_and_row(where))

    def bootstrap(self) -> Finding:
        """V(final observation) and V(obs_T) are read with the memory carried into them."""
        rollout, checked, faults = self.rollout, 0, []
        T, B = rollout.resets.shape
        if not self.policy.has_value:
            raise MissingError("needs value")
        if rollout.last_values is not None and rollout.next_observation is not None and T:
            over = ended(rollout)[-1]
            rows = np.ones(B, bool)
            faults += self._bootstraps(T - 1, rollout.next_observation, over, rollout.last_values, rows, "V(obs_T)")
            checked += B
        if rollout.final_values is not None and rollout.final_observations is not None:
            need(rollout, "terminated", "truncated")
            cut = rollout.truncated & ~rollout.terminated & trained(rollout)
            cut[: self.replay.first] = False
            for t in map(int, np.flatnonzero(cut.any(axis=1))):
                final, recorded = at(rollout.final_observations, t), rollout.final_values[t]
                faults += self._bootstraps(t, final, np.zeros(B, bool), recorded, cut[t], "V(final observation)")
            checked += int(cut.sum())
        if not checked:
            raise MissingError(
                "needs last_values with next_observation, or final_values with final_observations and a truncation"
            )
        if not faults:
            return laws.BOOTSTRAP.held(f"{checked} values")
        expected, got, where = faults[0]
        return laws.BOOTSTRAP.broken(expected, got, where)

    def _bootstraps(self, t: int, obs: Any, reset: np.ndarray, recorded: Any, rows: np.ndarray, name: str) -> list:
        """What is wrong with the values of the observation after step t, in `rows`."""
        B, policy, rollout = len(reset), self.policy, self.rollout

        def close(values: Any) -> bool:
            values = np.asarray(values, np.float64)
            return bool(
                np.all(np.abs(recorded - values)[rows] <= self.tolerance * np.maximum(1.0, np.abs(values))[rows])
            )

        def value(obs: Any, reset: np.ndarray) -> np.ndarray:
            return policy.value(policy.step(self.replay.after[t], obs, reset)[1], B)

        right = value(obs, reset)
        if close(right):
            return []
        named = ""
        following = rollout.next_observation if t + 1 == len(rollout.resets) else at(rollout.observations, t + 1)
        if close(value(obs, np.ones(B, bool))):
            named = "; it was read with a fresh memory"
        elif rollout.values is not None and close(rollout.values[t]):
            named = "; that is V(obs_t), of the step before"
        elif following is not None and close(value(following, np.ones(B, bool))):
            named = "; that is the value of the next episode's first observation"
        row = int(np.argmax(np.where(rows, np.abs(recorded - right), -1.0)))
        got = f"{recorded[row]:.6g}{named}"
        return [(f"{name} = {right[row]:.6g}", got, f"after {step_and_row((t, row))}")]

    def _chain(self, resets_inside: bool, ignore: bool = False) -> np.ndarray:
        """How far each stored state `[S, B]` is from the one its predecessor leads to; NaN where that says nothing.

        A stored state whose own step begins an episode may be anything: replay resets it.
        """
        resets = self.rollout.resets
        stored = stored_states(self.rollout)
        steps = sorted(stored)
        errors = np.full((len(steps), resets.shape[1]), np.nan)
        replayed = replay_without_resets(self.rollout, self.policy) if ignore else self.replay
        for s in range(1, len(steps)):
            inside = resets[steps[s - 1] : steps[s]].any(axis=0)
            rows = (inside == resets_inside) & ~resets[steps[s]]
            errors[s] = np.where(rows, row_errors(stored[steps[s]], replayed.carried[s]), np.nan)
        return errors

    def _state_before_by_outputs(self, stored: dict[int, Any]) -> Finding:
        """With no two comparable states: whether the outputs fit states stored after the observation instead."""
        what = "log_probs" if self.policy.has_log_prob and self.rollout.log_probs is not None else "values"
        if getattr(self.rollout, what) is None or not (self.policy.has_value or self.policy.has_log_prob):
            raise MissingError("needs two stored states within one episode, or log_probs with log_prob")
        recorded = getattr(self.rollout, what)
        steps = sorted(stored)
        rows = ~self.rollout.resets[steps]
        if not rows.any():
            raise MissingError("needs a stored state from within an episode")
        errors = np.where(rows, self._output_errors(self.replay, what, recorded)[steps], 0.0)
        if errors.max() > self.tolerance and (named := self._named(stored)):
            s, row = worst(errors)
            got = f"a difference of {errors[s, row]:.3g}{named}"
            return laws.STATE_BEFORE.broken(f"the recorded {what}, replayed", got, step_and_row((steps[s], row)))
        return laws.STATE_BEFORE.held("by the outputs replayed from them")

    def _output_errors(self, replayed: Replay, what: str, recorded: np.ndarray) -> np.ndarray:
        made = outputs_of(replayed, self.rollout, self.policy, what)
        return _apart(made, recorded, relative=True)

    def _replayed(self) -> np.ndarray:
        """Which steps are trained on and lie behind the first stored state, `[T, B]`."""
        kept = trained(self.rollout)
        return kept & (np.arange(len(kept))[:, None] >= self.replay.first)

    def _named(self, stored: dict[int, Any]) -> str:
        """What the stored states are, where they are a known wrong thing."""
        rollout, steps = self.rollout, sorted(stored)
        B = rollout.resets.shape[1]
        initial = self.policy.initial(B)
        if all(row_errors(stored[t], initial).max() <= self.tolerance for t in steps):
            return "; every stored state is the initial one"
        worst_error, compared = 0.0, 0
        for t, following in zip(steps, [*steps[1:], len(rollout.resets)], strict=True):
            state, clean = stored[t], np.ones(B, bool)
            for u in range(t + 1, min(following + 1, len(rollout.resets))):
                clean = clean & ~rollout.resets[u]
                if not clean.any():
                    break
                state, out = self.policy.step(state, at(rollout.observations, u), rollout.resets[u])
                error = self._after_error(out, u, clean)
                if u in stored:
                    error = max(error, row_errors(stored[u], state)[clean].max())
                worst_error, compared = max(worst_error, error), compared + 1
        if compared and worst_error <= self.tolerance:
            return "; the stored states are those after the observation was read"
        return ""

    def _after_error(self, out: Any, t: int, rows: np.ndarray) -> float:
        rollout = self.rollout
        if not rows.any():
            return 0.0
        if self.policy.has_log_prob and rollout.log_probs is not None and rollout.actions is not None:
            made, recorded = self.policy.log_prob(out, at(rollout.actions, t)), rollout.log_probs[t]
        elif self.policy.has_value and rollout.values is not None:
            made, recorded = self.policy.value(out, len(rows)), rollout.values[t]
        else:
            return 0.0
        return float(_apart(made, recorded, relative=True)[rows].max())

    def _forgotten(self, what: str) -> str:
        """Whether the recorded outputs are those of a policy that starts afresh at every step."""
        rollout = self.rollout
        T, B = rollout.resets.shape
        fresh, initial = np.zeros((T, B)), self.policy.initial(B)
        for t in range(T):
            _, out = self.policy.step(initial, at(rollout.observations, t), np.ones(B, bool))
            fresh[t] = (
                self.policy.value(out, B) if what == "values" else self.policy.log_prob(out, at(rollout.actions, t))
            )
        if np.abs(fresh - getattr(rollout, what)).max() <= self.tolerance:
            return "; recorded without memory: each step from a fresh state"
        return ""


def _apart(made: np.ndarray, recorded: np.ndarray, relative: bool = False) -> np.ndarray:
    """How far replayed numbers are from recorded ones; NaN is infinitely far."""
    errors = np.abs(made - recorded) / (np.maximum(1.0, np.abs(recorded)) if relative else 1.0)
    return np.where(np.isnan(errors), np.inf, errors)


def replay_without_resets(rollout: Rollout, policy: Replayer) -> Replay:
    """As an acting loop that never resets would run."""
    return replay(replace(rollout, resets=np.zeros_like(rollout.resets)), policy)
