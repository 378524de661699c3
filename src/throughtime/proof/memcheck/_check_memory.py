"""Checks that there is a memory at all: the state changes, and it matters."""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, NotChecked, Outcome
from throughtime.proof.memcheck._meter import Difference
from throughtime.proof.memcheck._probe import Path, at

NO_STATE = "the state is empty: a policy without memory"


def check_memory(case: Case) -> None:
    """CHANGES and MATTERS."""
    case.settle(laws.CHANGES, lambda path: _changes(case, path), gives_up=True)
    case.settle(laws.MATTERS, lambda path: _matters(case, path), gives_up=True)


def _changes(case: Case, path: Path) -> Outcome:
    fresh = case.fresh()
    if not trees.leaves(fresh):
        return NotChecked(NO_STATE)
    later = [case.probe.run(path, fresh, at(case.obs, slice(1))).state] if path == "step" else []
    if any(_different(fresh, state) for state in (*later, case.whole(path).state, case.second_half(path).state)):
        return None
    return Difference("another state", "the state it was given, to the last bit", f"after {case.T} steps")


def _matters(case: Case, path: Path) -> Outcome:
    if not trees.leaves(case.fresh()):
        return NotChecked(NO_STATE)
    obs = at(case.obs, slice(case.half))
    sizes = [obs]
    if all(trees.floating(leaf.value) for leaf in trees.leaves(obs)):
        sizes += [trees.map_leaves(lambda x, s=size: x * x.dtype.type(s), obs) for size in (0.1, 0.0, 10.0)]
    for scaled in sizes:
        with_fresh, with_used = (case.probe.run(path, s, scaled).outs for s in (case.fresh(), case.used(path)))
        if any(
            not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(with_fresh, with_used, strict=True)
        ):
            return None
    return Difference(
        "other outputs from a used state than from a fresh one",
        "the same, to the last bit",
        f"steps 0 to {case.half - 1}, all rows",
    )


def _different(a: Any, b: Any) -> bool:
    if trees.structure(a) != trees.structure(b):
        return True
    pairs = zip(trees.leaves(a), trees.leaves(b), strict=True)
    return any(
        not np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
        for x, y in ((trees.to_numpy(p.value), trees.to_numpy(q.value)) for p, q in pairs if trees.is_array(q.value))
    )
