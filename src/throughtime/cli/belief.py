"""`throughtime belief RUN`."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError, RunFolderError
from throughtime.reports.belief import belief_page, reading, score_table
from throughtime.reports.page import write_page
from throughtime.runs import load_run


@dataclass(frozen=True)
class Belief:
    """Probes what a trained memory knows: the exact belief and the hidden state, beside controls."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    rows: int = 256
    """Sequences that probes are fitted on, and again as many that they are scored on."""
    steps: int | None = None
    """Steps of each; by default the longest episode's, 200 at most."""
    seed: int | None = None
    """Of the episodes; by default one that no training uses."""
    stochastic: bool = False
    """Draws the actions instead of taking the most probable ones."""
    linear: bool = False
    """Fits the linear probes alone, without the small networks."""
    out: Path | None = None
    """The folder for report.html; by default belief/ in RUN."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Plays, probes, prints the table, writes the page."""
    arguments = parse(Belief, "belief", argv)
    for name in ("rows", "steps"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}", "Probes need examples.", "Give 1 or more.")
    output = Output(arguments.json)
    trained = load_run(arguments.run)
    with output.console.status("probing …"):
        probe = trained.belief(
            rows=arguments.rows,
            steps=arguments.steps,
            seed=arguments.seed,
            deterministic=not arguments.stochastic,
            models=("linear",) if arguments.linear else ("linear", "mlp"),
        )
    folder = arguments.out or (arguments.run if arguments.run.is_dir() else arguments.run.parent.parent) / "belief"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"The folder {folder} cannot be made.", f"{error.strerror or error}.", "Choose another --out."
        ) from error
    title = f"What the {trained.config.network.memory} knows on {trained.env.name}"
    page = write_page(belief_page(probe, title, shlex.join(["throughtime", "belief", *argv])), folder / "report.html")
    head, rows = score_table(probe)
    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in rows:
        table.add_row(*cells)
    output.console.print(Text(title, style="bold"))
    output.console.print(table)
    output.console.print(Text(reading(probe)))
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    output.result({"report": str(page), "step": trained.steps, **probe.as_json()})
    return 0
