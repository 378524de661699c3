"""Laws that need no policy: shapes, finite numbers, fake steps, reset flags, advantages and returns."""

import numpy as np

from throughtime.proof.memcheck.law import Finding
from throughtime.proof.memcheck.rollout import laws
from throughtime.proof.memcheck.rollout._arrays import (
    MissingError,
    ShapeFault,
    at,
    ended,
    leaves,
    need,
    step_and_row,
    trained,
    worst,
)
from throughtime.proof.memcheck.rollout.advantages import AdvantageCase, advantages_of, matching_variants
from throughtime.proof.memcheck.rollout.data import Rollout

NUMBERS = (
    "observations",
    "rewards",
    "values",
    "log_probs",
    "actions",
    "last_values",
    "advantages",
    "returns",
    "states",
)


def shapes(rollout: Rollout, faults: list[ShapeFault]) -> Finding:
    """What `arrays_of` found."""
    if faults:
        return laws.SHAPES.broken(*faults[0])
    T, B = rollout.resets.shape
    return laws.SHAPES.held(f"T = {T}, B = {B}")


def finite(rollout: Rollout) -> Finding:
    """Every recorded number; those of masked steps may be anything."""
    kept = trained(rollout)
    for name in NUMBERS:
        for a in leaves(getattr(rollout, name)):
            bad = ~np.isfinite(a)
            per_step = bad.ndim >= 2 and bad.shape[:2] == kept.shape
            if per_step:
                bad &= kept.reshape(kept.shape + (1,) * (bad.ndim - 2))
            if bad.any():
                index = np.argwhere(bad)[0]
                where = f"{name}, {step_and_row(index)}" if per_step else f"{name}, index {tuple(map(int, index))}"
                return laws.FINITE.broken("a finite number", str(a[tuple(index)]), where)
    return laws.FINITE.held()


def no_fake_steps(rollout: Rollout) -> Finding:
    """The step after an end is masked under next-step autoreset, or where it begins with the final observation."""
    over = ended(rollout)[:-1]
    kept = trained(rollout)[1:]
    if rollout.autoreset == "next-step":
        fake = over & kept
        expected, got = "a masked step: it only resets the environment", "a step that is trained on"
    elif rollout.final_observations is not None:
        need(rollout, "observations")
        final, obs = (
            leaves(at(rollout.final_observations, slice(0, -1))),
            leaves(at(rollout.observations, slice(1, None))),
        )
        fake = over & kept & _same(final, obs)
        # Observations of few kinds may repeat by chance; a reset step repeats at every end.
        fake &= bool(fake.sum() == (over & kept).sum())
        if fake.any() and fake.sum() < 3:
            raise MissingError("each episode begins with the final observation of the last one: needs three ends")
        repeats = _same(leaves(at(rollout.observations, slice(0, -1))), obs)[~over]
        if fake.any() and (repeats.mean() if repeats.size else 1.0) >= 0.5:
            raise MissingError("needs observations that differ from step to step")
        expected, got = "the next episode's first observation", "the final observation of the last one, once more"
    elif rollout.autoreset is not None:
        return laws.NO_FAKE_STEPS.held(f"{rollout.autoreset} autoreset has none")
    else:
        raise MissingError("needs autoreset, or final_observations")
    if fake.any():
        t, row = np.argwhere(fake)[0]
        return laws.NO_FAKE_STEPS.broken(expected, got, f"{step_and_row((t + 1, row))}; {fake.sum()} such steps")
    return laws.NO_FAKE_STEPS.held(f"{int(over.sum())} ends")


def _same(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Where two nestings of observations are equal, `[T, B]`."""
    return np.all([(x == y).all(axis=tuple(range(2, x.ndim))) for x, y in zip(a, b, strict=True)], axis=0)


def resets(rollout: Rollout) -> Finding:
    """Up exactly where the step before ended an episode (two steps before, under next-step autoreset)."""
    over = ended(rollout)
    later = 2 if rollout.autoreset == "next-step" else 1
    expected, flags = over[:-later], rollout.resets[later:]
    kept = trained(rollout)[later:]
    if not (expected & kept).any():
        raise MissingError("needs an episode that ends within the rollout")
    wrong = kept & (flags != expected)
    if not wrong.any():
        return laws.RESETS.held(f"{int(expected.sum())} episodes begin within the rollout")
    t, row = np.argwhere(wrong)[0]
    got = "up" if flags[t, row] else "down"
    if not rollout.resets[1:].any():
        got = "down; the flag never goes up"
    elif (rollout.resets == over).all():
        got += "; the flags are one step early: they are those of the episode's last step"
    elif len(over) > later + 1 and (rollout.resets[later + 1 :] == over[: -later - 1]).all():
        got += "; the flags are one step late"
    return laws.RESETS.broken("up" if expected[t, row] else "down", got, step_and_row((t + later, row)))


def advantages(rollout: Rollout, tolerance: float) -> Finding:
    """GAE by its definition; a known wrong variant by its name."""
    need(rollout, "advantages", "rewards", "values", "terminated", "truncated", "discount", "trace")
    case = advantage_case(rollout)
    got, right, where = rollout.advantages.astype(np.float64), advantages_of(case), trained(rollout)
    errors = np.where(where, np.abs(got - right), 0.0)
    scale = max(1.0, float(np.abs(right[where]).max(initial=0.0)))
    if errors.max(initial=0.0) <= tolerance * scale:
        return laws.ADVANTAGES.held(f"largest difference {errors.max(initial=0.0):.1e}")
    index = worst(errors)
    named = matching_variants(case, got, tolerance, where)
    if not named and len(got) > 1:  # what flags one step off do to the first step lies before the rollout
        named = matching_variants(case, got, tolerance, where & (np.arange(len(got)) > 0)[:, None])
    said = f"{got[index]:.6g}" + (f"; {' or '.join(named)}" if named else "")
    return laws.ADVANTAGES.broken(f"{right[index]:.6g}", said, step_and_row(index))


def advantage_case(rollout: Rollout) -> AdvantageCase:
    """The rollout as its advantages' definition reads it."""
    over, B = ended(rollout), rollout.resets.shape[1]
    cut = rollout.truncated & ~rollout.terminated & trained(rollout)
    if cut.any():
        need(rollout, "final_values")
    final = np.zeros(over.shape) if rollout.final_values is None else rollout.final_values
    if (~over[-1:] & trained(rollout)[-1:]).any():
        need(rollout, "last_values")
    last = np.zeros(B) if rollout.last_values is None else rollout.last_values
    discount, trace = rollout.discount, rollout.trace
    assert discount is not None
    assert trace is not None
    return AdvantageCase(
        np.asarray(rollout.rewards, np.float64),
        np.asarray(rollout.values, np.float64),
        np.asarray(last, np.float64),
        np.asarray(final, np.float64),
        rollout.terminated,
        rollout.truncated,
        float(discount),
        float(trace),
    )


def returns(rollout: Rollout, tolerance: float) -> Finding:
    """Value targets are advantages + values."""
    need(rollout, "returns", "advantages", "values")
    right = rollout.advantages.astype(np.float64) + rollout.values
    errors = np.where(trained(rollout), np.abs(rollout.returns - right) / np.maximum(1.0, np.abs(right)), 0.0)
    if errors.max(initial=0.0) <= tolerance:
        return laws.RETURNS.held()
    index = worst(errors)
    return laws.RETURNS.broken(f"{right[index]:.6g}", f"{rollout.returns[index]:.6g}", step_and_row(index))
