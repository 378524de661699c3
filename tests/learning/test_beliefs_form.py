"""Slow: what a trained memory holds must be near the exact belief. Shipped settings, a fresh seed."""

import pytest

import throughtime as tt

pytestmark = pytest.mark.slow
SEED = 500


def test_the_gru_holds_tigers_belief_and_an_untrained_one_does_not():
    probe = tt.PPO(tt.make("tiger")).train(seed=SEED).belief(rows=64, models=("linear",))
    trained, untrained = (probe.row(source).belief_kl for source in ("memory", "untrained"))
    assert trained <= 0.02
    assert untrained >= 5 * trained


def test_the_gru_holds_what_the_kalman_filter_knows():
    probe = tt.PPO(tt.make("tracking")).train(seed=SEED).belief(rows=128, models=("linear",))
    assert probe.row("memory").mean_r2 >= 0.95 * probe.exact.mean_r2
    assert probe.row("observation").mean_r2 < 0.5 * probe.exact.mean_r2
