"""`throughtime sweep ENV`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.cli._arguments import Json, free_folder, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError, RunFolderError
from throughtime.envs import entry_of, stem, trust
from throughtime.envs.adapters.names import runs_code
from throughtime.runs import default_config, replace_fields, to_toml, with_memory
from throughtime.runs.atomic import atomic_write
from throughtime.runs.sweep import TUNING_SEED, Found, SweepConfig, Tried, default_space, read_space, sweep

BEST_FILE = "best.toml"
SHOWN = 8  # trials of the table


@dataclass(frozen=True)
class Sweep:
    """Searches for good settings on an environment, and writes the best as a file for `throughtime train --config`.

    Every trial trains with all tuning seeds; it counts what its final policies earn on fresh episodes of those seeds.
    The same command with the same --out goes on with the study.
    """

    env: tyro.conf.Positional[str]
    """A name that `throughtime envs` lists, or one of its forms."""
    memory: str | None = None
    """The recurrence, by default the one tuned for ENV."""
    algo: str = "ppo"
    """The algorithm."""
    space: Path | None = None
    """A TOML file with ranges (and fixed values) of settings; by default a built-in space."""
    trials: int = 20
    """How many trials the study holds in the end."""
    steps: int | None = None
    """Environment steps of each training, by default as tuned for ENV."""
    episodes: int | None = None
    """Fresh episodes that each final policy is scored on, by default as tuned for ENV."""
    seed: int = TUNING_SEED
    """The first tuning seed. Seeds of evaluation are refused."""
    seeds: int = 2
    """How many tuning seeds, counted up from the first."""
    prune: bool = False
    """Ends trials early whose returns while training are below the median of the others'."""
    workers: int = 2
    """Trainings at a time."""
    threads: int = 1
    """Threads that each of them computes with."""
    out: Path | None = None
    """The folder of the study; by default a new one under runs/."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Searches, prints the best trials, writes best.toml."""
    arguments = parse(Sweep, "sweep", argv)
    entry_of(arguments.env)
    trust(arguments.env)
    config = _config(arguments)
    config.check()
    output, out = Output(arguments.json), arguments.out or free_folder(f"sweep-{stem(arguments.env)}")
    plan = f"{arguments.trials} trials × {len(config.seeds)} seeds × {config.run.total_steps:,} steps"
    output.console.print(f"[bold]{arguments.env}[/bold] · {plan} · {out}", highlight=False)
    best: list[float] = []

    def finished(trial: Tried) -> None:
        best.extend([] if trial.mean_return is None else [trial.mean_return])
        said = trial.why.splitlines()[0] if trial.why else trial.status
        score = said if trial.mean_return is None else f"return {trial.mean_return:.4g}, best {max(best):.4g}"
        output.console.print(Text(f"trial {trial.number}: {score}"), soft_wrap=True)

    with output.console.status("searching …"):
        found = sweep(
            config,
            out,
            trials=arguments.trials,
            workers=arguments.workers,
            threads=arguments.threads,
            prune=arguments.prune,
            code=arguments.env if runs_code(arguments.env) else None,
            finished=finished,
        )
    return _finish(found, config, out, output)


def _config(arguments: Sweep) -> SweepConfig:
    run = default_config(arguments.env, arguments.algo)
    if arguments.memory is not None:
        run = replace(run, network=with_memory(run.network, arguments.memory))
    space, fixed = (None, {}) if arguments.space is None else read_space(arguments.space)
    run = replace_fields(run, fixed)
    chosen = {"total_steps": arguments.steps, "evaluation_episodes": arguments.episodes}
    run = replace(run, **{name: value for name, value in chosen.items() if value is not None})
    run = replace(run, env=run.env.pinned())
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    return SweepConfig(run, dict(default_space(run) if space is None else space), seeds)


def _finish(found: Found, config: SweepConfig, out: Path, output: Output) -> int:
    best = found.best
    record: dict[str, Any] = {
        "folder": str(out),
        "trials": [trial._asdict() for trial in found.trials],
        "best": None if best is None else best._asdict(),
        "config": None,
        "interrupted": found.interrupted is not None,
    }
    if best is not None:
        file = out / BEST_FILE
        text = f"# Trial {best.number}: mean return {best.mean_return:.6g} over {len(best.returns)} tuning seeds.\n"
        with atomic_write(file) as written:
            written.write((text + to_toml(config.config(best.values, config.run.seed))).encode())
        record["config"] = str(file)
        output.console.print(_table(found))
        output.console.print(Text(f"Train with it: throughtime train --config {file}"), soft_wrap=True)
    output.result(record)
    if found.interrupted is not None:
        output.console.print("Interrupted and saved. The same command with the same --out goes on.")
        return 128 + found.interrupted
    if best is None:
        why = next((trial.why for trial in found.trials if trial.why), "")
        raise RunFolderError(f"No trial of {out} has ended well.", why, "Mend the space or the settings.")
    return 0


def _table(found: Found) -> Table:
    """The best trials: a column for each setting that differs between them."""
    done = sorted((t for t in found.trials if t.mean_return is not None), key=lambda t: -(t.mean_return or 0.0))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("trial", "return"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("settings")
    for trial in done[:SHOWN]:
        values = "  ".join(f"{name.rpartition('.')[2]} {_short(value)}" for name, value in trial.values.items())
        table.add_row(str(trial.number), f"{trial.mean_return:.4g}", values)
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
