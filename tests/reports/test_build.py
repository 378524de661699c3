"""From runs to rows: which number is an interval of what."""

from dataclasses import replace

import numpy as np
import pytest

import throughtime as tt
from throughtime.proof import ComparisonConfig
from throughtime.reports.build import runs_report
from throughtime.runs import Evaluation, Run, default_config


@pytest.fixture(scope="module")
def runs():
    agent = tt.PPO(
        tt.make("t-maze", length=2), hidden_size=2, encoder=(), num_envs=1, rollout_length=4, epochs=1, minibatches=1
    )
    return [agent.train(8, seed=seed) for seed in (0, 1)]


def scores(monkeypatch, by_seed):
    def evaluate(self):
        returns = np.asarray(by_seed[self.config.seed], np.float32)
        return Evaluation(returns, np.ones_like(returns))

    monkeypatch.setattr(Run, "evaluate", evaluate)


def test_several_seeds_give_an_interval_over_seeds(runs, monkeypatch):
    """Means 0.2 and 0.8: standard error 0.3, and t with one degree of freedom is 12.706."""
    scores(monkeypatch, {0: [0.2] * 100, 1: [0.8] * 100})
    (row,) = runs_report(runs, "").rows
    assert row.mean_return == pytest.approx(0.5)
    assert row.interval == pytest.approx((0.5 - 12.706 * 0.3, 0.5 + 12.706 * 0.3), rel=1e-4)
    assert (row.seeds, row.episodes) == (2, 200)


def test_one_seed_gives_an_interval_over_episodes(runs, monkeypatch):
    """Fifty zeros and fifty ones: standard deviation 0.50252, standard error 0.050252."""
    scores(monkeypatch, {0: [0.0, 1.0] * 50})
    (row,) = runs_report(runs[:1], "").rows
    assert row.interval == pytest.approx((0.5 - 1.96 * 0.050252, 0.5 + 1.96 * 0.050252), rel=1e-4)


def test_an_unfinished_run_is_named(runs):
    longer = replace(runs[0], config=replace(runs[0].config, total_steps=400))
    assert any("unfinished: 8 of 400 steps" in note for note in runs_report([longer], "").notes)
    assert not any("unfinished" in note for note in runs_report(runs, "").notes)


def test_the_memoryless_twin_has_no_memory_at_all():
    """Reading its own last action, as tiger's agent does, would be a step of memory."""
    plan = ComparisonConfig(default_config("tiger"))
    assert plan.config("memory", 0).network.previous_action
    twin = plan.config("memoryless", 0).network
    assert (twin.memory, twin.previous_action, twin.previous_reward) == ("none", False, False)
