"""Checks on time: no look-ahead, no padding, one call or many, whole or in pieces."""

import numpy as np

from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, Held, Outcome
from throughtime.proof.memcheck._probe import Path, RefusedError, at, has_floats, joined, poisoned

WHOLE = "as of the whole"


def check_time(case: Case) -> None:
    """CAUSAL, PADDING, STEP_IS_SEQUENCE and CHUNKS."""
    case.settle(laws.CAUSAL, lambda path: _causal(case, path), ["sequence"], gives_up=True)
    case.settle(laws.PADDING, lambda path: _padding(case, path), ["sequence"], gives_up=True)
    if "step" in case.probe.paths and case.useless("step") is None:
        case.settle(laws.STEP_IS_SEQUENCE, lambda _: _step_is_sequence(case), ["sequence"])
    else:  # settles as "not checked", and says why
        case.settle(laws.STEP_IS_SEQUENCE, lambda _: None, ["step"])
    case.settle(laws.CHUNKS, lambda path: _chunks(case, path), ["sequence"])


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


def _step_is_sequence(case: Case) -> Outcome:
    difference = case.meter.difference(case.whole("step").outs, case.whole("sequence").outs)
    return difference and difference.against("as step gives")


def _chunks(case: Case, path: Path) -> Outcome:
    """Both halves by `sequence`; then the second half by `step`, from the state that `sequence` gave."""
    half, whole = case.half, [out[case.half :] for out in case.whole(path).outs]
    middle = case.probe.run(path, case.fresh(), at(case.obs, slice(half))).state
    rest = at(case.obs, slice(half, None))
    second = case.probe.run(path, middle, rest)
    if difference := case.meter.difference(whole, second.outs, since=half, step=half):
        return difference.against(WHOLE)._replace(where=f"second half, {difference.where}")
    if "step" not in case.probe.paths or case.useless("step") or case.is_broken(laws.STEP_IS_SEQUENCE):
        return None
    stepped = case.probe.run("step", middle, rest)
    if difference := case.meter.difference(whole, stepped.outs, since=half, step=half):
        return difference.against(WHOLE)._replace(where=f"second half by step, {difference.where}")
    return None


def _first(outs: list[np.ndarray], steps: int) -> list[np.ndarray]:
    return [out[:steps] for out in outs]
