"""B Python environments over some workers: seeds, restarts, and what is reported when one fails."""

import itertools
import os
import threading
import warnings
from typing import NamedTuple

import numpy as np

from throughtime.core import EnvironmentStepError
from throughtime.envs.adapters._arrays import Arrays, Shapes, arrays_in, bytes_needed
from throughtime.envs.adapters._build import Recipe, build
from throughtime.envs.adapters._group import Group, cut_off
from throughtime.envs.adapters._layout import ActionLayout
from throughtime.envs.adapters._sight import Sight
from throughtime.envs.adapters._workers import ProcessWorker, ThreadWorker, Worker, WorkerLost, shared_memory

START_SECONDS = 60.0  # what a process may need on top to start and to build its environments


class Settings(NamedTuple):
    """How environments are run."""

    recipe: Recipe
    workers: int  # processes; 0: this one
    timeout: float  # seconds that one step of a whole batch may take
    restarts: int  # failures that are borne, of all environments together


class Session:
    """B environments between their first reset and their release.

    Args:
        settings: which, and how they are run.
        batch_size: B.
        sight: how observations are written.
        actions: how actions are read.
    """

    def __init__(self, settings: Settings, batch_size: int, sight: Sight, actions: ActionLayout):
        self.settings, self.batch_size = settings, batch_size
        space = actions.space
        self._shapes = Shapes(batch_size, sight.size, space.shape, hasattr(space, "low"))
        self._sight, self._actions = sight, actions
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self.arrays = self._allocate()
        count = min(max(settings.workers, 1), batch_size)
        edges = np.linspace(0, batch_size, count + 1).round().astype(int).tolist()
        self._workers = [self._start(slice(a, b)) for a, b in itertools.pairwise(edges)]
        self.time, self.failures, self.error = 0, 0, None

    def _allocate(self) -> Arrays:
        size = bytes_needed(self._shapes)
        if not self.settings.workers:
            return arrays_in(bytearray(size), self._shapes)
        self._descriptor, memory = shared_memory(size)
        return arrays_in(memoryview(memory), self._shapes)

    def _start(self, rows: slice) -> Worker:
        recipe = self.settings.recipe
        if self._descriptor is not None:
            return ProcessWorker(rows, recipe, self._sight.mask, self._shapes, self._descriptor)
        arrays = self.arrays.rows(rows)
        return ThreadWorker(rows, lambda: Group(lambda: build(recipe), rows.start, arrays, self._sight, self._actions))

    def reset(self, seeds: np.ndarray) -> None:
        """A new episode in each environment, whose random numbers begin at its seed (uint32 `[B]`)."""
        with self._lock:
            self.time, self.failures, self.error = 0, 0, None
            self.arrays.seeds[:] = seeds
            self._run("reset")

    def step(self, time: int, actions: np.ndarray) -> None:
        """One step in each environment; the results lie in `arrays`.

        Args:
            time: how often the caller believes they were stepped.
            actions: int32 `[B, ...]` or float32 `[B, A]`.
        """
        with self._lock:
            if time != self.time and self.error is None:
                self.error = EnvironmentStepError(
                    f"{self.settings.recipe.name} was stepped from an old state.",
                    f"Its environments stand at step {self.time}, and were to be stepped from step {time}. "
                    "A Python environment cannot go back.",
                    "Step each state once, and begin anew with reset.",
                )
            if self.error is None:
                self.arrays.actions[:] = actions
                self._run("step")
                self.time += 1
            if self.error is not None:  # NaN stops whatever loop runs
                self.arrays.rewards[:] = np.nan
                self.arrays.terminated[:] = True

    def _run(self, command: str) -> None:
        """One command in all workers; failures are counted, reported, and too many of them end the session."""
        for worker in self._workers:
            worker.send(command)
        for place, worker in enumerate(self._workers):
            try:
                failures = worker.receive(self._patience(command))
            except WorkerLost as lost:
                self._replace(place, worker, lost)
                continue
            for failure in failures:
                self._count(f"environment {failure.environment} raised", failure.trace, fatal=failure.lost)

    def _patience(self, command: str) -> float:
        starting = command == "reset" and self.settings.workers
        return self.settings.timeout + (START_SECONDS if starting else 0.0)

    def _replace(self, place: int, worker: Worker, lost: WorkerLost) -> None:
        """Ends a worker that is lost and starts another one; its environments begin new episodes."""
        rows = worker.rows
        index = int(self.arrays.current[rows][0])
        share = f"environments {rows.start} to {rows.stop - 1}" if rows.stop - rows.start > 1 else "it alone"
        whose = f"environment {index}" if rows.start <= index < rows.stop else "between two steps"
        what = f"{whose}: the worker of {share} {lost.why}"
        if not isinstance(worker, ThreadWorker):
            worker.close()
        self._count(what, lost.trace)
        if self.error is not None:
            return
        cut_off(self.arrays, rows)
        self.arrays.seeds[rows] += np.uint32(1)
        self._workers[place] = anew = self._start(rows)
        anew.send("reset")
        try:
            failures = anew.receive(self._patience("reset"))
        except WorkerLost as again:
            self._count(f"the worker of {share}, started anew, {again.why}", again.trace, fatal=True)
            return
        for failure in failures:
            self._count(f"environment {failure.environment} raised", failure.trace, fatal=failure.lost)

    def _count(self, what: str, trace: str, fatal: bool = False) -> None:
        """One more failure: a warning, or the error that ends the session."""
        self.failures += 1
        if self.error is not None:
            return
        name, restarts = self.settings.recipe.name, self.settings.restarts
        trace = trace.strip() or "(it left no traceback)"
        if not fatal and self.failures <= restarts:
            try:
                warnings.warn(
                    f"{name}: {what}. Started anew ({self.failures} of {restarts} restarts); what was cut off counts "
                    f"as truncated.\n{trace}",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return
            except RuntimeWarning:  # warnings are errors here
                pass
        self.error = EnvironmentStepError(
            f"{name}: {what}.",
            trace,
            "It could not be started anew. Mend the environment."
            if fatal
            else f"That is failure {self.failures}, and restarts = {restarts}. Mend the environment, or allow more "
            "restarts (timeout = seconds for a step of the whole batch).",
        )

    def close(self) -> None:
        """Ends the workers."""
        with self._lock:
            for worker in self._workers:
                worker.close()
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            self._workers = []
