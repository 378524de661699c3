"""Advantages by their definition, in float64 NumPy, and the wrong ones that are about, each by its name."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class AdvantageCase(NamedTuple):
    """What a function of advantages reads: time-major, `[T, B]`."""

    rewards: np.ndarray  # r_t
    values: np.ndarray  # V(obs_t)
    last_values: np.ndarray  # V(obs_T), [B]
    final_values: np.ndarray  # V(final observation); read where truncated only
    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool
    discount: float  # γ
    trace: float  # λ


def advantages_of(case: AdvantageCase) -> np.ndarray:
    """GAE(λ), `[T, B]`: δ_t = r_t + γ (1 − terminated_t) V(next_t) − V_t, A_t = δ_t + γλ (1 − ended_t) A_{t+1}.

    V(next_t) is V(final observation) where the episode was truncated, else V(obs_{t+1}). A step with both flags
    counts as terminated. Reference: Schulman et al. 2016, arXiv 1506.02438, equation 16.
    """
    following = np.where(case.truncated, case.final_values, _following(case))
    return _gae(case, following, case.terminated, case.terminated | case.truncated)


def _following(case: AdvantageCase) -> np.ndarray:
    return np.concatenate([np.asarray(case.values, np.float64)[1:], np.asarray(case.last_values)[None]])


def _gae(
    case: AdvantageCase,
    following: np.ndarray,
    dead: np.ndarray,
    cut: np.ndarray,
    decay: float | None = None,
) -> np.ndarray:
    """The recursion, with V(next), the flags that drop the bootstrap, and those that cut the trace."""
    decay = case.discount * case.trace if decay is None else decay
    delta = case.rewards + case.discount * np.where(dead, 0.0, following) - np.asarray(case.values, np.float64)
    made, running = np.zeros(delta.shape), np.zeros(delta.shape[1:])
    for t in reversed(range(len(delta))):
        running = delta[t] + decay * np.where(cut[t], 0.0, running)
        made[t] = running
    return made


def _late(flags: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(flags[:1]), flags[:-1]])


def _early(flags: np.ndarray) -> np.ndarray:
    return np.concatenate([flags[1:], np.zeros_like(flags[:1])])


def _shifted(shift: Callable[[np.ndarray], np.ndarray], apart: bool) -> Callable[[AdvantageCase], np.ndarray]:
    """Flags one step off: with the two apart and final values (as given), or both as one `done`."""

    def wrong(case: AdvantageCase) -> np.ndarray:
        terminated, truncated = shift(case.terminated), shift(case.truncated)
        if apart:
            following = np.where(case.truncated, case.final_values, _following(case))
            return _gae(case, following, terminated, terminated | truncated)
        return _gae(case, _following(case), terminated | truncated, terminated | truncated)

    return wrong


def _with(
    following: Callable[[AdvantageCase], np.ndarray] | None = None,
    dead: Callable[[AdvantageCase], np.ndarray] | None = None,
    cut: Callable[[AdvantageCase], np.ndarray] | None = None,
    decay: Callable[[AdvantageCase], float] | None = None,
) -> Callable[[AdvantageCase], np.ndarray]:
    """The definition with one part replaced."""

    def wrong(case: AdvantageCase) -> np.ndarray:
        return _gae(
            case,
            following(case) if following else np.where(case.truncated, case.final_values, _following(case)),
            dead(case) if dead else case.terminated,
            cut(case) if cut else case.terminated | case.truncated,
            decay(case) if decay else None,
        )

    return wrong


def _last(value: Callable[[AdvantageCase], np.ndarray]) -> Callable[[AdvantageCase], np.ndarray]:
    """With another V(obs_T)."""
    return lambda case: advantages_of(case._replace(last_values=value(case)))


VARIANTS: dict[str, Callable[[AdvantageCase], np.ndarray]] = {
    "truncation is treated as termination": _with(dead=lambda c: c.terminated | c.truncated),
    "V(s_t) is used for V(s_final) at truncation": _with(
        following=lambda c: np.where(c.truncated, c.values, _following(c))
    ),
    "at truncation it bootstraps from the next episode's first observation": _with(following=_following),
    "the end of an episode is used one step late": _shifted(_late, apart=True),
    "the end of an episode, as one `done`, is used one step late": _shifted(_late, apart=False),
    "the end of an episode is used one step early": _shifted(_early, apart=True),
    "the end of an episode, as one `done`, is used one step early": _shifted(_early, apart=False),
    "the λ-trace runs on after truncation": _with(cut=lambda c: c.terminated),
    "the λ-trace runs on after termination": _with(cut=lambda c: c.truncated),
    "the λ-trace is never cut": _with(cut=lambda c: np.zeros_like(c.terminated)),
    "a step with both flags is treated as truncated only": _with(dead=lambda c: c.terminated & ~c.truncated),
    "termination is ignored in the bootstrap": _with(dead=lambda c: np.zeros_like(c.terminated)),
    "the value after the last step is left out": _last(lambda c: np.zeros_like(c.last_values)),
    "the last value V(obs_{T−1}) is used for V(obs_T)": _last(lambda c: c.values[-1]),
    "λ is taken for 1": _with(decay=lambda c: c.discount),
    "λ is taken for 0": _with(decay=lambda c: 0.0),
    "the trace decays by λ without γ": _with(decay=lambda c: c.trace),
    "the returns are handed over in place of the advantages": lambda c: advantages_of(c) + c.values,
}


def matching_variants(case: AdvantageCase, got: np.ndarray, tolerance: float, where: np.ndarray) -> list[str]:
    """The names of the wrong definitions that give `got` (within `tolerance` of its scale) at the steps `where`."""
    found = [name for name, variant in VARIANTS.items() if _close(variant(case), got, tolerance, where)]
    if not found and np.std(got[where]) > 0:
        right = advantages_of(case)
        scaled = (right - right[where].mean()) / max(float(right[where].std()), 1e-12)
        mine = (got - got[where].mean()) / float(np.std(got[where]))
        if _close(scaled, mine, 10 * tolerance, where):
            found = ["the advantages are standardised: give those from before"]
    return found


def _close(a: np.ndarray, b: np.ndarray, tolerance: float, where: np.ndarray) -> bool:
    """Within rounding of the largest."""
    scale = max(1.0, float(np.abs(a[where]).max(initial=0.0)))
    return bool((np.abs(a - b)[where] <= tolerance * scale).all())
