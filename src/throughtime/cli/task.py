"""`throughtime task [NAME]`."""

import shlex
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, flow_every, free_folder, parse
from throughtime.cli._compare import run_compare
from throughtime.cli._output import Output
from throughtime.cli._tasks import TaskBar, refuse_full
from throughtime.core import ConfigError, did_you_mean
from throughtime.reports.task import TaskReport, score_table, verdict_of, write_task_report
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.tasks import TASKS, Task, TaskConfig, TaskResult, train_task


def run(argv: list[str]) -> int:
    """Trains on a task; without a name, lists them."""
    if argv and argv[0] == "--json":
        argv = [*argv[1:], "--json"]
    if argv in ([], ["--json"]):
        return _list(Output(bool(argv)))
    if argv[0] in ("-h", "--help"):
        print("usage: throughtime task [NAME [OPTIONS]] [--json]\n")
        raise SystemExit(_list(Output(False)))
    name, words = argv[0], argv[1:]
    if name.startswith("-"):
        raise ConfigError("The task comes first.", "", f"Write: throughtime task NAME {name} …")
    if name == "compare":
        return run_compare(words)
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}.", "", did_you_mean(name, [*TASKS, "compare"]))
    task, config, arguments = _settings(name, words)
    every = flow_every(arguments.flow, "updates")
    output = Output(arguments.json)
    out = arguments.out or free_folder(f"{name}-{config.memory}")
    refuse_full(out, arguments.overwrite)
    enable_compilation_cache()
    results = []
    with TaskBar(output) as bar:
        for seed in range(arguments.seed, arguments.seed + arguments.seeds):
            label = f"{name} · {config.memory}" + (f", seed {seed}" if arguments.seeds > 1 else "")
            shown = bar.row(label, config.updates)
            trained = train_task(
                task.for_seed(seed) if arguments.seeds > 1 else task,
                config,
                seed=seed,
                flow_every=every,
                progress=shown,
            )
            results.append(replace(trained, task=task))  # as it was asked for
    report = TaskReport(tuple(results), shlex.join(["throughtime", "task", *argv]))
    page = write_task_report(report, out)
    output.console.print(_table(results))
    output.console.print(Text(verdict_of(results)))
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    output.result(report.as_json() | {"report": str(page)})
    return 0


def _settings(name: str, words: list[str]) -> tuple[Task, TaskConfig, Any]:
    """The task, its settings, and the remaining arguments.

    Tuned defaults depend on the task's options and on the memory, so the words are read twice: first for those.
    """
    asked = [word for word in words if word not in ("-h", "--help")]
    first = parse(_arguments(name, TaskConfig()), f"task {name}", asked)
    tuned = first.task.defaults(first.train.memory)
    arguments = parse(_arguments(name, replace(tuned, memory_options={})), f"task {name}", words)
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    options = {**tuned.memory_options, **arguments.train.memory_options}
    return arguments.task, replace(arguments.train, memory_options=options), arguments


def _arguments(name: str, defaults: TaskConfig) -> Any:
    """The dataclass of the command line."""
    options: Any = TASKS[name]

    @dataclass(frozen=True)
    class Arguments:
        task: Annotated[options, tyro.conf.arg(name="")]  # pyright: ignore[reportInvalidTypeForm]
        train: Annotated[TaskConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: defaults)
        seed: int = 0
        """The first training seed."""
        seeds: int = 1
        """How many seeds, counted up from the first."""
        flow: str | None = None
        """Looks through the gradient microscope every so many updates (every=N, or N), and reports what it sees."""
        out: Path | None = None
        """The folder for report.html and results.json; by default a new one under runs/."""
        overwrite: bool = False
        """Writes over an older report in the folder."""
        json: Json = False
        """Prints one JSON object on stdout, all else on stderr."""

    Arguments.__doc__ = options.__doc__
    return Arguments


def _list(output: Output) -> int:
    """All tasks and their options."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("architecture", no_wrap=True)
    table.add_column("what is to be learned")
    table.add_column("options, with their defaults")
    rows = {}
    for name, task in TASKS.items():
        options = {f.name: f.default for f in fields(task)}  # pyright: ignore[reportArgumentType]
        shown = ", ".join(key if value is MISSING else f"{key}={value}" for key, value in options.items())
        table.add_row(name, task.architecture, task.summary, shown)
        rows[name] = {
            "architecture": task.architecture,
            "summary": task.summary,
            "score": task.score,
            "options": {key: None if value is MISSING else value for key, value in options.items()},
        }
    output.console.print(table)
    output.console.print(
        "throughtime task NAME trains on one, throughtime task NAME --help says what each option means;\n"
        "throughtime task compare measures TDNN against RNN."
    )
    output.result(rows)
    return 0


def _table(results: list[TaskResult]) -> Table:
    head, *rows = score_table(results)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table
