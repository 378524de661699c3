"""What benchmarks found, as tables and lines for people."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from throughtime.bench import cells, ppo, scaling

NOTHING = "–"


def cells_table(rows: Sequence[cells.Row]) -> Table:
    """A row for each cell, size and pass, in 80 columns; ± is half of the distance between the quartiles."""
    table = _table("cell", "T,B,I,H", "pass", right=["ours, ms", "ratio"])
    table.add_column("best peer", no_wrap=True)
    for name in ("GFLOP/s", "sgemm"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        t, ratio = row.timings[cells.OURS], row.ratio
        table.add_row(
            row.cell,
            ",".join(map(str, row.sizes)),
            row.which,
            f"{t.median * 1e3:.3g} ±{(t.high - t.low) / 2 / t.median:.0%}",
            NOTHING if ratio is None else f"{ratio:.2f}",
            row.best_peer or NOTHING,
            f"{row.rate / 1e9:.0f}",
            f"{row.fraction_of_sgemm:.0%}",
        )
    for column in table.columns:
        column.no_wrap = True
    return table


def ppo_table(contests: Sequence[ppo.Contest]) -> Table:
    """A row for each contestant and width, in 80 columns; ± is half of the distance between the quartiles."""
    peers = list(dict.fromkeys(peer for contest in contests for peer in contest.peers))
    right = ["steps/s", *(f"× {peer.split()[0].removesuffix('-contrib')}" for peer in peers), "compile s"]
    table = _table("H", "who", right=right)
    for contest in contests:
        for name in contest.timings:
            speed, low, high = contest.speeds(name)
            seconds = contest.compile_seconds.get(name)
            ratios = (f"{contest.ratio(name, peer):.2f}" for peer in peers)
            who = f"throughtime {name}" if name in ppo.OURS else name
            compiled = NOTHING if seconds is None else f"{seconds:.1f}"
            spread = f"±{(high - low) / 2 / speed:.0%}"
            table.add_row(str(contest.width), who, f"{speed:,.0f} {spread}", *ratios, compiled)
    for column in table.columns:
        column.no_wrap = True
    return table


def scaling_table(points: Sequence[scaling.Point]) -> Table:
    """A row for each size and number of cores, native kernels and pure XLA side by side."""
    table = _table("grows", "sizes", right=["cores", "native ms", "xla ms", "xla/native", "native MiB", "xla MiB"])
    table.columns[1].no_wrap = False  # on a narrow terminal the sizes wrap, and no figure is cut
    for column in table.columns[2:]:
        column.no_wrap = True
    for point in points:
        native, xla = point.seconds("native"), point.seconds("xla")
        table.add_row(
            f"{point.axis} × {point.factor}",
            ", ".join(f"{name}={value}" for name, value in point.sizes.items()),
            str(point.cores),
            *(NOTHING if t is None else _ms(t) for t in (native, xla)),
            NOTHING if native is None or xla is None else f"{xla / native:.2f}",
            *(NOTHING if b is None else f"{b / 2**20:.3g}" for b in map(point.xla_bytes, scaling.IMPLEMENTATIONS)),
        )
    return table


def remarks(result: dict[str, Any]) -> list[str]:
    """What a benchmark's JSON object comes to, and what was left out, line by line."""
    lines = {"cells": _cells_summary, "ppo": _ppo_summary, "scaling": _scaling_summary}[result["benchmark"]](result)
    lines += [f"left out: {name} ({how})" for name, how in result["left_out"].items()]
    return [*lines, " · ".join(f"{name} {value}" for name, value in result["machine"].items())]


def _cells_summary(result: dict[str, Any]) -> list[str]:
    summary = dict(result["summary"])
    large = summary.pop("lowest_fraction_of_sgemm_when_large", None)
    lines = [
        f"{which}: {s['geometric_mean_ratio']:.2f} times as fast as the best peer (geometric mean), "
        f"{s['lowest_ratio']:.2f} at the least"
        for which, s in summary.items()
    ]
    return lines if large is None else [*lines, f"large layers, both passes: {large:.0%} of sgemm at the least"]


def _ppo_summary(result: dict[str, Any]) -> list[str]:
    lines = [
        f"width {width}: {result['equals'][peer]} is {ratio:.2f} times as fast as {peer}"
        for peer, ratios in result["summary"].items()
        for width, ratio in ratios.items()
    ]
    about = next((contest["memorax"] for contest in result["contests"] if contest["memorax"]), None)
    return lines if about is None else [*lines, *(f"memorax differs: {text}" for text in about["differences"])]


def _scaling_summary(result: dict[str, Any]) -> list[str]:
    return [
        f"{row['axis']} × {row['size']:g} on {row['cores']} core{'s' * (row['cores'] > 1)}, {row['kernels']}: "
        f"time × {row['time']:.3g} (exponent {row['exponent']:.2f}), memory × {row['memory']:.3g}"
        for row in result["summary"]
        if row["exponent"] is not None
    ]


def _ms(seconds: float) -> str:
    """Milliseconds, with three digits or more."""
    return f"{seconds * 1e3:.3f}" if seconds < 0.1 else f"{seconds * 1e3:,.0f}"


def _table(*left: str, right: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right")
    return table
