"""`throughtime credit TASK`."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, free_folder, parse
from throughtime.cli._output import Output
from throughtime.cli._tasks import refuse_full
from throughtime.core import ConfigError, did_you_mean
from throughtime.credit import WatchConfig, Watches, WatchResult
from throughtime.envs import PocketWatch
from throughtime.reports.credit import credit_page, shown_episode
from throughtime.reports.page import write_page
from throughtime.runs.compilation import enable_compilation_cache

TASKS = ("pocket-watch",)


@dataclass(frozen=True)
class Credit:
    """Learns a task of temporal credit assignment: pocket-watch, RUDDER's.

    The score is the number of episodes after which the greedy policy is right for all four brands and stays so to the
    end.
    """

    task: tyro.conf.Positional[str]
    """pocket-watch."""
    train: Annotated[WatchConfig, tyro.conf.arg(name="")] = field(default_factory=WatchConfig)
    length: int = 50
    """Steps of a delivery."""
    seed: int = 0
    """The first seed."""
    seeds: int = 1
    """How many seeds, counted up from the first."""
    out: Path | None = None
    """The folder for report.html; by default a new one under runs/."""
    overwrite: bool = False
    """Writes into a folder that is not empty."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Trains, prints the table, writes the page."""
    arguments = parse(Credit, "credit", argv)
    if arguments.task not in TASKS:
        raise ConfigError(f"There is no credit task {arguments.task!r}.", "", did_you_mean(arguments.task, TASKS))
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    env, config = PocketWatch(length=arguments.length), arguments.train
    watches = Watches(env, config)
    output, out = Output(arguments.json), arguments.out or free_folder("credit-pocket-watch")
    refuse_full(out, arguments.overwrite)
    enable_compilation_cache()
    seeds = list(range(arguments.seed, arguments.seed + arguments.seeds))
    results: list[WatchResult] = []
    for seed in seeds:
        with output.console.status(f"{config.method}, seed {seed} …"):
            results.append(watches.run(seed))
    table = Table("seed", "episodes until right", "seconds", "what was done", box=box.SIMPLE_HEAD, pad_edge=False)
    table.show_edge = False
    for column in table.columns[:3]:
        column.justify = "right"
    for seed, result in zip(seeds, results, strict=True):
        score = "never" if result.episodes is None else f"{result.episodes:,}"
        said = "" if result.status is None else result.status.said
        table.add_row(str(seed), score, f"{result.seconds:.1f}", Text(said))
    output.console.print(table)
    scores = [np.inf if r.episodes is None else r.episodes for r in results]
    command = shlex.join(["throughtime", "credit", *argv])
    episode = None
    if results[0].state is not None and results[0].played is not None:
        episode = shown_episode(watches.decomposition, results[0].state, results[0].played, env)
    out.mkdir(parents=True, exist_ok=True)
    page = write_page(credit_page(config, seeds, results, env, episode, command), out / "report.html")
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    rows = [
        {"seed": seed, "episodes": r.episodes, "seconds": round(r.seconds, 2), "on": bool(r.on[-1])}
        for seed, r in zip(seeds, results, strict=True)
    ]
    output.result(
        {"task": arguments.task, "method": config.method, "median": float(np.median(scores)), "seeds": rows}
        | {"report": str(page)}
    )
    return 0
