# pyright: reportMissingImports=false
"""Jobs on a Ray cluster: one core each, with the workers of `pool`, in a folder that all its machines share."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from throughtime.core import ConfigError
from throughtime.runs.jobs.job import WORKER, Job, Outcome, check_workers, last_words, outcome_of, worker_environment
from throughtime.runs.signals import SaveOnSignal


def run_on_ray(
    jobs: Sequence[Job],
    address: str,
    *,
    threads: int = 1,
    finished: Callable[[Outcome], None] | None = None,
) -> tuple[list[Outcome], signal.Signals | None]:
    """Runs all jobs as tasks of a Ray cluster; see `run_jobs`.

    Run folders are written by the machine that a task runs on: they have to lie in a file system that all of them, and
    this one, see under the same path; and throughtime has to be installed there.

    Args:
        jobs: in the order in which they begin.
        address: of a cluster that runs, as Ray takes it ("ray://host:10001", "host:6379", "auto"). None is ever started
            here: Ray's servers listen on every interface of a machine.
        threads: that each job computes with.
        finished: called with each outcome as it comes.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at that address.
    """
    check_workers(1, threads)
    ray = _ray()
    _connect(ray, address)
    try:
        task = ray.remote(num_cpus=threads, max_retries=0)(_task)
        pending = {task.remote(job.request(), threads, WORKER): job for job in jobs}
        outcomes: dict[Job, Outcome] = {}
        with SaveOnSignal() as interrupt:
            while pending:
                done, _ = ray.wait(list(pending), timeout=0.5)
                for reference in done:
                    job = pending.pop(reference)
                    outcomes[job] = _outcome(ray, reference, job, interrupt.received is not None)
                    if finished is not None:
                        finished(outcomes[job])
                if interrupt.received is not None:
                    for reference in pending:
                        ray.cancel(reference, force=True)
        return [outcomes[job] for job in jobs], interrupt.received
    finally:
        ray.shutdown()


def _task(request: str, threads: int, worker: str) -> tuple[int, str]:
    """On the cluster: a worker process, its exit status, and its last words.

    The worker saves and ends when its stdin closes: with this task, however that ends.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
            env=worker_environment(threads),
        )
        assert process.stdin is not None
        with process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(request + "\n")
                process.stdin.flush()
            status = process.wait()
        said.seek(0)
        return status, last_words(said.read())


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "Ray is not installed.", "--ray runs trainings on a Ray cluster.", "pip install 'throughtime[ray]'"
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"There is no Ray cluster at {address!r}.",
            f"{str(error).strip().splitlines()[0]}",
            "Give the address of one that runs, such as ray://HOST:10001.",
        ) from error


def _outcome(ray: Any, reference: Any, job: Job, stopped: bool) -> Outcome:
    try:
        status, said = ray.get(reference)
    except ray.exceptions.RayError as error:  # its node is gone, or it was cancelled
        return Outcome(job, "stopped" if stopped else "failed", str(error).strip().splitlines()[0])
    outcome = outcome_of(job, status, said, stopped=stopped)
    if outcome.status == "done" and job.score is None:
        return Outcome(
            job, "failed", f"It was trained on another machine, whose {job.folder} is not this one's: share the folder."
        )
    return outcome
