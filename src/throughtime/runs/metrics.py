"""What a run measures, as it goes: metrics.jsonl and TensorBoard events."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from throughtime.core import RunFolderError

METRICS_FILE = "metrics.jsonl"
FLOW_FILE = "flow.jsonl"
EVENTS_PATTERN = "events.out.tfevents.*"


class MetricsWriter:
    """Appends one JSON object a line to `metrics.jsonl`, and the numbers to TensorBoard events beside it.

    Each line is handed to the operating system in one write: a killed process loses at most the line it was
    at. A run that is to be resumed writes the rows of a step before the checkpoint of that step: on resuming,
    the rows up to the checkpoint are kept, and those written beyond it are dropped.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resume_step: int | None = None):
        """Opens the files.

        Args:
            folder: an existing folder.
            resume_step: None starts afresh, replacing an older `metrics.jsonl`. A step (that of the
                checkpoint a run resumes from) keeps the rows up to this step, included, and appends.

        Raises:
            RunFolderError: the file that is to be resumed is damaged elsewhere than in its last line.
        """
        from tensorboardX import SummaryWriter  # late: it costs 0.2 s that only a training run needs to pay

        folder = Path(folder)
        path = folder / METRICS_FILE
        keep = 0
        if resume_step is not None and path.exists():
            keep = next((start for start, row in _rows(path) if row is None or row["step"] > resume_step), None)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - open as long as the writer
        if keep is not None:
            self._file.truncate(keep)
        # tensorboardX names files by the second and overwrites; the suffix saves a quick resume's forerunner.
        suffix = f".{len(list(folder.glob(EVENTS_PATTERN)))}"
        purge_step = None if resume_step is None else resume_step + 1
        self._events = SummaryWriter(str(folder), purge_step=purge_step, flush_secs=5, filename_suffix=suffix)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Adds one row.

        Args:
            step: environment steps so far.
            values: name -> number (Python, NumPy or JAX scalar), string or None. NaN and infinities become
                null, for JSON has neither. Numbers also go to TensorBoard.
        """
        row = {name: _scalar(value) for name, value in values.items()}
        finite = {name: None if _is_nonfinite(value) else value for name, value in row.items()}
        self._file.write(json.dumps({"step": step, **finite}, allow_nan=False).encode() + b"\n")
        self.scalars(step, row)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Gives numbers to TensorBoard alone; what is no number is left out."""
        for name, value in values.items():
            if isinstance(value, int | float):
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Ends both files; once closed, a writer writes no more."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`, oldest first. A half-written last line is left out; null reads as None.

    Args:
        path: the file.

    Raises:
        RunFolderError: no such file, or a damaged line (named by its number) that is not the last.
    """
    return [row for _, row in _rows(Path(path)) if row is not None]


def _rows(path: Path) -> list[tuple[int, dict[str, Any] | None]]:
    """Each line's byte offset and object; None for a last line that is half-written."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read.", f"{error.strerror}.") from error
    rows, start = [], 0
    for number, line in enumerate(lines, 1):
        row = _parse(line)
        if row is None and number < len(lines):
            what = f"Line {number} of {path} (byte {start}) is damaged."
            raise RunFolderError(what, 'Each line has to be a JSON object with an integer "step".', "Delete the line.")
        rows.append((start, row))
        start += len(line)
    return rows


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None


def _scalar(value: Any) -> bool | int | float | str | None:
    if value is None or isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.dtype == bool or np.issubdtype(array.dtype, np.integer):
        return array.item()
    return float(array)  # not item(): bfloat16 has none of Python's types


def _is_nonfinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
