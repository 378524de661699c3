"""How time and memory grow with the sizes: a GRU layer in T, B and H, PPO's iterations in the number of environments.

Each size grows from a base by itself, the others stay. Every point is measured with one core and with two, on the
native kernels and on pure XLA. Cores are given to a process before JAX is imported in it (XLA makes a thread for each
core that it then sees), so that each number of cores has a process of its own: `scaling_worker.py`, which also says
what is counted as memory.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from throughtime.bench.machine import facts
from throughtime.core import ConfigError, ThroughtimeError
from throughtime.kernels import kernels, native_here

BASE = {"T": 100, "B": 16, "I": 32, "H": 32}
PPO_BASE = {"envs": 16}
AXES = ("T", "B", "H", "envs")
IMPLEMENTATIONS = ("native", "xla")


@dataclass(frozen=True)
class Point:
    """One size, on some cores."""

    axis: str  # of AXES: the size that grows
    factor: int  # times its base
    cores: int
    sizes: dict[str, int]
    measured: dict[str, dict[str, Any]]  # by implementation: seconds (a Timing's), xla_bytes, resident_bytes

    def seconds(self, implementation: str) -> float | None:
        """The median; None where the implementation is not to be had."""
        return self.measured[implementation]["seconds"]["median"] if implementation in self.measured else None

    def xla_bytes(self, implementation: str) -> int | None:
        """Temporaries and results, as XLA plans them."""
        return self.measured[implementation]["xla_bytes"] if implementation in self.measured else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self).copy()


def bench_scaling(
    axes: Sequence[str] = AXES,
    *,
    factors: Sequence[int] = (1, 10),
    cores: Sequence[int] | None = None,
    base: dict[str, int] | None = None,
    rounds: int = 20,
    seconds: float = 4.0,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Point]:
    """Measures forward and backward pass of a GRU layer, and PPO iterations, as one size after the other grows.

    Args:
        axes: of `AXES`.
        factors: by how much a size grows.
        cores: numbers of cores; by default 1 and 2, as far as there are so many.
        base: sizes other than `BASE`, `PPO_BASE` and the worker's for PPO ("steps", "width", "epochs", "minibatches").
        rounds: interleaved repeats at the most.
        seconds: time for a point's repeats.
        tell: called with what is measured next.

    Raises:
        ConfigError: more cores than there are, or a system that does not deal them out.
    """
    counts = _cores(cores)
    if any(factor < 1 for factor in factors):
        raise ConfigError(f"factors = {list(factors)}", "Sizes grow by whole numbers.", "Give factors of 1 or more.")
    given = base or {}
    points: list[Point] = []
    for count in counts:
        jobs = []
        for axis in axes:
            start = PPO_BASE if axis == "envs" else BASE
            start = start | {key: value for key, value in given.items() if (key in BASE) == (axis != "envs")}
            jobs += [
                {"axis": axis, "factor": factor, "sizes": start | {axis: start[axis] * factor}} for factor in factors
            ]
        points += _measure(count, jobs, rounds, seconds, tell)
    return points


def implementations() -> tuple[list[str], dict[str, str]]:
    """Those to be had here, and the others with the reason: pure XLA runs everywhere, the native kernels do not."""
    with kernels("auto"):
        native, reason = native_here()
    return (list(IMPLEMENTATIONS), {}) if native else (["xla"], {"native": reason})


def _cores(asked: Sequence[int] | None) -> list[int]:
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            f"bench scaling cannot limit the cores of a process on {sys.platform}.",
            "Processors are dealt out by sched_setaffinity, which is Linux's.",
            "Run it on Linux.",
        )
    here = len(os.sched_getaffinity(0))
    if asked is None:
        return [count for count in (1, 2) if count <= here]
    for count in asked:
        if not 1 <= count <= here:
            raise ConfigError(f"cores = {count}", f"This process has {here}.", f"Ask for 1 to {here}.")
    return list(asked)


def _measure(
    cores: int, jobs: list[dict[str, Any]], rounds: int, seconds: float, tell: Callable[[str], object]
) -> list[Point]:
    """A process with so many cores, a line for each job."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    program = (
        f"import os; os.sched_setaffinity(0, {chosen!r}); "  # before JAX, which counts them
        "from throughtime.bench.scaling_worker import main; main()"
    )
    spec = {"jobs": jobs, "implementations": implementations()[0], "rounds": rounds, "seconds": seconds}
    points: list[Point] = []
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as said:
        json.dump(spec, given)
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=given, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process:
            assert process.stdout is not None
            for n, job in enumerate(jobs):
                tell(f"{job['axis']} × {job['factor']}, {cores} core{'s' * (cores > 1)} ({n + 1} of {len(jobs)})")
                line = process.stdout.readline()
                if not line:
                    break
                points.append(Point(cores=cores, **job, measured=json.loads(line)))
        if process.returncode or len(points) < len(jobs):
            said.seek(0)
            lines = said.read().strip().splitlines()
            raise ThroughtimeError(
                f"The process that measures with {cores} cores ended with status {process.returncode}.",
                lines[-1] if lines else "It said nothing.",
                "Where memory ran out, take smaller --factors.",
            )
    return points


def growth(points: Sequence[Point]) -> list[dict[str, Any]]:
    """By axis and cores: time and memory at the largest size over those at the smallest, and the exponent of time.

    The exponent is log(time ratio) / log(size ratio): 1 where time is proportional to the size.
    """
    rows = []
    for axis, cores in dict.fromkeys((point.axis, point.cores) for point in points):
        mine = sorted((p for p in points if (p.axis, p.cores) == (axis, cores)), key=lambda p: p.factor)
        low, high = mine[0], mine[-1]
        for name in low.measured:
            time = high.measured[name]["seconds"]["median"] / low.measured[name]["seconds"]["median"]
            size = high.factor / low.factor
            rows.append(
                {
                    "axis": axis,
                    "cores": cores,
                    "kernels": name,
                    "size": size,
                    "time": time,
                    "exponent": math.log(time) / math.log(size) if size > 1 else None,
                    "memory": high.measured[name]["xla_bytes"] / low.measured[name]["xla_bytes"],
                }
            )
    return rows


def report(points: Sequence[Point]) -> dict[str, Any]:
    """The points and their growth as one JSON object."""
    return {
        "benchmark": "scaling",
        "machine": facts(),
        "left_out": implementations()[1],
        "summary": growth(points),
        "points": [point.as_dict() for point in points],
    }
