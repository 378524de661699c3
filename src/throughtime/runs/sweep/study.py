# pyright: reportMissingImports=false
"""A study of Optuna in a folder: every trial trains with all tuning seeds, as jobs in processes of their own.

The study is a journal of JSON lines; no part of it is ever unpickled. A trial that was under way when its process
ended goes on with its very values, from its checkpoints.

Reference: Akiba et al. 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework", arXiv 1907.10902; the
sampler is its tree-structured Parzen estimator (Bergstra et al. 2011), the pruner its median rule.
"""

import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from throughtime.core import ConfigError, RunFolderError
from throughtime.runs.atomic import atomic_write
from throughtime.runs.jobs.differences import differences
from throughtime.runs.jobs.job import Job, Outcome, check_workers, refuse_other
from throughtime.runs.jobs.pool import Pool
from throughtime.runs.signals import SaveOnSignal
from throughtime.runs.sweep.config import SweepConfig
from throughtime.runs.sweep.space import suggest
from throughtime.runs.toml import from_toml, to_toml
from throughtime.runs.train import Progress

CONFIG_FILE, JOURNAL_FILE = "sweep.toml", "study.journal"
RUNGS = 10
"""Times in a training at which a trial may be pruned."""


class Tried(NamedTuple):
    """One trial."""

    number: int
    values: dict[str, Any]
    status: Literal["done", "pruned", "failed"]
    mean_return: float | None  # over the seeds
    returns: tuple[float, ...]  # of each seed
    why: str  # it failed


class Found(NamedTuple):
    """What a study holds."""

    trials: tuple[Tried, ...]
    interrupted: signal.Signals | None

    @property
    def best(self) -> Tried | None:
        """The finished trial of the highest mean return."""
        done = [trial for trial in self.trials if trial.mean_return is not None]
        return max(done, key=lambda trial: trial.mean_return or 0.0, default=None)


@dataclass(eq=False)
class _Active:
    """A trial whose trainings run."""

    trial: Any
    jobs: list[Job]
    futures: list[Future[Outcome]]
    rungs: dict[Job, list[float]] = field(default_factory=dict)  # returns at the rungs passed, by job
    reported: int = 0
    pruned: bool = False


def sweep(
    config: SweepConfig,
    out: str | Path,
    *,
    trials: int = 20,
    workers: int = 2,
    threads: int = 1,
    prune: bool = False,
    code: str | None = None,
    finished: Callable[[Tried], None] | None = None,
) -> Found:
    """Goes on with the study in `out` until it holds so many trials; begins it where there is none.

    Args:
        config: what is searched.
        out: the folder: sweep.toml, study.journal, and trial-N/seed-S, the run folders.
        trials: that the study holds in the end, those of earlier calls included.
        workers: trainings at a time.
        threads: that each of them computes with.
        prune: ends trials whose returns, at tenths of their training, are below the median of the others'.
        code: the environment's code, where the user has named it.
        finished: called with each trial as it ends.

    Raises:
        ConfigError: settings that cannot be searched, or Optuna is not installed.
        RunFolderError: the folder holds another study, or is not one.
    """
    optuna = _optuna()
    config.check()
    check_workers(workers, threads)
    if trials < 1:
        raise ConfigError(f"trials = {trials}", "Nothing would be tried.", "Give 1 or more.")
    out = Path(out)
    _claim(config, out)
    with _quiet(optuna):
        study = _study(optuna, out, prune)
        with SaveOnSignal() as interrupt, Pool(workers, threads) as pool:
            active = [_begin(optuna, study, config, out, pool, code, old) for old in _unfinished(optuna, study)]
            running = [trial for trial in active if trial is not None]
            while True:
                while (
                    interrupt.received is None
                    and sum(len(trial.jobs) for trial in running) < workers
                    and len(study.trials) < trials
                ):
                    begun = _begin(optuna, study, config, out, pool, code, None)
                    if begun is not None:
                        running.append(begun)
                    elif finished is not None:
                        finished(_tried(study.trials[-1]))
                if not running:
                    break
                open_ones = [future for trial in running for future in trial.futures if not future.done()]
                wait(open_ones, timeout=0.2, return_when="FIRST_COMPLETED")
                if interrupt.received is not None:
                    pool.stop()
                for trial in list(running):
                    if prune and not trial.pruned and _falls_behind(trial):
                        trial.pruned = True
                        for job in trial.jobs:
                            pool.stop(job)
                    if all(future.done() for future in trial.futures):
                        running.remove(trial)
                        if _tell(optuna, study, trial) and finished is not None:
                            finished(_tried(study.trials[trial.trial.number]))
        tried = tuple(_tried(trial) for trial in study.trials if trial.state.is_finished())
        return Found(tried, interrupt.received)


def _begin(
    optuna: Any, study: Any, config: SweepConfig, out: Path, pool: Pool, code: str | None, old: Any
) -> _Active | None:
    """Submits the trainings of a new trial, or of one that was under way; None where its values cannot work."""
    trial = study.ask() if old is None else old
    values = suggest(trial, config.space, config.run)
    folder = out / f"trial-{trial.number:04d}"
    try:
        configs = [config.config(values, seed) for seed in config.seeds]
        for run in configs:
            refuse_other(folder / f"seed-{run.seed}", run)
    except (ConfigError, RunFolderError) as error:
        trial.set_user_attr("why", error.what)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return None
    jobs = [Job(f"trial {trial.number}, seed {run.seed}", folder / f"seed-{run.seed}", run, code) for run in configs]
    active = _Active(trial, jobs, [], {job: [] for job in jobs})

    def report(job: Job, p: Progress) -> None:
        passed = active.rungs[job]
        while (
            p.episode_return is not None and len(passed) < RUNGS and p.step * RUNGS >= (len(passed) + 1) * p.total_steps
        ):
            passed.append(p.episode_return)

    active.futures = [pool.submit(job, report) for job in jobs]
    return active


def _falls_behind(active: _Active) -> bool:
    """Reports the rungs that all seeds have passed; whether the pruner then wants the trial ended."""
    done = min(len(passed) for passed in active.rungs.values())
    while active.reported < done:
        rung = active.reported
        active.trial.report(float(np.mean([passed[rung] for passed in active.rungs.values()])), rung)
        active.reported += 1
        if active.trial.should_prune():
            return True
    return False


def _tell(optuna: Any, study: Any, active: _Active) -> bool:
    """Writes down what became of a trial; false where it was stopped, and waits to go on."""
    outcomes, states = [future.result() for future in active.futures], optuna.trial.TrialState
    failed = next((outcome for outcome in outcomes if outcome.status == "failed"), None)
    if active.pruned and any(outcome.status == "stopped" for outcome in outcomes):
        study.tell(active.trial, state=states.PRUNED)
        return True
    if failed is not None:
        active.trial.set_user_attr("why", failed.message)
        study.tell(active.trial, state=states.FAIL)
        return True
    scores = [job.score for job in active.jobs]
    returns = [score.mean_return for score in scores if score is not None]
    if len(returns) < len(scores):
        return False
    active.trial.set_user_attr("returns", returns)
    study.tell(active.trial, float(np.mean(returns)))
    return True


def _tried(trial: Any) -> Tried:
    status: Any = {"COMPLETE": "done", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    returns = tuple(trial.user_attrs.get("returns", ()))
    value = trial.value if status == "done" else None
    return Tried(trial.number, dict(trial.params), status, value, returns, trial.user_attrs.get("why", ""))


def _unfinished(optuna: Any, study: Any) -> Iterator[Any]:
    """The trials that were under way when an earlier call ended."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        yield optuna.trial.Trial(study, trial._trial_id)


def _claim(config: SweepConfig, out: Path) -> None:
    """Makes the folder, or refuses one of another study."""
    file = out / CONFIG_FILE
    try:
        if file.exists():
            kept = from_toml(file.read_text(encoding="utf-8"), SweepConfig)
            if kept != config:
                raise RunFolderError(
                    f"{out} holds a sweep of other settings: {differences(kept, config)}.",
                    "Its trials could not be compared with new ones.",
                    "Undo the change, or choose another --out.",
                )
            return
        if out.exists() and any(out.iterdir()):
            raise RunFolderError(f"{out} exists already.", "It holds no sweep.", "Choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as written:
            written.write(to_toml(config).encode())
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, RunFolderError):
            raise
        raise RunFolderError(f"{out} cannot be used.", f"{error}.", "Choose another --out.") from error


def _study(optuna: Any, out: Path, prune: bool) -> Any:
    journal = optuna.storages.journal.JournalFileBackend(str(out / JOURNAL_FILE))
    storage = optuna.storages.JournalStorage(journal)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1) if prune else optuna.pruners.NopPruner()
    study = optuna.create_study(
        storage=storage, study_name="sweep", direction="maximize", load_if_exists=True, pruner=pruner
    )
    # Its random state is not in the journal: a call that goes on draws what one that was never stopped might have.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials), n_startup_trials=5, constant_liar=True)
    return study


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ImportError as error:
        raise ConfigError(
            "Optuna is not installed.", "It chooses what to try.", "pip install 'throughtime[sweep]'"
        ) from error
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without its log lines, and without its warnings that arguments are experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
