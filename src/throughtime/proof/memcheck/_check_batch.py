"""Checks on the batch: rows are independent, wherever and beside whomever they are.

A row that comes out otherwise than it should may have several causes; each cause is a law of its own, and the first
that explains what is seen is named.
"""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, NotChecked, Outcome
from throughtime.proof.memcheck._meter import Difference
from throughtime.proof.memcheck._probe import Path, Run, UnansweredError, at, with_rows
from throughtime.proof.memcheck.law import Law

ORDER = (laws.TIME_STAYS, laws.ROWS, laws.ORDER, laws.SIZE)


def check_batch(case: Case) -> None:
    """TIME_STAYS, ROWS, ORDER and SIZE."""
    for law in ORDER:
        paths: tuple[Path, ...] = ("sequence",) if law is laws.TIME_STAYS else ("step", "sequence")
        case.settle(law, lambda path, law=law: _verdict(case, path, law), paths, gives_up=True)


def _verdict(case: Case, path: Path, law: Law) -> Outcome:
    named, difference = case.kept(("batch", path), lambda: _diagnose(case, path))
    if isinstance(difference, NotChecked):  # rows are independent, as far as could be seen
        return difference if law is laws.SIZE else None
    return difference if named is law else None


def _diagnose(case: Case, path: Path) -> tuple[Law | None, Difference | NotChecked | None]:
    """The law that is broken and where, or no law."""
    whole, meter = case.whole(path), case.meter
    for row in (0, case.B - 1):
        others = [b for b in range(case.B) if b != row]
        changed = case.probe.run(path, case.fresh(), with_rows(case.obs, case.other, others))
        if difference := meter.difference(_rows(whole, [row]), _rows(changed, [row]), rows=[row]):
            law = _explained_by_time(case, row) if path == "sequence" else None
            law = law or (laws.ORDER if _is_permuted(case, path) else laws.ROWS)
            what = "as before the other rows changed"
            return law, difference.against(what)
    permutation = np.roll(np.arange(case.B), 1)
    permuted = case.probe.run(path, case.fresh(), _take(case.obs, permutation))
    if difference := meter.difference(_rows(whole, permutation), permuted.outs):
        return laws.ORDER, difference.against("as in its first place")
    try:
        for row in (0, case.B - 1):
            if difference := meter.difference(_alone(case, path, row), _rows(whole, [row]), rows=[row]):
                return laws.SIZE, difference.against("as the row alone")
    except UnansweredError as error:
        return None, NotChecked(str(error))
    return None, None


def _alone(case: Case, path: Path, row: int, quiet: bool = False) -> list[np.ndarray]:
    """One row computed by itself."""
    obs = _take(case.obs, np.array([row]))
    return case.kept(("alone", path, row), lambda: case.probe.run(path, case.fresh(1), obs, may_refuse=quiet)).outs


def _is_permuted(case: Case, path: Path) -> bool:
    """Whether the outputs are those of the rows alone, in another order."""
    whole = case.whole(path)
    try:
        alone = [_alone(case, path, row, quiet=True) for row in range(case.B)]
    except UnansweredError:
        return False
    found = [
        [r for r in range(case.B) if case.meter.difference(alone[r], _rows(whole, [row])) is None]
        for row in range(case.B)
    ]
    return all(found) and any(row not in rows for row, rows in enumerate(found))


def _explained_by_time(case: Case, row: int) -> Law | None:
    """Whether `sequence` reads its data as [B, T, ...]: by a reshape that cuts rows into pieces, or by swapped axes.

    With swapped axes each step is a sequence of its own along the rows, in which the first row depends on no other.
    """
    T, B = case.T, case.B
    whole = case.whole("sequence").outs

    def reshaped(x: np.ndarray) -> np.ndarray:  # [T, B, ...] -> [B, T, ...] by memory order -> [T, B, ...]
        return x.reshape(B, T, *x.shape[2:]).swapaxes(0, 1)

    def back(y: np.ndarray) -> np.ndarray:
        return y.swapaxes(0, 1).reshape(T, B, *y.shape[2:])

    try:
        cut = trees.map_leaves(reshaped, case.obs)
        rows = [_single(case, _take(cut, np.array([b]))) for b in range(B)]
        side_by_side = [np.concatenate(leaf, axis=1) for leaf in zip(*rows, strict=True)]
        for expected in (side_by_side, [back(leaf) for leaf in side_by_side]):
            if case.meter.difference(expected, whole) is None:
                return laws.TIME_STAYS
        if row == 0:
            return None
        steps = [
            case.probe.run("sequence", case.fresh(), at(case.obs, slice(t, t + 1)), may_refuse=True) for t in range(T)
        ]
        expected = [np.concatenate(leaf) for leaf in zip(*(run.outs for run in steps), strict=True)]
        if case.meter.difference(expected, whole) is None:
            return laws.TIME_STAYS
    except UnansweredError:
        pass
    return None


def _single(case: Case, obs: Any) -> list[np.ndarray]:
    return case.probe.run("sequence", case.fresh(1), obs, may_refuse=True).outs


def _take(obs: Any, rows: np.ndarray) -> Any:
    return trees.map_leaves(lambda x: x[:, rows], obs)


def _rows(run: Run, rows: Any) -> list[np.ndarray]:
    return [out[:, rows] for out in run.outs]
