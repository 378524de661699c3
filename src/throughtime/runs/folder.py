"""A run's folder: who may write into it, and what lies where."""

import fcntl
import os
from pathlib import Path

from throughtime.core import RunFolderError, did_you_mean
from throughtime.runs.atomic import atomic_write
from throughtime.runs.metrics import EVENTS_PATTERN, FLOW_FILE, METRICS_FILE

CONFIG_FILE = "config.toml"
REPORT_FILE = "report.html"
EVIDENCE_FILE = "evidence.json"
SCORE_FILE = "score.json"
CHECKPOINTS = "checkpoints"
LOCK_FILE = ".throughtime.lock"


class RunFolder:
    """A folder with `config.toml`, `metrics.jsonl`, TensorBoard events, `checkpoints/` and `report.html`.

    Made by `RunFolder.create` or `RunFolder.open`, never directly. A folder that is open for writing is
    locked against other processes until it is closed (it is a context manager) or the process ends, in
    whatever way.
    """

    def __init__(self, path: Path, lock: int | None):
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, path: str | os.PathLike[str], overwrite: bool = False) -> "RunFolder":
        """A new run's folder, locked. All checks come before anything is written.

        Args:
            path: the folder; it and its parents are made where they are missing.
            overwrite: whether the files of an older run may be deleted. Only what a run writes is ever
                deleted, and only in a folder that throughtime made.

        Raises:
            RunFolderError: it holds something already, is locked by a live process, or cannot be written.
        """
        path = Path(path)
        contents = _contents(path)
        if contents and LOCK_FILE not in contents:
            raise RunFolderError(
                f"{path} exists and is not empty.",
                f"throughtime did not make it. It holds {', '.join(sorted(contents)[:3])}"
                + (", …." if len(contents) > 3 else "."),
                "Choose another --out. Nothing was changed.",
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        run = cls(path, _lock(path))
        try:
            run._vacate(overwrite)
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, lock: bool = True) -> "RunFolder":
        """The folder of an existing run.

        Args:
            path: the folder.
            lock: whether to write into it (as resume does). Without, a run can be read while it is training.

        Raises:
            RunFolderError: no run folder (suggests its neighbours), locked by a live process, or read-only.
        """
        path = Path(path)
        if CONFIG_FILE not in _contents(path):
            inner = sorted(str(file.parent) for file in path.glob(f"*/seed-*/{CONFIG_FILE}"))
            if inner:
                raise RunFolderError(
                    f"{path} holds several runs.", "One is wanted here.", f"Name one of them: {', '.join(inner)}."
                )
            runs = [found.parent.name for found in path.parent.glob(f"*/{CONFIG_FILE}")]
            what = f"There is no run folder at {path}." if not path.exists() else f"{path} is no run folder."
            mend = did_you_mean(path.name, runs) if runs else "Name the folder that --out of throughtime train named."
            raise RunFolderError(what, f"It has no {CONFIG_FILE}." if path.exists() else "", mend)
        return cls(path, _lock(path) if lock else None)

    @property
    def metrics_path(self) -> Path:
        """`metrics.jsonl`."""
        return self.path / METRICS_FILE

    @property
    def flow_path(self) -> Path:
        """`flow.jsonl`, where the gradient microscope was on."""
        return self.path / FLOW_FILE

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def report_path(self) -> Path:
        """`report.html`."""
        return self.path / REPORT_FILE

    def read_config(self) -> str:
        """The text of `config.toml`."""
        try:
            return (self.path / CONFIG_FILE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{self.path / CONFIG_FILE} cannot be read.", f"{error}.") from error

    def write_config(self, text: str) -> None:
        """Writes `config.toml`, atomically: with it, the folder is a run that can be opened."""
        try:
            with atomic_write(self.path / CONFIG_FILE) as file:
                file.write(text.encode())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Gives the lock back; may be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _vacate(self, overwrite: bool) -> None:
        """Makes place for a new run, or raises where an older one is in the way."""
        files = self._files()
        if files and not overwrite:
            raise RunFolderError(
                f"{self.path} holds a run already.",
                "A new run would overwrite it.",
                f"Choose another --out, go on with `throughtime resume {self.path}`, or pass --overwrite.",
            )
        try:
            for file in files:
                file.unlink()
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _files(self) -> list[Path]:
        """What runs have written here. The config comes first: while it is there, the run can be opened."""
        names = (CONFIG_FILE, METRICS_FILE, FLOW_FILE, REPORT_FILE, EVIDENCE_FILE, SCORE_FILE, EVENTS_PATTERN)
        unfinished = (".config.toml.*.tmp", ".flow.jsonl.*.tmp", ".evidence.json.*.tmp", f"{CHECKPOINTS}/.step-*.tmp")
        patterns = (*names, *unfinished, f"{CHECKPOINTS}/step-*.safetensors")
        return [file for pattern in patterns for file in self.path.glob(pattern)]


def _contents(path: Path) -> set[str]:
    """The names in a folder; none if it is missing."""
    try:
        return set(os.listdir(path))
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        file = next(part for part in (path, *path.parents) if part.exists())
        what = f"{path} cannot be a run folder."
        raise RunFolderError(what, f"{file} is a file.", "Choose another --out.") from error
    except OSError as error:
        mend = "Choose another --out, or mend its permissions."
        raise RunFolderError(f"The folder {path} cannot be read.", f"{error.strerror or error}.", mend) from error


def _lock(path: Path) -> int:
    """The descriptor that holds the lock of a folder; the kernel closes it when its process dies."""
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except OSError as error:
        owner = os.pread(lock, 20, 0).decode(errors="replace")
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise _unwritable(path, error) from error
        raise RunFolderError(
            f"{path} is locked by process {owner or '(unknown)'}.",
            "Two processes that write into one run would spoil it.",
            "Wait until that process has ended, or end it: the lock goes with it.",
        ) from error
    return lock


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"The run folder {path} cannot be written.",
        f"{error.strerror or error}.",
        "Choose another --out, or mend permissions and space.",
    )
