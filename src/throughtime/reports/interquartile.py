"""Few seeds, reported reliably: the interquartile mean and its interval by stratified bootstrap.

Reference: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS,
arXiv 2108.13264, sections 4.1 and 4.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from throughtime.core import ConfigError

RESAMPLES = 10_000


class Estimate(NamedTuple):
    """An interquartile mean with the ends of its interval; these are NaN where no task has two runs."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: Real[np.ndarray, "*batch N"]) -> Float[np.ndarray, "*batch"]:
    """The mean of what is left of N scores when the lowest quarter of them and the highest are dropped.

    ⌊N/4⌋ are dropped at either end, so all count where N is below 4.

    Args:
        scores: along the last axis.
    """
    N = scores.shape[-1]
    if N == 0:
        raise ConfigError("There are no scores.", "They have no mean.", "Give one or more.")
    cut = N // 4
    return np.asarray(np.sort(scores.astype(float), axis=-1)[..., cut : N - cut].mean(axis=-1))


def interquartile_estimate(
    tasks: Sequence[Real[np.ndarray, " _"]],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The interquartile mean over the runs of all tasks together, with its percentile interval.

    The bootstrap is stratified: each resample draws, for each task by itself and with replacement, as many of its runs
    as there are, so that every task keeps its weight. What is random is then the training; the tasks are given.

    Args:
        tasks: for each task the scores of its runs, in units that are the same for all. Numbers of runs may differ.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap: the same scores give the same interval.

    Raises:
        ConfigError: no tasks, or one without runs.
    """
    if not tasks or any(len(runs) == 0 for runs in tasks):
        raise ConfigError("There are no scores.", "They have no mean.", "Give one or more runs of each task.")
    value = float(interquartile_mean(np.concatenate(tasks)))
    if all(len(runs) < 2 for runs in tasks):
        return Estimate(value, float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    drawn = [runs[random.integers(len(runs), size=(resamples, len(runs)))] for runs in tasks]
    means = interquartile_mean(np.concatenate(drawn, axis=1))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, (tail, 100 - tail))
    return Estimate(value, float(low), float(high))
