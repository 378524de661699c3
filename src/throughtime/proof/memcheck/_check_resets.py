"""Checks on resets.

The flag is raised in the middle of a sequence, and what comes out tells what the policy did with it:

    nothing                       reset-acts
    the same, one step late       reset-before-reading
    something before the flag     reset-is-not-early
    something in another row      reset-is-per-row
    something else                reset-is-a-fresh-start

The first law that explains it is named, and those that build on it are not checked.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, Held, NotChecked, Outcome
from throughtime.proof.memcheck._meter import Difference
from throughtime.proof.memcheck._probe import Path, RefusedError, at, has_floats, joined, poisoned, with_rows
from throughtime.proof.memcheck.law import Law

MIDDLE = (laws.PER_ROW, laws.NOT_EARLY, laws.ACTS, laws.BEFORE_READING, laws.FRESH)
FRESHLY = "as from a fresh start"
IDLE = "the past makes no difference here, reset or not"


class Diagnosis(NamedTuple):
    """What a reset in the middle of a sequence did."""

    law: Law | None  # the one that is broken
    difference: Difference | None
    matters: bool  # whether the past makes a difference without a reset


def check_resets(case: Case) -> None:
    """The laws of the middle, then first step, last step, twice, NaN."""
    for law in MIDDLE:
        case.settle(law, lambda path, law=law: _middle(case, path, law))
    case.settle(laws.FIRST_STEP, lambda path: _built_on(case, path, _first_step))
    case.settle(laws.LAST_STEP, lambda path: _built_on(case, path, _last_step))
    case.settle(laws.TWICE, lambda path: _built_on(case, path, _twice))
    case.settle(laws.NAN, lambda path: _built_on(case, path, _nan))


def _middle(case: Case, path: Path, law: Law) -> Outcome:
    found: Diagnosis = case.kept(("middle", path), lambda: _diagnose(case, path))
    if found.law is law:
        return found.difference
    if found.law is not None and MIDDLE.index(found.law) < MIDDLE.index(law):
        return NotChecked(f"depends on {found.law.id}, which is broken")
    return None if found.matters else Held(IDLE)


def _diagnose(case: Case, path: Path) -> Diagnosis:
    """Resets the even rows at T/2, after two different pasts."""
    half, meter, whole = case.half, case.meter, case.whole(path).outs
    flagged = np.flatnonzero(np.arange(case.B) % 2 == 0)
    others = np.flatnonzero(np.arange(case.B) % 2 == 1)
    flags = case.resets([half], rows=flagged)
    with_reset = case.probe.run(path, case.fresh(), case.obs, flags).outs
    fresh = _cut(case.second_half(path).outs, slice(None), flagged)
    past, after = slice(half), slice(half, None)
    plain = _cut(whole, after, flagged)
    matters = meter.difference(fresh, plain, since=half) is not None

    def broken(law: Law, difference: Difference | None) -> Diagnosis:
        what = "as without the reset" if law in (laws.PER_ROW, laws.NOT_EARLY) else FRESHLY
        return Diagnosis(law, difference and difference.against(what), matters)

    if difference := meter.difference(
        _cut(whole, slice(None), others), _cut(with_reset, slice(None), others), rows=others
    ):
        return broken(laws.PER_ROW, difference)
    if difference := meter.difference(_cut(whole, past, flagged), _cut(with_reset, past, flagged), rows=flagged):
        return broken(laws.NOT_EARLY, difference)
    got = _cut(with_reset, after, flagged)
    if difference := meter.difference(fresh, got, step=half, rows=flagged):
        if meter.difference(plain, got, since=half) is None:
            return broken(laws.ACTS, difference)
        at_once = [[leaf[:1] for leaf in leaves] for leaves in (plain, got)]
        if meter.difference(*at_once, since=half) is None:
            return broken(laws.BEFORE_READING, difference)
        return broken(laws.FRESH, difference)
    elsewhere = joined(at(case.other, past), at(case.obs, after))
    got = _cut(case.probe.run(path, case.used(path), elsewhere, flags).outs, after, flagged)
    if difference := meter.difference(fresh, got, step=half, rows=flagged):
        return broken(laws.FRESH, difference)
    return Diagnosis(None, None, matters)


def _built_on(case: Case, path: Path, check: Callable[[Case, Path], Outcome]) -> Outcome:
    found: Diagnosis = case.kept(("middle", path), lambda: _diagnose(case, path))
    if found.law is not None:
        return NotChecked(f"depends on {found.law.id}, which is broken")
    outcome = check(case, path)
    if isinstance(outcome, Difference):
        return outcome.against(FRESHLY)
    return Held(IDLE) if outcome is None and not found.matters else outcome


def _first_step(case: Case, path: Path) -> Outcome:
    got = case.probe.run(path, case.used(path), case.obs, case.resets([0])).outs
    return case.meter.difference(case.whole(path).outs, got)


def _last_step(case: Case, path: Path) -> Outcome:
    """The last step, and the steps that go on from its state."""
    last, half = case.T - 1, case.half
    ended = case.probe.run(path, case.fresh(), case.obs, case.resets([last]))
    goes_on = at(case.other, slice(half))
    fresh = case.probe.run(path, case.fresh(), joined(at(case.obs, slice(last, None)), goes_on)).outs
    if difference := case.meter.difference(_until(fresh, 1), [out[last:] for out in ended.outs], step=last):
        return difference
    if case.is_broken(laws.CHUNKS):
        return None
    after = case.probe.run(path, ended.state, goes_on).outs
    difference = case.meter.difference([out[1:] for out in fresh], after, since=1, step=case.T)
    return difference and difference._replace(where=f"{difference.where}, going on from the state")


def _twice(case: Case, path: Path) -> Outcome:
    """Flags at T/2 − 1 and T/2."""
    half, last = case.half, case.half - 1
    got = case.probe.run(path, case.fresh(), case.obs, case.resets([last, half])).outs
    alone = case.probe.run(
        path, case.fresh(), joined(at(case.obs, slice(last, half)), at(case.other, slice(last)))
    ).outs
    if difference := case.meter.difference(_until(alone, 1), [out[last:half] for out in got], step=last):
        return difference
    return case.meter.difference(case.second_half(path).outs, [out[half:] for out in got], step=half)


def _nan(case: Case, path: Path) -> Outcome:
    """First a state of NaN, then observations of NaN in some rows."""
    state = case.used(path)
    tried = False
    try:
        if has_floats(state) and not case.is_broken(laws.FIRST_STEP):
            tried = True
            got = case.probe.run(path, poisoned(state), case.obs, case.resets([0]), may_refuse=True).outs
            if difference := case.meter.difference(case.whole(path).outs, got):
                return difference._replace(where=f"{difference.where}, the state before the reset NaN")
        if has_floats(case.obs):
            tried = True
            return _nan_observations(case, path)
    except RefusedError as error:
        return NotChecked(f"the policy refuses NaN: {error}")
    return None if tried else NotChecked("neither state nor observations are floats")


def _nan_observations(case: Case, path: Path) -> Outcome:
    half, flagged = case.half, np.flatnonzero(np.arange(case.B) % 2 == 0)
    rest = at(case.obs, slice(half, None))
    past = with_rows(at(case.obs, slice(half)), poisoned(at(case.obs, slice(half))), flagged)
    flags = case.resets([half], rows=flagged)
    got = case.probe.run(path, case.fresh(), joined(past, rest), flags, may_refuse=True).outs
    expected = _cut(case.second_half(path).outs, slice(None), flagged)
    if difference := case.meter.difference(expected, _cut(got, slice(half, None), flagged), step=half, rows=flagged):
        return difference._replace(where=f"{difference.where}, observations before the reset NaN")
    return None


def _cut(outs: list[np.ndarray], steps: slice, rows: np.ndarray) -> list[np.ndarray]:
    return [out[steps][:, rows] for out in outs]


def _until(outs: list[np.ndarray], steps: int) -> list[np.ndarray]:
    return [out[:steps] for out in outs]
