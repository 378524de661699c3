"""Jobs on the cores of this machine: so many worker processes at a time."""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from throughtime.runs.jobs.job import WORKER, Job, Outcome, check_workers, last_words, outcome_of, worker_environment
from throughtime.runs.signals import SaveOnSignal
from throughtime.runs.train import Progress

Report = Callable[[Job, Progress], None]
"""Called with where a job stands, from the thread that waits for its worker."""

PATIENCE = 60.0
"""Seconds that a worker has to save, once it has been asked to stop."""


class Pool:
    """Runs jobs in worker processes, at most `workers` at a time. A context manager: what still runs then is stopped.

    Args:
        workers: processes at a time.
        threads: that each of them computes with.

    Raises:
        ConfigError: less than one of either.
    """

    def __init__(self, workers: int = 2, threads: int = 1):
        check_workers(workers, threads)
        self._threads, self._stopping, self._lock = threads, False, threading.Lock()
        self._running: dict[Job, subprocess.Popen[str]] = {}
        self._stopped: set[Job] = set()
        self._executor = ThreadPoolExecutor(workers)

    def submit(self, job: Job, report: Report | None = None) -> Future[Outcome]:
        """Queues a job. Its future never raises: what goes wrong is an `Outcome`."""
        return self._executor.submit(self._run, job, report)

    def stop(self, job: Job | None = None) -> None:
        """Asks the worker of one job, or all of them, to save and end; jobs that wait do not begin.

        Args:
            job: which; all where None.
        """
        with self._lock:
            self._stopping |= job is None
            for running, process in self._running.items():
                if job is None or running == job:
                    self._stopped.add(running)
                    process.terminate()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._executor.shutdown()

    def _run(self, job: Job, report: Report | None) -> Outcome:
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            with self._lock:
                if self._stopping:
                    return Outcome(job, "stopped", "")
                process = self._running[job] = subprocess.Popen(
                    [sys.executable, "-m", WORKER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    env=worker_environment(self._threads),
                    start_new_session=True,  # a Ctrl-C at the terminal is for us
                )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it died at once; its status says why
                    process.stdin.write(job.request() + "\n")
                    process.stdin.flush()
                for line in process.stdout:
                    if report is not None and line.endswith("\n"):  # else it died in the middle of it
                        report(job, Progress(**json.loads(line)))
                status = self._end(process)
            finally:
                with self._lock:
                    del self._running[job]
                process.stdin.close()
                process.stdout.close()
            said.seek(0)
            return outcome_of(job, status, last_words(said.read()), stopped=job in self._stopped)

    def _end(self, process: subprocess.Popen[str]) -> int:
        """The exit status; a worker that neither works nor ends is killed."""
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int = 2,
    threads: int = 1,
    report: Report | None = None,
    finished: Callable[[Outcome], None] | None = None,
) -> tuple[list[Outcome], signal.Signals | None]:
    """Runs all jobs. One that fails, or whose process is killed, takes no other along.

    SIGINT and SIGTERM let the workers save, and end the call.

    Args:
        jobs: in the order in which they begin.
        workers: processes at a time.
        threads: that each of them computes with.
        report: called with where each job stands.
        finished: called with each outcome as it comes, from this thread.

    Returns:
        The outcomes in the order of `jobs`, and the signal that came, or None.
    """
    with SaveOnSignal() as interrupt, Pool(workers, threads) as pool:
        futures = [pool.submit(job, report) for job in jobs]
        waiting, stopped = set(futures), False
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                if finished is not None:
                    finished(future.result())
            if interrupt.received is not None and not stopped:
                stopped = True
                pool.stop()
        return [future.result() for future in futures], interrupt.received
