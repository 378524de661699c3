"""Times of several pieces of work, taken in turn, so that a busy or throttled machine slows all alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

Work = Callable[[], object]  # returns when it is done

LEAST_SAMPLE = 1e-3  # s; shorter work is repeated within a sample, or the clock would be what is measured


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work."""

    median: float
    low: float  # lower quartile
    high: float  # upper quartile
    samples: int

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def interleave(work: Mapping[str, Work], *, rounds: int, seconds: float) -> dict[str, Timing]:
    """Runs every piece once a round, in an order that turns with the rounds.

    Args:
        work: what to time, by name; each is called twice beforehand, which compiles it.
        rounds: how many at the most, at least 3.
        seconds: after so many no new round begins, unless there were fewer than 3.

    Returns:
        Medians and quartiles by name.
    """
    names, repeats = list(work), {}
    for name in names:
        work[name]()
        start = time.perf_counter()
        work[name]()
        repeats[name] = max(1, int(np.ceil(LEAST_SAMPLE / (time.perf_counter() - start + 1e-9))))
    samples: dict[str, list[float]] = {name: [] for name in names}
    began = time.perf_counter()
    for n in range(rounds):
        if n >= 3 and time.perf_counter() - began > seconds:
            break
        for name in names[n % len(names) :] + names[: n % len(names)]:
            call, count = work[name], repeats[name]
            start = time.perf_counter()
            for _ in range(count):
                call()
            samples[name].append((time.perf_counter() - start) / count)
    quartiles = {name: np.percentile(values, [25, 50, 75]) for name, values in samples.items()}
    return {name: Timing(float(q[1]), float(q[0]), float(q[2]), len(samples[name])) for name, q in quartiles.items()}
