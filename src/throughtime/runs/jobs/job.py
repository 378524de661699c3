"""What a worker process is asked for, and what became of it."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from throughtime.core import ConfigError, RunFolderError
from throughtime.runs.config import RunConfig
from throughtime.runs.folder import CONFIG_FILE, RunFolder
from throughtime.runs.jobs.differences import differences
from throughtime.runs.jobs.score import Score, read_score
from throughtime.runs.toml import from_toml, to_toml

WORKER = "throughtime.runs.jobs.worker"
"""The module that a worker process runs."""


@dataclass(frozen=True, eq=False)
class Job:
    """One training and its score, in one run folder."""

    label: str
    """What people call it."""
    folder: Path
    config: RunConfig
    code: str | None = None
    """The environment's code, where the user has named it: `throughtime.envs.trust`."""

    @property
    def score(self) -> Score | None:
        """Its score, where it is done already."""
        return read_score(self.folder)

    def request(self) -> str:
        """What the worker reads: one line of JSON."""
        return json.dumps({"folder": str(self.folder.absolute()), "config": to_toml(self.config), "code": self.code})


def refuse_other(folder: Path, config: RunConfig) -> None:
    """Refuses a run folder of other settings; one without a config holds no run.

    Raises:
        RunFolderError: names the fields.
    """
    if not (folder / CONFIG_FILE).exists():
        return
    kept = from_toml(RunFolder.open(folder, lock=False).read_config(), RunConfig)
    if kept != config:
        raise RunFolderError(
            f"{folder} holds a run of other settings: {differences(kept, config)}.",
            "Its results would stand for settings that it was not trained with.",
            "Undo the change, or choose another --out.",
        )


class Outcome(NamedTuple):
    """What became of a job."""

    job: Job
    status: Literal["done", "failed", "stopped"]  # stopped: by us, saved, and ready to go on
    message: str  # why it failed


def outcome_of(job: Job, status: int, said: str, *, stopped: bool) -> Outcome:
    """Reads a worker's exit status.

    Args:
        job: which.
        status: as `Popen.returncode`: negative where a signal ended it.
        said: what it wrote on stderr.
        stopped: whether it had been asked to stop.
    """
    if status == 0:
        return Outcome(job, "done", "")
    if stopped:
        return Outcome(job, "stopped", "")
    number = -status if status < 0 else status - 128
    if status < 0 or number in (signal.SIGINT, signal.SIGTERM):
        why = f"Its process was ended by {signal.Signals(number).name}"
        why += ": was there enough memory?" if number == signal.SIGKILL else "."
        return Outcome(job, "failed", why)
    return Outcome(job, "failed", said.strip() or f"Its process ended with status {status}.")


def check_workers(workers: int, threads: int) -> None:
    """Refuses numbers with which nothing would be computed.

    Raises:
        ConfigError: which.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value < 1:
            raise ConfigError(f"{name} = {value}", "Nothing would be computed.", "Give 1 or more.")


def worker_environment(threads: int) -> dict[str, str]:
    """The environment variables of a worker that computes with so many threads."""
    return os.environ | {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}


def last_words(text: str) -> str:
    """What an error message says; of a traceback its last line."""
    text = text.strip()
    if "Traceback (most recent call last)" in text:
        return text.splitlines()[-1]
    return "\n".join(text.splitlines()[-6:])
