"""Checks on time: no look-ahead, no padding, one call or many, whole or in pieces."""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, Held, NotChecked, Outcome
from throughtime.proof.memcheck._probe import Path, RefusedError, at, has_floats, joined, poisoned


def check_time(case: Case) -> None:
    """CAUSAL, PADDING, CHUNKS and STEP_IS_SEQUENCE."""
    case.settle(laws.CAUSAL, lambda path: _causal(case, path), ["sequence"], gives_up=True)
    case.settle(laws.PADDING, lambda path: _padding(case, path), ["sequence"], gives_up=True)
    case.settle(laws.CHUNKS, lambda path: _chunks(case, path), ["sequence"])
    if "step" in case.probe.paths and case.useless("step") is None:
        case.settle(laws.STEP_IS_SEQUENCE, lambda _: _step_is_sequence(case), ["sequence"])
    else:  # settles as "not checked", and says why
        case.settle(laws.STEP_IS_SEQUENCE, lambda _: None, ["step"])


def _causal(case: Case, path: Path) -> Outcome:
    half = case.half
    later = joined(at(case.obs, slice(half)), at(case.other, slice(half, None)))
    changed = case.probe.run(path, case.fresh(), later)
    difference = case.meter.difference(_first(case.whole(path).outs, half), _first(changed.outs, half))
    return difference and difference.against(f"as before the observations from step {half} on changed")


def _padding(case: Case, path: Path) -> Outcome:
    """A sequence of T/2 steps alone, and with T/2 more steps behind it: others, then NaN; gradients come later."""
    half, obs = case.half, at(case.obs, slice(case.half))
    alone = case.probe.run(path, case.fresh(), obs).outs
    if difference := case.meter.difference(alone, _first(case.whole(path).outs, half)):
        return difference.against("as of the sequence alone")
    note: Outcome = None
    if has_floats(case.obs):
        nan = joined(obs, poisoned(obs))
        try:
            with_nan = case.probe.run(path, case.fresh(), nan, may_refuse=True).outs
        except RefusedError as error:
            note = Held(f"NaN was not checked: {error}")
        else:
            if difference := case.meter.difference(alone, _first(with_nan, half)):
                return difference.against("as of the sequence alone")._replace(
                    where=f"{difference.where}, NaN behind the end"
                )
    return note


def _chunks(case: Case, path: Path) -> Outcome:
    rest = at(case.obs, slice(case.half, None))
    second = case.probe.run(path, _middle(case), rest)
    difference = case.meter.difference(_second(case), second.outs, since=case.half, step=case.half)
    return difference and difference.against("as of the whole")._replace(where=f"second half, {difference.where}")


def _step_is_sequence(case: Case) -> Outcome:
    """From a fresh state; then the second half by `step`, from the state that `sequence` gave after the first.

    Where `step` is a sequence of one step, all that breaks pieces breaks this too.
    """
    if case.is_broken(laws.CHUNKS):
        return NotChecked(f"depends on {laws.CHUNKS.id}, which is broken")
    half = case.half
    if difference := case.meter.difference(case.whole("step").outs, case.whole("sequence").outs):
        return difference.against("as step gives")
    stepped = case.probe.run("step", _middle(case), at(case.obs, slice(half, None)))
    difference = case.meter.difference(_second(case), stepped.outs, since=half, step=half)
    return difference and difference.against("as sequence gives")._replace(
        where=f"step from sequence's state, {difference.where}"
    )


def _middle(case: Case) -> Any:
    """The state that `sequence` gives after the first half."""
    first = at(case.obs, slice(case.half))
    return case.kept("middle state", lambda: case.probe.run("sequence", case.fresh(), first)).state


def _second(case: Case) -> list[np.ndarray]:
    return [out[case.half :] for out in case.whole("sequence").outs]


def _first(outs: list[np.ndarray], steps: int) -> list[np.ndarray]:
    return [out[:steps] for out in outs]
