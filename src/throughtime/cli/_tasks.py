"""What the commands that train on tasks share: a live bar, and a folder that is not written over by mistake."""

from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from throughtime.cli._output import Output
from throughtime.core import RunFolderError
from throughtime.tasks import Progress as Point


def refuse_full(out: Path, overwrite: bool) -> None:
    """Raises `RunFolderError` before anything is trained, where the folder has something in it."""
    if out.exists() and not (out.is_dir() and (overwrite or not any(out.iterdir()))):
        raise RunFolderError(f"{out} exists.", "It would be written over.", "Name another --out, or give --overwrite.")


class TaskBar:
    """A live bar for each training: updates, validation loss and time left."""

    def __init__(self, output: Output):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("[cyan]{task.fields[loss]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=output.console,
        )

    def row(self, label: str, updates: int) -> Any:
        """A new bar, the one before it done; returns what `train_task` calls."""
        self._done()
        row = self._progress.add_task(label, total=updates, loss="")

        def update(point: Point) -> None:
            self._progress.update(row, completed=point.update, loss=f"loss {point.validation_loss:<8.4g}")

        return update

    def __enter__(self) -> "TaskBar":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._done()
        else:  # an error says what happened; an empty bar above it says nothing
            for row in self._progress.tasks:
                self._progress.update(row.id, visible=row.completed > 0)
        self._progress.stop()

    def _done(self) -> None:
        """The latest training has ended, perhaps before its budget."""
        for row in self._progress.tasks[-1:]:
            self._progress.update(row.id, total=row.completed)
