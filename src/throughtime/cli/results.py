"""`throughtime results GRID`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import tyro
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import EnvCode, Json, parse, trust_code
from throughtime.cli._output import Output
from throughtime.core import RunFolderError
from throughtime.reports.results import (
    Results,
    bar_rows,
    collect,
    overall_rows,
    results_markdown,
    rows,
    write_results_page,
)
from throughtime.reports.results import head as table_head
from throughtime.runs import Progress as TrainingProgress
from throughtime.runs import to_toml
from throughtime.runs.atomic import atomic_write
from throughtime.runs.jobs import Job, Outcome, check_workers, run_jobs, run_on_ray
from throughtime.runs.results import SUITES, Grid, cells, combinations, jobs, read_grid, refuse_changes

GRID_FILE, MARKDOWN_FILE, PAGE_FILE = "results.toml", "results.md", "results.html"


@dataclass(frozen=True)
class ResultsArguments:
    """Trains a grid of agents × memories × environments × seeds, and writes its tables.

    Each training is a process of its own and a run folder of its own. The same command goes on with what is missing.
    """

    grid: tyro.conf.Positional[str | None] = None
    """A TOML file, or the name of a grid that comes with throughtime; without one: lists those."""
    out: Path | None = None
    """The folder; by default runs/NAME."""
    workers: int = 2
    """Trainings at a time."""
    threads: int = 1
    """Threads that each of them computes with."""
    ray: str | None = None
    """Trains on a Ray cluster that runs, by its address, instead of here. Needs throughtime[ray]."""
    tables_only: bool = False
    """Trains nothing: writes the tables of what is there."""
    env: EnvCode = None
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Trains what is missing, writes results.md and results.html."""
    arguments = parse(ResultsArguments, "results", argv)
    output = Output(arguments.json)
    if arguments.grid is None:
        return _listed(output)
    check_workers(arguments.workers, arguments.threads)
    trust_code(arguments.env)
    grid = read_grid(arguments.grid)
    found = cells(grid)
    out = arguments.out or Path("runs") / Path(arguments.grid).stem
    refuse_changes(found, out)
    wanted = [job for job in jobs(found, out, code=arguments.env) if job.score is None]
    output.console.print(
        f"[bold]{grid.title}[/bold] · {len(found)} runs, {len(wanted)} to train · {out}", highlight=False
    )
    _keep(grid, out)
    outcomes: list[Outcome] = []
    signal = None
    if wanted and not arguments.tables_only:
        outcomes, signal = _train(wanted, arguments, output)
    failures = [(o.job.label, o.message) for o in outcomes if o.status == "failed"]
    # The same command goes on: whoever repeats it wants the trainings, too.
    command = shlex.join(["throughtime", "results", *(word for word in argv if word != "--tables-only")])
    results = collect(grid.title, found, out, command, failures=failures, mmer=grid.mmer)
    text = results_markdown(results)
    with atomic_write(out / MARKDOWN_FILE) as file:
        file.write(text.encode())
    write_results_page(results, out / PAGE_FILE)
    _show(results, output)
    output.console.print(Text(f"Tables: {out / MARKDOWN_FILE}, {out / PAGE_FILE}"), soft_wrap=True)
    output.result(_record(results, out))
    if signal is not None:
        output.console.print(Text("Interrupted and saved. The same command goes on."))
        return 128 + signal
    return 1 if failures else 0


def _listed(output: Output) -> int:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("grid", "runs", "what it is"):
        table.add_column(name, justify="right" if name == "runs" else "left")
    record = {}
    for name in SUITES:
        grid = read_grid(name)
        count = len(combinations(grid)) * len(grid.seeds)
        record[name] = {"title": grid.title, "runs": count}
        table.add_row(name, str(count), grid.title)
    output.console.print(table)
    output.console.print("throughtime results NAME trains one of them, throughtime results FILE.toml your own.")
    output.result(record)
    return 0


def _keep(grid: Grid, out: Path) -> None:
    """The grid as it was read, beside its runs."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / GRID_FILE) as file:
            file.write(to_toml(grid).encode())
    except OSError as error:
        raise RunFolderError(
            f"{out} cannot be written.", f"{error.strerror or error}.", "Choose another --out."
        ) from error


def _train(wanted: list[Job], arguments: ResultsArguments, output: Output) -> tuple[list[Outcome], int | None]:
    with GridBar(output.console, len(wanted)) as bar:
        if arguments.ray is not None:
            return run_on_ray(wanted, arguments.ray, threads=arguments.threads, finished=bar.finish)
        return run_jobs(
            wanted, workers=arguments.workers, threads=arguments.threads, report=bar.update, finished=bar.finish
        )


class GridBar:
    """How many runs are done, and a bar for each that is being trained."""

    def __init__(self, console: Console, runs: int):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[where]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._done, self._count = 0, runs
        self._runs = self._progress.add_task("all runs", total=runs, where=f"0 of {runs}")
        self._tasks: dict[Job, TaskID] = {}

    def update(self, job: Job, p: TrainingProgress) -> None:
        """Shows where a training stands; called from the threads that wait for the workers."""
        if job not in self._tasks:
            self._tasks[job] = self._progress.add_task(job.label, where="")
        value = "–" if p.episode_return is None else f"{p.episode_return:.4g}"
        where = f"return {value:>6} {p.steps_per_second:>8,.0f} steps/s"
        self._progress.update(self._tasks[job], total=p.total_steps, completed=p.step, where=where)

    def finish(self, outcome: Outcome) -> None:
        """One run less to wait for; says what went wrong."""
        task = self._tasks.pop(outcome.job, None)
        if task is not None:
            self._progress.remove_task(task)
        self._done += 1
        self._progress.update(self._runs, completed=self._done, where=f"{self._done} of {self._count}")
        if outcome.status == "failed":
            said = f"{outcome.job.label} failed: {outcome.message.splitlines()[0]}"
            self._progress.console.print(Text(said, style="bold"), soft_wrap=True)

    def __enter__(self) -> "GridBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def _show(results: Results, output: Output) -> None:
    """The tables, without what people rarely ask for at a terminal."""
    output.console.print()
    columns, body = bar_rows(results)
    if body:
        kept = [i for i, name in enumerate(columns) if name not in ("each seed", "steps")]
        _print("Bars", [columns[i] for i in kept], [[row[i] for i in kept] for row in body], output)
    if results.overall:
        columns, body = overall_rows(results)
        _print("All tasks", columns, body, output)
    for task in results.tasks:
        if task.entries:
            columns, body = table_head(results), rows(results, task)
            kept = [i for i, name in enumerate(columns) if name not in ("mean", "worst seed", "best seed", "steps")]
            _print(task.title, [columns[i] for i in kept], [[row[i] for i in kept] for row in body], output)
    for name, why in results.failures:
        output.console.print(Text(f"{name} failed: {why}"), soft_wrap=True)


def _print(title: str, columns: Sequence[str], body: Sequence[Sequence[str]], output: Output) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left", no_wrap=i > 0, max_width=None if i else 26)
    for row in body:
        table.add_row(*map(Text, row))
    output.console.print(Text(title, style="bold"))
    output.console.print(table)
    output.console.print()


def _record(results: Results, out: Path) -> dict[str, Any]:
    return {
        "folder": str(out),
        "tables": str(out / MARKDOWN_FILE),
        "page": str(out / PAGE_FILE),
        "tasks": [
            {
                "environment": task.title,
                "optimal_return": task.env.optimal_return,
                "memoryless_return": task.env.memoryless_return,
                "bar": task.bar,
                "entries": [
                    {
                        "agent": entry.agent,
                        "memory": entry.memory,
                        "returns": entry.returns.tolist(),
                        "seeds": [run.cell.config.seed for run in entry.runs],
                        "iqm": entry.estimate.value,
                        "interval": [entry.estimate.low, entry.estimate.high],
                        "mmer": entry.mmer,
                        "reaching_bar": None if task.bar is None else entry.reaching(task.bar),
                        "steps": entry.steps,
                        "seconds": entry.seconds,
                        "commands": [results.replay(run) for run in entry.runs],
                    }
                    for entry in task.entries
                ],
            }
            for task in results.tasks
        ],
        "overall": [
            {"label": row.label, "iqm": row.estimate.value, "interval": [row.estimate.low, row.estimate.high]}
            for row in results.overall
        ],
        "failures": [{"run": name, "why": why} for name, why in results.failures],
        "unfinished": results.unfinished,
    }
