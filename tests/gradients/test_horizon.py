"""How far gradients reach, on curves whose answer is known."""

import jax
import numpy as np
import pytest

from throughtime.gradients.flow import flow_verdict, gradient_horizon, mean_log_norms
from throughtime.memory import make_memory


def curve(growth, lags, sources=1, rows=1):
    return np.broadcast_to(np.log(growth) * np.arange(lags)[None, :, None], (sources, lags, rows)).copy()


@pytest.mark.parametrize(("growth", "lag"), [(0.9, 43), (0.5, 6), (0.99, 99), (1.2, 99)])
def test_the_horizon_is_the_last_lag_above_a_hundredth(growth, lag):
    horizon = gradient_horizon(curve(growth, 100, rows=3))
    assert horizon.lag == lag
    assert horizon.interval == (lag, lag)
    assert horizon.growth == pytest.approx(growth)
    assert horizon.censored == (lag == 99)
    assert str(horizon) == ("at least 99" if lag == 99 else str(lag))


def test_it_is_the_last_lag_and_not_the_first_gap():
    norms = curve(0.9, 60)
    norms[0, 10] = -np.inf
    assert gradient_horizon(norms).lag == 43


def test_lags_across_an_episode_start_do_not_count_as_zeros():
    """Half of the rows end at lag 5; counted as zeros they would halve the squares from there on."""
    norms = curve(0.9, 60, rows=4)
    norms[:, 6:, :2] = np.nan
    horizon = gradient_horizon(norms)
    assert horizon.lag == 43
    np.testing.assert_allclose(horizon.log_ratios, curve(0.9, 60)[0, :, 0], atol=1e-12)
    assert horizon.measured == 59


def test_sources_that_have_a_lag_are_compared_with_their_own_lag_0():
    norms = curve(0.5, 10, sources=2)
    norms[1] += 5.0  # a loss of greater weight that has no lags beyond 2
    norms[1, 3:] = np.nan
    np.testing.assert_allclose(gradient_horizon(norms).log_ratios, np.log(0.5) * np.arange(10), atol=1e-12)


def test_losses_without_a_gradient_are_left_out():
    norms = np.concatenate([curve(0.9, 60), np.full((1, 60, 1), -np.inf)])
    assert gradient_horizon(norms).lag == 43
    none = gradient_horizon(np.full((1, 5, 1), -np.inf))
    assert (none.lag, none.measured, none.growth) == (0, 0, None)


@pytest.mark.parametrize("first", [0, 1, 20, 59])
def test_the_horizon_ends_before_what_is_not_finite(first):
    """In one row alone, and of a gradient that would otherwise reach the end of the data."""
    norms = curve(0.999, 60, rows=3)
    norms[0, first:, 1] = np.inf
    horizon = gradient_horizon(norms)
    assert (horizon.not_finite_from, horizon.lag, horizon.measured) == (first, max(first - 1, 0), 59)
    assert not horizon.censored
    assert f"not finite from lag {first}" in str(horizon)
    assert np.isnan(horizon.log_ratios[first:]).all()
    np.testing.assert_allclose(horizon.log_ratios[:first], np.log(0.999) * np.arange(first), atol=1e-12)
    assert (horizon.growth is None) == (first < 3)
    assert np.isposinf(mean_log_norms(norms)[0, first:]).all()
    verdict = flow_verdict(make_memory("gru", 2, 3, key=jax.random.key(0)), horizon, 50)
    where = f" from lag {first} on" if first else ""
    assert verdict.headline == f"Gradients are not finite{where}, the task needs 50"


def test_what_is_not_finite_counts_where_the_loss_itself_has_no_gradient():
    """0 · ∞ in its row makes the gradient of the weights NaN all the same."""
    norms = curve(0.9, 5, rows=2)
    norms[0, 2:, 0], norms[0, :, 1] = np.nan, [-np.inf, -np.inf, -np.inf, np.inf, np.inf]
    horizon = gradient_horizon(norms)
    assert (horizon.lag, horizon.measured, horizon.not_finite_from) == (1, 1, 3)
    assert not horizon.censored


def test_numbers_beyond_any_float_stay_finite():
    for growth in (1e-3, 1e3):
        horizon = gradient_horizon(curve(growth, 1_000, rows=2))
        assert horizon.growth == pytest.approx(growth)
        assert np.isfinite(horizon.log_ratios).all()
    assert np.isfinite(mean_log_norms(curve(1e3, 1_000, rows=2))).all()


def test_the_interval_covers_what_rows_differ_in():
    rng = np.random.default_rng(0)
    growths = rng.uniform(0.85, 0.92, size=32)
    norms = np.log(growths)[None, None] * np.arange(80)[None, :, None]
    horizon = gradient_horizon(norms)
    low, high = horizon.interval
    assert low <= horizon.lag <= high
    assert 28 < low < high < 56  # the horizons of single rows lie between 28 and 55
    assert horizon.growth_interval[0] < horizon.growth < horizon.growth_interval[1]
    assert gradient_horizon(norms[..., :1]).interval is None


def test_mean_norms_are_root_mean_squares_over_what_exists():
    norms = np.log(np.array([[[3.0, 4.0], [2.0, np.nan]]]))
    np.testing.assert_allclose(np.exp(mean_log_norms(norms)), [[np.sqrt(12.5), 2.0]])


@pytest.mark.parametrize(
    ("name", "growth", "lags", "required", "bptt", "said"),
    [
        ("elman", 0.82, 100, 50, None, ("vanish at lag 23, the task needs 50", "gated memory")),
        ("lstm", 0.82, 100, 50, None, ("vanish at lag 23, the task needs 50", "chrono of about 50")),
        ("gru", 0.82, 100, None, None, ("Gradients vanish at lag 23", "chrono of about the longest lag")),
        ("tdnn", 0.5, 100, 50, None, ("vanish at lag 6", "sees the present and 3 steps back")),
        ("elman", 1.31, 100, 50, None, ("explode: growth 1.31 per step", "global norm")),
        ("gru", 0.999, 100, 50, None, ("reach back 99 steps or more, the task needs 50", "stays above 1%")),
        ("gru", 0.999, 40, 50, None, ("reach back 39 steps or more", "Whether they reach 50 is not measured")),
        ("gru", 0.9, 100, 30, None, ("reach back 43 steps, the task needs 30", "measured up to lag 99")),
        ("gru", 0.999, 32, 50, 32, ("are cut after 32 steps, the task needs 50", "bptt_length above 50")),
    ],
)  # fmt: skip
def test_verdicts(name, growth, lags, required, bptt, said):
    memory = make_memory(name, 2, 3, key=jax.random.key(0))
    verdict = flow_verdict(memory, gradient_horizon(curve(growth, lags, rows=2)), required, bptt_length=bptt)
    assert said[0] in verdict.headline
    assert said[1] in " ".join(verdict.sentences)
    assert "decide each update" not in " ".join(verdict.sentences)  # norms by lag say nothing of the steps' shares


def test_a_growth_that_is_not_surely_above_one_is_no_explosion():
    rows = np.concatenate([curve(0.7, 60), curve(1.15, 60)], axis=2)
    horizon = gradient_horizon(rows)
    assert horizon.growth > 1 > horizon.growth_interval[0]
    memory = make_memory("elman", 2, 3, key=jax.random.key(0))
    assert "explode" not in flow_verdict(memory, horizon).headline


def test_a_gru_is_not_sent_to_an_lstm_that_reaches_no_farther():
    verdict = flow_verdict(
        make_memory("gru", 2, 3, key=jax.random.key(0)), gradient_horizon(curve(0.5, 60, rows=2)), 50
    )
    assert "chrono of about 50" in verdict.sentences[-1]
    assert "lstm" not in verdict.sentences[-1]
