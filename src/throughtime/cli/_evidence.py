"""Evidence of memory use at the terminal: tables, bars and sparks, tidy at 80 columns."""

from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.reports.evidence import facts
from throughtime.reports.numbers import formatter, shorten

BAR, SPARK = 24, 50
BLOCKS = "▁▂▃▄▅▆▇█"


def show_evidence(record: dict[str, Any], console: Console) -> None:
    """Prints the verdict, the ablations, the horizon's curve and the single figures.

    Args:
        record: as `Evidence.record` gives it.
        console: where to.
    """
    seeds = ", ".join(map(str, record["seeds"]))
    title = f"{record['label']} on {record['environment']} · {record['steps']:,} steps · seed {seeds}"
    console.print(Text(title, style="bold"))
    console.print()
    console.print(verdict_text(record))
    console.print()
    console.print(_returns(record))
    console.print()
    _sparks(record, console)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=False)
    table.add_column("figure", no_wrap=True)
    table.add_column("value")
    for row in facts(record):
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def verdict_text(record: dict[str, Any]) -> Text:
    """The verdict in words."""
    verdict = record["verdict"]
    return Text.assemble((f"{verdict['headline']}. ", "bold"), " ".join(verdict["sentences"]))


def _returns(record: dict[str, Any]) -> Table:
    """The agent, its twins, and the agent with its state tampered with: returns, intervals and bars."""
    rows = [(score["label"], score["mean"], score["interval"]) for score in record["scores"]]
    tampered = []
    if record["ablations"] is not None:
        data = record["ablations"]
        tampered = [(f"state reset every {'step' if p['k'] == 1 else p['k']}", p) for p in data["reset_every"]]
        tampered += [("state frozen after step 0", data["frozen"]), ("another episode's state", data["swapped"])]
        tampered += [(f"noise {p['size']:g} x its variation", p) for p in data["noise"]]
    rows += [(name, p["mean"], p["interval"]) for name, p in tampered]
    known = [record["memoryless_return"], record["optimal_return"]]
    values = [v for _, mean, interval in rows for v in (mean, *interval)] + [v for v in known if v is not None]
    show = formatter(values)
    means = [mean for _, mean, _ in rows] + [v for v in known if v is not None]
    low, high = min(means), max(means)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("policy", max_width=28)
    table.add_column("return ± 95%", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for index, (name, mean, interval) in enumerate(rows):
        half = max(interval[1] - mean, mean - interval[0])
        last_policy = index == len(record["scores"]) - 1
        table.add_row(
            Text(shorten(name, 28)),
            f"{show(mean)} ± {show(half)}",
            Text(_bar(mean, low, high), style="cyan" if index == 0 else ""),
            style="bold" if index == 0 else "",
            end_section=last_policy and bool(tampered),
        )
    return table


def _bar(value: float, low: float, high: float) -> str:
    """From the lowest to the highest of the table's returns."""
    return "█" * round(BAR * (value - low) / (high - low)) if high > low else ""


def _sparks(record: dict[str, Any], console: Console) -> None:
    """KL by lag on a logarithmic scale from the threshold up, and the gradient's norm from 1% up."""
    horizon, gradient = record["horizon"], record["gradient_horizon"]
    curve = np.array(horizon["kl"], float)
    last, highest = len(curve) - 1, float(np.nanmax(curve, initial=0.0))
    console.print(Text(f"{'lag':<10}0{last:>{min(len(curve), SPARK) - 1}}" if last else "lag       0", style="dim"))
    words = f"  up to {highest:.2g} nats"
    console.print(Text(f"{'KL':<10}{_spark(curve, horizon['threshold'])}{words}"))
    if gradient is not None:
        ratios = 10.0 ** np.array(gradient["log10_ratios"], float)[: len(curve)]
        console.print(Text(f"{'gradient':<10}{_spark(ratios, 0.01)}"))
    console.print(Text("· below the threshold (KL) or 1% of lag 0 (gradient); blank: nothing to change", style="dim"))
    console.print()


def _spark(values: np.ndarray, threshold: float) -> str:
    """At most 50 characters, the highest value in each."""
    highest = float(np.nanmax(values, initial=threshold * 10))
    text = ""
    for part in np.array_split(values, min(len(values), SPARK)):
        if not np.isfinite(part).any():
            text += " "
        elif (value := float(np.nanmax(part))) < threshold:
            text += "·"
        else:
            share = np.log(value / threshold) / np.log(highest / threshold)
            text += BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
    return text
