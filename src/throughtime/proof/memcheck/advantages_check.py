"""Closed-form fixtures for a function of advantages, and `check_advantages`, which runs one through them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from throughtime.proof.memcheck.advantages import AdvantageCase, matching_variants
from throughtime.proof.memcheck.law import Finding, Findings, Law

_WHY = (
    "The expected numbers are derived by hand, line by line, in `advantage_fixtures`. A function that gives others "
    "computes another quantity, and every update is weighted by it."
)


def _law(name: str, statement: str, usual_cause: str) -> Law:
    return Law(f"advantages/{name}", statement, _WHY, usual_cause)


class AdvantageFixture(NamedTuple):
    """A small case with its advantages, derived by hand."""

    law: Law
    case: AdvantageCase
    expected: np.ndarray  # [T, B]


def advantage_fixtures() -> tuple[AdvantageFixture, ...]:
    """Cases of two to four steps, each with its expected advantages.

    All have γ = 1/2, so that every number is a short binary fraction and float32 represents it exactly.
    """
    inside = _fixture(
        _law("inside-an-episode", "Within an episode δ is summed up with γλ.", "γ or λ left out of the trace."),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        last=16.0,
        trace=0.5,
        # δ_2 = 4 + ½·16 − 8 = 4      A_2 = 4
        # δ_1 = 2 + ½·8 − 4 = 2       A_1 = 2 + ¼·4 = 3
        # δ_0 = 1 + ½·4 − 2 = 1       A_0 = 1 + ¼·3 = 1.75
        expected=[1.75, 3, 4],
    )
    terminated = _fixture(
        _law("terminated", "Termination drops the bootstrap.", "The value of the next episode's start is added."),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        last=16.0,
        terminated=[0, 1, 0],
        trace=0.0,
        # λ = 0, so that A = δ. V_2 = 8 belongs to the next episode.
        # δ_2 = 4 + ½·16 − 8 = 4      δ_1 = 2 + 0 − 4 = −2      δ_0 = 1 + ½·4 − 2 = 1
        expected=[1, -2, 4],
    )
    truncated = _fixture(
        _law(
            "truncated",
            "Truncation bootstraps from the final observation.",
            "One `done` for both flags, V(s_t) for V(s_final), or the next episode's first value.",
        ),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        final=[0, 32, 0],
        last=16.0,
        truncated=[0, 1, 0],
        trace=0.0,
        # As before, but the episode went on in its final observation, worth 32.
        # δ_1 = 2 + ½·32 − 4 = 14     (0 for it: −2; V_1 = 4 for it: 0; V_2 = 8 for it: 2)
        expected=[1, 14, 4],
    )
    both = _fixture(
        _law("both", "A step with both flags counts as terminated.", "The truncation flag is looked at first."),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        final=[0, 32, 0],
        last=16.0,
        terminated=[0, 1, 0],
        truncated=[0, 1, 0],
        trace=0.0,
        # δ_1 = 2 + 0 − 4 = −2        (with the bootstrap: 14)
        expected=[1, -2, 4],
    )
    boundary = AdvantageFixture(
        _law(
            "episode-boundary",
            "No advantage crosses the end of an episode, in any row.",
            "The trace is cut at termination only, or in all rows where one ends.",
        ),
        # Row 0 terminates with step 1, row 1 is truncated there, row 2 goes on. All values are 0, so that nothing but
        # the trace decides: γλ = ½.
        AdvantageCase(
            np.array([[1.0, 1, 1], [2, 2, 2], [4, 4, 4]]),
            np.zeros((3, 3)),
            np.zeros(3),
            np.zeros((3, 3)),
            np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]], bool),
            np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], bool),
            0.5,
            1.0,
        ),
        # Rows 0, 1: A_2 = 4, A_1 = 2, A_0 = 1 + ½·2 = 2.    Row 2: A_2 = 4, A_1 = 2 + ½·4 = 4, A_0 = 1 + ½·4 = 3.
        np.array([[2.0, 2, 3], [2, 2, 4], [4, 4, 4]]),
    )
    zero = _fixture(
        _law("lambda-0", "With λ = 0 the advantage is δ.", "λ is fixed, or is not where γλ is multiplied."),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        last=16.0,
        trace=0.0,
        # As in `inside`: δ = 1, 2, 4.
        expected=[1, 2, 4],
    )
    one = _fixture(
        _law("lambda-1", "With λ = 1 it is the discounted return less the value.", "λ is fixed, or γ left out."),
        rewards=[1, 2, 4],
        values=[2, 4, 8],
        last=16.0,
        trace=1.0,
        # A_2 = 4 + ½·16 − 8 = 4      A_1 = 2 + ½·4 + ¼·16 − 4 = 4      A_0 = 1 + ½·2 + ¼·4 + ⅛·16 − 2 = 3
        expected=[3, 4, 4],
    )
    end = _fixture(
        _law(
            "bootstrap-at-end",
            "The return goes on in V(obs_T) where the rollout ends in mid-episode.",
            "The value after the last step is left out, or that of the last step is used twice.",
        ),
        rewards=[0, 0],
        values=[0, 2],
        last=8.0,
        trace=0.5,
        # δ_1 = 0 + ½·8 − 2 = 2       A_1 = 2
        # δ_0 = 0 + ½·2 − 0 = 1       A_0 = 1 + ¼·2 = 1.5
        expected=[1.5, 2],
    )
    return (inside, terminated, truncated, both, boundary, zero, one, end)


def _fixture(
    law: Law,
    *,
    rewards: list,
    values: list,
    last: float,
    trace: float,
    expected: list,
    final: list | None = None,
    terminated: list | None = None,
    truncated: list | None = None,
) -> AdvantageFixture:
    """One row, γ = ½."""

    def column(numbers: list | None, dtype: type = float) -> np.ndarray:
        return np.array([0] * len(rewards) if numbers is None else numbers, dtype)[:, None]

    flags = column(terminated, bool), column(truncated, bool)
    case = AdvantageCase(
        column(rewards), column(values), np.array([float(last)]), column(final), *flags, 0.5, float(trace)
    )
    return AdvantageFixture(law, case, column(expected))


def check_advantages(function: Callable[[AdvantageCase], Any], *, tolerance: float = 1e-5) -> Findings:
    """Runs a function of advantages through `advantage_fixtures`.

    Args:
        function: takes an `AdvantageCase` (arrays `[T, B]` in float64) and returns advantages `[T, B]`.
        tolerance: the largest difference taken for rounding, relative to the largest advantage.

    Returns:
        A finding for each fixture; where numbers differ it names the wrong variant that gives them in all fixtures,
        where there is one.
    """
    fixtures, results = advantage_fixtures(), []
    for fixture in fixtures:
        try:
            case = fixture.case._replace(
                **{k: v.copy() for k, v in fixture.case._asdict().items() if hasattr(v, "copy")}
            )
            results.append(np.asarray(function(case), np.float64))
        except Exception as error:
            results.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    variants = _variants(fixtures, results, tolerance)
    return Findings(_finding(f, got, variants, tolerance) for f, got in zip(fixtures, results, strict=True))


def _variants(fixtures: tuple[AdvantageFixture, ...], results: list, tolerance: float) -> list[str]:
    """Those that give the function's numbers in every fixture."""
    common: list[str] | None = None
    for fixture, got in zip(fixtures, results, strict=True):
        if isinstance(got, str) or got.shape != fixture.expected.shape:
            return []
        matching = matching_variants(fixture.case, got, tolerance, np.ones(got.shape, bool))
        common = matching if common is None else [name for name in common if name in matching]
    return common or []


def _finding(fixture: AdvantageFixture, got: Any, variants: list[str], tolerance: float) -> Finding:
    law, expected = fixture.law, fixture.expected
    if isinstance(got, str):
        return law.not_checked(f"the function raised {got}")
    if got.shape != expected.shape:
        return law.broken(f"shape {expected.shape}", f"shape {got.shape}")
    errors = np.abs(got - expected)
    errors = np.where(np.isnan(errors), np.inf, errors)
    if errors.max() <= tolerance * max(1.0, np.abs(expected).max()):
        return law.held()
    named = f"; {' or '.join(variants)}" if variants else ""
    t, row = np.argwhere(errors > tolerance)[0]
    return law.broken(_say(expected), _say(got) + named, f"step {t}, row {row}")


def _say(advantages: np.ndarray) -> str:
    return str(np.round(advantages, 4).squeeze(axis=1).tolist() if advantages.shape[1] == 1 else advantages.tolist())
