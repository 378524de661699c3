"""The report's table and verdict at the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.reports.data import Report
from throughtime.reports.numbers import formatter, shorten
from throughtime.reports.verdict import verdict


def summary(report: Report, console: Console) -> None:
    """Prints the table and the verdict; tidy at 80 columns, legible without colour.

    Args:
        report: what to show.
        console: where to.
    """
    rows, ceilings = report.rows, report.ceilings
    show = formatter([*(v for row in rows for v in (row.mean_return, *row.interval)), *vars(ceilings).values()])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("policy", vertical="bottom", max_width=26)  # the one that gives way
    for name in ("return ± 95%", "memoryless\nceiling", "optimum", "steps/s", "seconds"):
        table.add_column(name, justify="right", vertical="bottom", no_wrap=True)
    for row in rows:
        lo, hi = row.interval
        half = max(hi - row.mean_return, row.mean_return - lo)
        table.add_row(
            Text(shorten(row.label, 60), no_wrap=True, overflow="ellipsis"),
            f"{show(row.mean_return)} ± {show(half)}",
            show(ceilings.memoryless_return),
            show(ceilings.optimal_return),
            f"{row.steps_per_second:,.0f}",
            f"{row.seconds:,.1f}",
            style="bold" if row.role == "memory" else "",
        )
    said = verdict(rows, ceilings)
    console.print(Text(report.title, style="bold"))
    console.print()
    if rows:
        console.print(table)
        console.print()
    console.print(Text.assemble((f"{said.headline}. ", "bold"), " ".join(said.sentences)))
    if report.credit is not None:
        console.print(report.credit.said, highlight=False)
    for note in report.notes:
        if "unfinished" in note:
            console.print(Text(note, style="bold"))
