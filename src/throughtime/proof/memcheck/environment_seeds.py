"""Laws of seeds: the same one gives the same episode, another one another, and nothing is left of the last."""

from collections import Counter
from typing import Any

from throughtime.proof.memcheck import environment_laws as laws
from throughtime.proof.memcheck.environment_probe import Probe, Trace
from throughtime.proof.memcheck.environment_values import row, same
from throughtime.proof.memcheck.law import Finding

SEEDS = 20
BY_CHANCE = 1e-4  # what may be, with this probability, is not called a fault


def seed_laws(probe: Probe, trace: Trace, again: Trace, fresh: Trace | None) -> tuple[Finding, Finding]:
    """`seed-decides` and `reset-leaves-nothing-behind`.

    Args:
        probe: the environment.
        trace: the main run, from the environment as given.
        again: the same seed and actions once more, on the same instance.
        fresh: the same on another instance that had not run before; None where there is none.
    """
    if again.failure and not again.steps:
        why = f"the second run failed: {again.failure}"
        return laws.SEED.not_checked(why), laws.NOTHING_LEFT.not_checked(why)
    difference = first_difference(trace, again)
    if difference is None:
        note = f"{len(again.steps)} steps twice"
        return laws.SEED.held(note), laws.NOTHING_LEFT.held(note)
    expected = "the same observations, rewards and flags, twice"
    if fresh is None:
        got = "others (where something is left of earlier episodes, a function that makes the environment would tell)"
        broken = laws.SEED.broken(expected, got, difference)
        return broken, laws.NOTHING_LEFT.not_checked(f"{laws.SEED.id} does not hold")
    if (unseeded := first_difference(trace, fresh)) is not None:
        broken = laws.SEED.broken(expected, "others, from two fresh instances", unseeded)
        return broken, laws.NOTHING_LEFT.not_checked(f"{laws.SEED.id} does not hold")
    got = "others than those of a fresh instance, after earlier episodes"
    return laws.SEED.held("two fresh instances"), laws.NOTHING_LEFT.broken(expected, got, difference)


def episodes_differ(probe: Probe, trace: Trace, firsts: list[Any], rows: list[list[Any]]) -> Finding:
    """First observations after unseeded resets, and across rows, vary as they do across seeds.

    Args:
        probe: the environment.
        trace: the main run.
        firsts: the first observation (of row 0) for each of `SEEDS` seeds.
        rows: for each seed, the first observations of all rows.
    """
    law = laws.EPISODES_DIFFER
    if not firsts:
        return law.not_checked("needs a reset that takes a seed")
    usual = max(Counter(_index(firsts)).values()) / len(firsts)
    if usual == 1.0:
        return law.not_checked(f"the first observation is the same for {len(firsts)} seeds")
    B = len(rows[0])
    if B > 1 and usual ** ((B - 1) * len(rows)) < BY_CHANCE and all(same(r[0], x) for r in rows for x in r[1:]):
        return law.broken("rows that differ, as seeds do", f"{B} rows with the same first observation", "reset")
    starts = _starts(probe, trace)
    if len(starts) < 2 or usual ** (len(starts) - 1) >= BY_CHANCE:
        return law.not_checked(f"needs more episodes than {len(starts)}: give more `steps`")
    if len(set(_index(starts))) == 1:
        got = f"{len(starts)} episodes in a row with the same first observation"
        return law.broken("episodes that differ, as seeds do", got, "row 0")
    return law.held(f"{len(starts)} episodes")


def first_difference(a: Trace, b: Trace) -> str | None:
    """Where two runs with the same actions part, over the length of the shorter; None if they do not."""
    if not same(a.first, b.first):
        return "reset: the first observation"
    for t, (x, y) in enumerate(zip(a.steps, b.steps, strict=False)):
        parts = {
            "observation": (x.observation, y.observation),
            "reward": (x.rewards, y.rewards),
            "flags": (x.ends, y.ends),
        }
        for name, (one, other) in parts.items():
            if not same(one, other):
                return f"step {t}: the {name}"
        if not same(x.reset_to, y.reset_to):
            return f"the reset after step {t}"
    return None


def _starts(probe: Probe, trace: Trace) -> list[Any]:
    """The first observations of row 0's episodes that began without a seed."""
    starts = []
    for t, step in enumerate(trace.steps):
        if not step.over[0]:
            continue
        if step.reset_to is not None:
            starts.append(step.reset_to)
        elif probe.mode != "next-step":
            starts.append(step.observation)
        elif t + 1 < len(trace.steps):
            starts.append(trace.steps[t + 1].observation)
    return [row(start, 0) for start in starts] if probe.vector else starts


def _index(values: list[Any]) -> list[int]:
    """Each value's first position among its equals."""
    return [next(i for i, other in enumerate(values) if same(other, value)) for value in values]
