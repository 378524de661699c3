"""What the tables show, from the run folders of a grid."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from throughtime.envs import Environment
from throughtime.proof.twins import memory_label
from throughtime.reports.build import stretches
from throughtime.reports.data import Role
from throughtime.reports.interquartile import Estimate, interquartile_estimate
from throughtime.reports.results.published import Published, published_on
from throughtime.runs import read_metrics
from throughtime.runs.folder import CONFIG_FILE, METRICS_FILE
from throughtime.runs.jobs import Score, read_score
from throughtime.runs.results import Cell


class Finished(NamedTuple):
    """One finished training."""

    cell: Cell
    score: Score


@dataclass(frozen=True, eq=False)
class Entry:
    """One agent with one memory on one environment, over its seeds."""

    agent: str
    memory: str
    runs: tuple[Finished, ...]
    """Those that are finished, at least one."""
    missing: int
    """Seeds that are not."""
    role: Role

    @property
    def label(self) -> str:
        """What tables call it."""
        return f"{self.agent}, {self.memory}"

    @property
    def returns(self) -> np.ndarray:
        """`[S]`, the mean return of each final policy."""
        return np.array([run.score.mean_return for run in self.runs])

    @property
    def estimate(self) -> Estimate:
        """Interquartile mean over the seeds."""
        return interquartile_estimate([self.returns])

    @property
    def mmer(self) -> float | None:
        """The mean over seeds of POPGym's metric."""
        known = [run.score.mmer for run in self.runs if run.score.mmer is not None]
        return float(np.mean(known)) if known else None

    def reaching(self, bar: float) -> int:
        """How many seeds' final policies return at least `bar`."""
        return int(np.sum(self.returns >= bar))

    @property
    def steps(self) -> int:
        """Environment steps of each training."""
        return self.runs[0].score.steps

    @property
    def seconds(self) -> float:
        """The median wall clock of a training."""
        return float(np.median([run.score.seconds for run in self.runs]))


@dataclass(frozen=True, eq=False)
class Task:
    """One environment with all that was trained on it."""

    title: str
    env: Environment
    entries: tuple[Entry, ...]
    published: tuple[Published, ...]
    bar: float | None = None
    """What the final policy of every seed is to reach."""
    note: str = ""

    @property
    def normalised(self) -> bool:
        """Whether a return can be told as a share of the way from memoryless to optimal."""
        floor, top = self.env.memoryless_return, self.env.optimal_return
        return floor is not None and top is not None and top > floor

    def share(self, returns: np.ndarray) -> np.ndarray:
        """0 for the best policy without a memory, 1 for the best of all."""
        floor, top = self.env.memoryless_return, self.env.optimal_return
        assert floor is not None
        assert top is not None
        return (returns - floor) / (top - floor)


class Overall(NamedTuple):
    """One agent with one memory over all tasks whose ceilings are known, in shares."""

    label: str
    role: Role
    estimate: Estimate
    tasks: int
    runs: int


@dataclass(frozen=True, eq=False)
class Results:
    """All that is shown."""

    title: str
    folder: Path
    tasks: tuple[Task, ...]
    overall: tuple[Overall, ...]
    """Empty where there are not two tasks to take together."""
    failures: tuple[tuple[str, str], ...]
    """(which run, why)."""
    unfinished: int
    mmer: bool
    command: str

    def replay(self, run: Finished) -> str:
        """The command that trains this very run again, to the bit on a machine like this one."""
        config = shlex.quote(str(self.folder / run.cell.folder / CONFIG_FILE))
        return f"NPROC={run.score.threads} throughtime train --config {config} --out NEW"


def collect(
    title: str,
    cells: Sequence[Cell],
    folder: Path,
    command: str,
    *,
    failures: Sequence[tuple[str, str]] = (),
    mmer: bool = False,
) -> Results:
    """Reads the scores that lie in the run folders.

    Args:
        title: of the whole.
        cells: the trainings of the grid, finished or not.
        folder: of the grid.
        command: that makes all of it.
        failures: (which run, why) of those that ended in an error.
        mmer: whether POPGym's metric is asked for.
    """
    tasks = []
    for environment in dict.fromkeys(cell.environment.title for cell in cells):
        here = [cell for cell in cells if cell.environment.title == environment]
        entries = [
            entry
            for label in dict.fromkeys(_label(cell) for cell in here)
            if (entry := _entry([cell for cell in here if _label(cell) == label], folder)) is not None
        ]
        env, asked = here[0].config.env, here[0].environment
        tasks.append(
            Task(environment, env.build(), tuple(entries), tuple(published_on(env)), bar=asked.bar, note=asked.note)
        )
    done = sum(len(entry.runs) for task in tasks for entry in task.entries)
    return Results(
        title,
        folder,
        tuple(tasks),
        tuple(_overall(tasks)),
        tuple(failures),
        len(cells) - done - len(failures),
        mmer,
        command,
    )


def curves(entry: Entry, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps `[N]` and mean training returns `[S, N]` of its runs; those whose metrics were not kept are left out."""
    files = [folder / run.cell.folder / METRICS_FILE for run in entry.runs]
    metrics = [read_metrics(file) for file in files if file.exists()]
    return stretches(metrics) if metrics else (np.zeros(0), np.zeros((0, 0)))


def _label(cell: Cell) -> tuple[str, str]:
    return cell.agent.title, cell.memory.title


def _entry(cells: Sequence[Cell], folder: Path) -> Entry | None:
    found = [(cell, read_score(folder / cell.folder)) for cell in cells]
    runs = tuple(Finished(cell, score) for cell, score in found if score is not None)
    if not runs:
        return None
    first = cells[0]
    role: Role = "memory"
    if first.config.env.reveal:
        role = "state"
    elif first.memory.name in ("none", "tdnn"):
        role = "memoryless" if first.memory.name == "none" else "window"
    memory = first.memory.label or memory_label(first.config)
    return Entry(first.agent.label or first.agent.name.upper(), memory, runs, len(cells) - len(runs), role)


def _overall(tasks: Sequence[Task]) -> Iterator[Overall]:
    """Over the tasks on which every one of the agents has runs, so that all are measured by the same."""
    labels = list(dict.fromkeys(entry.label for task in tasks for entry in task.entries))
    shared = [task for task in tasks if task.normalised and {entry.label for entry in task.entries} == set(labels)]
    if len(shared) < 2:
        return
    for label in labels:
        entries = [next(entry for entry in task.entries if entry.label == label) for task in shared]
        shares = [task.share(entry.returns) for task, entry in zip(shared, entries, strict=True)]
        runs = sum(len(entry.runs) for entry in entries)
        yield Overall(label, entries[0].role, interquartile_estimate(shares), len(shared), runs)
