"""`throughtime belief RUN`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError, RunFolderError
from throughtime.proof.twins import memory_owner
from throughtime.reports.belief import belief_page, reading, score_table
from throughtime.reports.belief_curve import DIFFERENT, curve_table, measure
from throughtime.reports.page import write_page
from throughtime.runs import load_run
from throughtime.runs.belief_curve import belief_curve


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
    curve: int | None = None
    """Trains again as the run was trained, changing nothing of it, and probes so many times on the way, on 32 rows."""
    out: Path | None = None
    """The folder for report.html; by default belief/ in RUN."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Plays, probes, prints the table, writes the page."""
    arguments = parse(Belief, "belief", argv)
    for name in ("rows", "steps", "curve"):
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
    curve = None
    if arguments.curve is not None:
        with output.console.status("training again, probing on the way …"):
            curve = belief_curve(trained, arguments.curve, steps=arguments.steps)
    folder = arguments.out or (arguments.run if arguments.run.is_dir() else arguments.run.parent.parent) / "belief"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"The folder {folder} cannot be made.", f"{error.strerror or error}.", "Choose another --out."
        ) from error
    title = f"What {memory_owner(trained.config)} knows on {trained.env.name}"
    command = shlex.join(["throughtime", "belief", *argv])
    page = write_page(belief_page(probe, title, command, curve), folder / "report.html")
    output.console.print(Text(title, style="bold"))
    output.console.print(_table(*score_table(probe)))
    output.console.print(Text(reading(probe)))
    if curve is not None:
        output.console.print(Text(f"How the belief forms: {measure(curve)}", style="bold"))
        output.console.print(_table(*curve_table(curve)))
        if not curve.repeated:
            output.console.print(Text(DIFFERENT))
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    formed = {} if curve is None else {"curve": curve.as_json()}
    output.result({"report": str(page), "step": trained.steps, **probe.as_json(), **formed})
    return 0


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*head, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for cells in rows:
        table.add_row(*cells)
    return table
