"""What is kept of a finished run beside its checkpoints: everything that a table of results needs."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from throughtime.core import ConfigError
from throughtime.core.version import __version__
from throughtime.runs.atomic import atomic_write
from throughtime.runs.folder import SCORE_FILE
from throughtime.runs.run import Run
from throughtime.runs.toml import from_dict

FORMAT = 1
EPOCH = 65_536
"""Steps over which POPGym averages the returns of episodes for its MMER."""


@dataclass(frozen=True)
class Score:
    """The final policy on fresh episodes, and its training."""

    mean_return: float
    interval: tuple[float, float]
    """95%, over the episodes."""
    episodes: int
    mean_length: float
    mmer: float | None
    """POPGym's metric, the maximum over epochs of the mean return of training episodes; None where none ended."""
    steps: int
    seconds: float
    """Wall clock of training, compilation included."""
    steps_per_second: float
    parameters: int
    threads: int
    """That it was computed with: another number sums in another order, and gives other figures."""
    version: str
    """Of throughtime."""


def score_run(run: Run) -> Score:
    """Evaluates a finished run."""
    evaluation = run.evaluate()
    return Score(
        evaluation.mean,
        evaluation.interval,
        len(evaluation.returns),
        float(evaluation.lengths.mean()),
        maximum_mean_return(run.metrics, run.config.steps_per_iteration),
        run.steps,
        run.seconds,
        run.steps_per_second,
        run.parameters,
        int(os.environ.get("NPROC") or os.cpu_count() or 1),
        __version__,
    )


def maximum_mean_return(
    metrics: Sequence[Mapping[str, Any]], steps_per_iteration: int, epoch: int = EPOCH
) -> float | None:
    """POPGym's MMER: the maximum over epochs of the mean return of the episodes that ended in each.

    Drawn actions, as they were while training. An epoch is `epoch` steps in whole iterations (the last, shorter one
    counts where it is the only one): the shorter it is, the higher a maximum of noise.

    Args:
        metrics: one row an iteration.
        steps_per_iteration: of each.
        epoch: steps.

    Reference: Morad et al. 2023, POPGym, arXiv 2303.01859, section 5.
    """
    length = max(1, round(epoch / steps_per_iteration))
    means = []
    for begin in range(0, max(len(metrics) - length, 0) + 1, length):
        rows = [row for row in metrics[begin : begin + length] if row["episodes"]]
        episodes = sum(row["episodes"] for row in rows)
        if episodes:
            means.append(sum(row["episodes"] * row["episode_return"] for row in rows) / episodes)
    return max(means, default=None)


def write_score(folder: Path, score: Score) -> None:
    """Writes `score.json`, whole or not at all."""
    with atomic_write(folder / SCORE_FILE) as file:
        file.write(json.dumps({"format": FORMAT, **asdict(score)}, indent=1).encode() + b"\n")


def read_score(folder: Path) -> Score | None:
    """The score of a run folder; None where there is none that can be read."""
    try:
        values = json.loads((folder / SCORE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        return None
    try:
        return from_dict(values, Score)
    except ConfigError:
        return None
