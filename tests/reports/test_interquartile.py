"""The interquartile mean and its bootstrap, beside SciPy, beside all resamples there are, and by hand."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from throughtime.core import ConfigError
from throughtime.reports.interquartile import interquartile_estimate, interquartile_mean


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 13, 40])
def test_it_is_scipys_trimmed_mean(count):
    scores = np.random.default_rng(count).normal(size=(3, count))
    assert_allclose(interquartile_mean(scores), stats.trim_mean(scores, 0.25, axis=-1), rtol=1e-12)


def test_by_hand():
    """Of eight scores the two lowest and the two highest fall away: (2 + 3 + 5 + 6) / 4."""
    assert interquartile_mean(np.array([100, 3, 0, 5, 2, -50, 6, 7])) == 4.0


def test_the_interval_is_that_of_all_resamples():
    """Three runs of one task: 27 resamples, all equally probable."""
    runs = np.array([0.1, 0.4, 1.0])
    means = np.sort([np.mean(drawn) for drawn in product(runs, repeat=3)])
    found = interquartile_estimate([runs], resamples=40_000)
    assert_allclose(found.value, 0.5)
    # Of 27 means the 2.5% quantile is the lowest, the 97.5% quantile the highest: each has the probability 1/27.
    assert_allclose([found.low, found.high], [means[0], means[-1]])
    middle = interquartile_estimate([runs], resamples=40_000, confidence=0.5)
    exact = np.quantile(means, (0.25, 0.75), method="inverted_cdf")
    assert_allclose([middle.low, middle.high], exact, atol=1e-9)


def test_the_interval_is_scipys():
    runs = np.random.default_rng(1).normal(size=24)
    theirs = stats.bootstrap(
        (runs,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    ours = interquartile_estimate([runs], resamples=20_000)
    assert_allclose([ours.low, ours.high], theirs, atol=0.03)


def test_every_task_keeps_its_weight():
    """Runs that do not differ within their tasks leave nothing to doubt, however the tasks differ."""
    found = interquartile_estimate([np.zeros(3), np.ones(3)])
    assert found == (0.5, 0.5, 0.5)


def test_a_single_run_has_no_interval():
    found = interquartile_estimate([np.array([0.3]), np.array([0.7])])
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()


def test_nothing_has_no_mean():
    for tasks in ([], [np.array([])]):
        with pytest.raises(ConfigError):
            interquartile_estimate(tasks)
