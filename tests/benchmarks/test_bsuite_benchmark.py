"""What the benchmark on bsuite counts: the outcome of each episode, in the order in which they ended."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from throughtime.agents import NetworkConfig, PPOConfig, R2D2Config
from throughtime.envs import BSUITE

pytestmark = pytest.mark.usefixtures("quick_compiler")

FILE = Path(__file__).parents[2] / "benchmarks" / "bsuite.py"
SIZES = {"num_envs": 2, "rollout_length": 30, "learning_rate": 1e-9}
PPO = PPOConfig(epochs=1, minibatches=1, **SIZES)
R2D2 = R2D2Config(period=30, burn_in=0, bptt_length=5, updates=1, batch_size=1, replay_steps=200, **SIZES)


@pytest.mark.parametrize(
    ("name", "config", "settings", "possible"),
    [
        pytest.param("memory_len", R2D2, ((1, 2), (4, 5)), {-1.0, 1.0}, id="R2D2"),
        pytest.param("discounting_chain", PPO, ((2, 100),), {1.0, np.float32(1.1)}, id="PPO", marks=pytest.mark.slow),
    ],
)
def test_each_episode_is_counted_once_from_the_first_one_on(name, config, settings, possible):
    """Also where two settings share a program: each has its own length."""
    spec = importlib.util.spec_from_file_location("bsuite_benchmark", FILE)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    experiment = replace(BSUITE[name], episodes=10)
    learning = benchmark.Learning(experiment, config, NetworkConfig(hidden_size=4, encoder=(4,)))
    for value, steps in settings:
        options = next(s for s in experiment.settings if s[learning.option] == value)
        found, taken = learning.outcomes(options, seed=0)
        assert len(found) == 2 * (taken // 2 // steps)  # whole episodes of both environments
        assert set(found) == possible
        assert 0.0 <= experiment.score([found]) <= 1.0
