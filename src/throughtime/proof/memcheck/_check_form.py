"""Checks of form: finite, the state keeps its form, calls repeat and leave no trace."""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, Outcome
from throughtime.proof.memcheck._meter import Difference
from throughtime.proof.memcheck._probe import Path, RefusedError, UnansweredError, at


def check_form(case: Case) -> None:
    """FINITE, FORM, DETERMINISTIC and VALUE."""
    case.settle(laws.FINITE, lambda path: _finite(case, path), gives_up=True)
    case.settle(laws.FORM, lambda path: _form(case, path))
    case.settle(laws.DETERMINISTIC, lambda path: _deterministic(case, path), gives_up=True)
    case.settle(laws.VALUE, lambda path: _value(case, path))


def _finite(case: Case, path: Path) -> Outcome:
    outs = case.whole(path).outs
    for name, out in zip(case.probe.leaf_names, outs, strict=True):
        if out.dtype.kind in "fc" and np.isnan(out).any():
            t, row = map(int, np.argwhere(np.isnan(out))[0][:2])
            count = int(np.isnan(out).sum())
            leaf = f", output {name!r}" if name else ""
            return Difference("numbers", f"NaN ({count} of {out.size})", f"step {t}, row {row}{leaf}")
    return None


def _form(case: Case, path: Path) -> Outcome:
    fresh, after = case.fresh(), case.whole(path).state
    difference = _compare_form(fresh, after)
    if difference and _shapes(fresh) != _shapes(after):
        case.give_up(path, laws.FORM)  # what comes of such a state says nothing
    return difference


def _shapes(state: Any) -> tuple[str, list[tuple[int, ...]]]:
    return trees.structure(state), [tuple(getattr(leaf.value, "shape", ())) for leaf in trees.leaves(state)]


def _compare_form(before: Any, after: Any) -> Difference | None:
    expected, got = trees.structure(before), trees.structure(after)
    if expected != got:
        return Difference(expected, got, "the state's structure")
    for a, b in zip(trees.leaves(before), trees.leaves(after), strict=True):
        if not trees.is_array(b.value):
            return Difference("an array", f"a {type(b.value).__name__}", f"state, {b}")
        was, now = ((tuple(x.value.shape), trees.dtype_name(x.value)) for x in (a, b))
        if was != now:
            return Difference(f"shape {was[0]}, {was[1]}", f"shape {now[0]}, {now[1]}", f"state, {b}")
    return None


def _deterministic(case: Case, path: Path) -> Outcome:
    """The same run from a used state twice: once after a run of other observations, once after itself."""
    state = case.used(path)
    case.probe.run(path, state, case.other)
    first, second = (case.probe.run(path, state, case.obs) for _ in range(2))
    for name, a, b in zip(case.probe.leaf_names, first.outs, second.outs, strict=True):
        beyond = ~np.isclose(a, b, rtol=1e-5, atol=1e-6 * _size(a), equal_nan=True)
        if beyond.any():
            place = tuple(map(int, np.argwhere(beyond)[0]))
            leaf = f", output {name!r}" if name else ""
            where = f"step {place[0]}, row {place[1]}{leaf}, called again"
            return Difference(f"{a[place]:.6g}, as at first", f"{b[place]:.6g}", where)
    a, b = (trees.leaves(case.probe.initial(case.B)) for _ in range(2))
    for x, y in zip(a, b, strict=False):
        if not np.array_equal(trees.to_numpy(x.value), trees.to_numpy(y.value), equal_nan=True):
            return Difference("the same initial state", "another one", f"initial_state called again, {x}")
    return None


def _size(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(np.max(finite, initial=0.0))


def _value(case: Case, path: Path) -> Outcome:
    """Calls the policy on arrays that are watched."""
    probe, state = case.probe, trees.copied(case.used(path))
    flags = case.resets([0, case.half], rows=0)
    if path == "step":
        first, second = (at(case.obs, t) for t in (0, 1))
        resets = flags[0]
    else:
        first, second, resets = case.obs, case.other, flags
    given = {"state": state, "obs": trees.copied(first), "reset": resets.copy()}
    before = {name: _snapshot(tree) for name, tree in given.items()}
    answer = probe.call(path, *given.values())
    for name, tree in given.items():
        if leaf := _changed(before[name], tree):
            return Difference(f"{name} as it was", "changed by the call", f"{name}, {leaf}")
    returned = answer[0]
    kept = _snapshot(returned)
    try:
        probe.call(path, trees.copied(returned), trees.copied(second), resets.copy(), may_refuse=True)
    except RefusedError as error:
        raise UnansweredError(str(error)) from None
    if leaf := _changed(kept, returned):
        return Difference("the returned state as it was", "changed by the next call", f"returned state, {leaf}")
    return None


def _snapshot(tree: Any) -> list[np.ndarray]:
    return [trees.to_numpy(leaf.value) for leaf in trees.leaves(tree) if trees.is_array(leaf.value)]


def _changed(before: list[np.ndarray], tree: Any) -> trees.Leaf | None:
    arrays = [leaf for leaf in trees.leaves(tree) if trees.is_array(leaf.value)]
    for a, leaf in zip(before, arrays, strict=True):
        if not np.array_equal(a, trees.to_numpy(leaf.value), equal_nan=a.dtype.kind in "fc"):
            return leaf
    return None
