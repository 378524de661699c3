"""Recurrent layers, forwards and with their backward pass, beside the same layers in other libraries."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from throughtime.bench.cell_peers import CELLS, PEERS, Sizes, installed, missing, ours
from throughtime.bench.machine import SGEMM_FLOPS, facts, sgemm
from throughtime.bench.timing import Timing, interleave

CASES: tuple[Sizes, ...] = (
    (128, 16, 32, 64),
    (128, 64, 64, 128),
    (64, 256, 128, 256),
    (512, 32, 256, 256),
    (64, 64, 512, 512),
    (1000, 1, 64, 64),
    (1, 64, 64, 128),
)
GATES = {"elman": 1, "lstm": 4, "gru": 3}
PASSES = {"forward": 1, "both": 3}  # products of a pass, in units of the forward pass's
OURS = "throughtime"


@dataclass(frozen=True)
class Row:
    """One cell, one size, one pass."""

    cell: str
    sizes: Sizes
    which: str  # forward, or both: forward and backward
    timings: dict[str, Timing]  # ours, the peers', and the machine's own products

    @property
    def peers(self) -> dict[str, float]:
        """Median seconds by peer."""
        return {name: t.median for name, t in self.timings.items() if name in PEERS}

    @property
    def best_peer(self) -> str | None:
        """The fastest; None where no peer was measured."""
        return min(self.peers, key=self.peers.__getitem__, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the best peer."""
        return None if self.best_peer is None else self.peers[self.best_peer] / self.timings[OURS].median

    @property
    def is_large(self) -> bool:
        """Whether products should be most of the work: many rows, many units, more than a step."""
        T, B, _, H = self.sizes
        return T > 1 and B >= 32 and H >= 128

    @property
    def flops(self) -> float:
        """Multiplications and additions of the pass's matrix products (gates are not counted)."""
        T, B, I, H = self.sizes  # noqa: E741
        return PASSES[self.which] * 2.0 * T * B * GATES[self.cell] * H * (I + H)

    @property
    def rate(self) -> float:
        """FLOP/s of our products."""
        return self.flops / self.timings[OURS].median

    @property
    def fraction_of_sgemm(self) -> float:
        """Our rate in units of the machine's."""
        return self.rate / self.sgemm_rate

    @property
    def sgemm_rate(self) -> float:
        """FLOP/s of the machine's own square product, the better of those measured beside it."""
        return SGEMM_FLOPS / min(t.median for name, t in self.timings.items() if name.startswith("sgemm"))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cell": self.cell,
            "sizes": dict(zip("TBIH", self.sizes, strict=True)),
            "pass": self.which,
            "seconds": {name: t.as_dict() for name, t in self.timings.items()},
            "best_peer": self.best_peer,
            "ratio_to_best_peer": self.ratio,
            "flop_per_second": self.rate,
            "fraction_of_sgemm": self.fraction_of_sgemm,
        }


def bench_cells(
    cells: Sequence[str] = CELLS,
    cases: Sequence[Sizes] = CASES,
    passes: Sequence[str] = tuple(PASSES),
    *,
    rounds: int = 40,
    seconds: float = 4.0,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Row]:
    """Measures every cell at every size, ours and the peers that are installed.

    Args:
        cells: of `CELLS`.
        cases: (T, B, I, H).
        passes: of `PASSES`.
        rounds: interleaved repeats at the most.
        seconds: time for a row's repeats.
        tell: called with what is measured next.
    """
    rows, total = [], len(cells) * len(cases) * len(passes)
    for cell in cells:
        for sizes in cases:
            works = {name: PEERS[name][1](cell, sizes) for name in installed()} | {OURS: ours(cell, sizes)}
            for which in passes:
                tell(f"{cell} {','.join(map(str, sizes))} {which} ({len(rows) + 1} of {total})")
                work = {name: pair[which == "both"] for name, pair in works.items()} | sgemm()
                rows.append(Row(cell, sizes, which, interleave(work, rounds=rounds, seconds=seconds)))
    return rows


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows and what they come to, as one JSON object."""
    means = {}
    for which in PASSES:
        ratios = [row.ratio for row in rows if row.which == which and row.ratio is not None]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            means[which] = {"geometric_mean_ratio": mean, "lowest_ratio": min(ratios)}
    large = [row.fraction_of_sgemm for row in rows if row.which == "both" and row.is_large]
    return {
        "benchmark": "cells",
        "machine": facts("torch", "flax", "equinox", "keras"),
        "left_out": missing(),
        "summary": means | ({"lowest_fraction_of_sgemm_when_large": min(large)} if large else {}),
        "rows": [row.as_dict() for row in rows],
    }
