"""What commands print: a live bar and tables for people, one JSON object for programs."""

import json
import math
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from throughtime.runs import Progress as TrainingProgress
from throughtime.runs.atomic import atomic_write


class Output:
    """With `--json` stdout carries one JSON object and all else goes to stderr; otherwise people read stdout."""

    def __init__(self, as_json: bool):
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)

    def result(self, value: dict[str, Any]) -> None:
        """Prints the JSON object, where one was asked for."""
        if self.as_json:
            json.dump(_plain(value), sys.stdout, allow_nan=False)
            sys.stdout.write("\n")

    @staticmethod
    def write(value: dict[str, Any], path: Path) -> None:
        """Writes the JSON object to a file, which is whole or not there."""
        with atomic_write(path) as file:
            file.write(json.dumps(_plain(value), allow_nan=False, indent=1).encode() + b"\n")


class TrainingBar:
    """A live bar for each training: return, steps/s and time left."""

    def __init__(self, console: Console, seeds: int = 1):
        self._seeds = seeds
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            _Return(),
            _Speed(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
        )
        self._tasks: dict[tuple[str, int], TaskID] = {}

    def update(self, label: str, seed: int, p: TrainingProgress) -> None:
        """Shows where a training stands."""
        task = self._tasks.get((label, seed))
        if task is None:
            name = f"{label}, seed {seed}" if self._seeds > 1 else label
            task = self._tasks[label, seed] = self._progress.add_task(name, total=p.total_steps)
        self._progress.update(
            task, completed=p.step, episode_return=p.episode_return, steps_per_second=p.steps_per_second
        )

    def __enter__(self) -> "TrainingBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class _Return(ProgressColumn):
    """The mean return of the episodes that ended lately."""

    def render(self, task: Task) -> Text:
        value = task.fields.get("episode_return")
        return Text("return      –" if value is None else f"return {value:>6.4g}", style="cyan")


class _Speed(ProgressColumn):
    """Environment steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('steps_per_second', 0):>7,.0f} steps/s", style="green")


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
