"""`throughtime task compare`."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, free_folder, parse
from throughtime.cli._output import Output
from throughtime.cli._tasks import TaskBar, refuse_full
from throughtime.core import ConfigError
from throughtime.memory import check_memory
from throughtime.reports.compare import guide_table, reading, write_compare
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.tasks.compare import compare_memories


@dataclass(frozen=True)
class Compare:
    """Measures the differences between time-delay and recurrent networks on echoes of growing lag."""

    lags: tuple[int, ...] = (1, 3, 7, 15, 31)
    """Lags of the echoes, in steps."""
    memories: tuple[str, ...] = ("tdnn", "elman", "gru", "lstm")
    """Which memories; `throughtime memories` lists them."""
    taps: int = 8
    """Inputs that each output of the TDNN sees."""
    hidden_size: int = 64
    """Hidden units of each memory."""
    updates: int = 1500
    """Gradient steps of each training, at most."""
    seed: int = 0
    """The first training seed."""
    seeds: int = 1
    """How many seeds, counted up from the first."""
    out: Path | None = None
    """The folder for report.html; by default a new one under runs/."""
    overwrite: bool = False
    """Writes over an older report in the folder."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run_compare(argv: list[str]) -> int:
    """Trains, measures, prints the table, writes the report."""
    arguments = parse(Compare, "task compare", argv)
    for memory in arguments.memories:
        check_memory(memory)
    if len(set(arguments.memories)) < len(arguments.memories):
        raise ConfigError("A memory is named twice.", "It would be trained twice.", "Name each of them once.")
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    output = Output(arguments.json)
    out = arguments.out or free_folder("compare")
    refuse_full(out, arguments.overwrite)
    enable_compilation_cache()
    with TaskBar(output) as bar:
        rows = compare_memories(
            arguments.lags,
            arguments.memories,
            taps=arguments.taps,
            hidden_size=arguments.hidden_size,
            updates=arguments.updates,
            seeds=range(arguments.seed, arguments.seed + arguments.seeds),
            progress=bar.row,
        )
    out.mkdir(parents=True, exist_ok=True)
    page = write_compare(rows, shlex.join(["throughtime", "task", "compare", *argv]), out)
    head, body = guide_table(rows)
    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in body:
        table.add_row(*cells)
    output.console.print(table)
    output.console.print(Text(reading(rows)))
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    output.result({"report": str(page), "rows": [row.as_json() for row in rows]})
    return 0
