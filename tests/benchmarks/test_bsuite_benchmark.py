"""What the benchmark on bsuite counts: the outcome of each episode, in the order in which they ended."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from throughtime.agents import NetworkConfig, PPOConfig
from throughtime.envs import BSUITE

pytestmark = pytest.mark.usefixtures("quick_compiler")

FILE = Path(__file__).parents[2] / "benchmarks" / "bsuite.py"


@pytest.mark.parametrize(
    ("name", "options", "steps", "possible"),
    [
        pytest.param("memory_len", {"length": 2, "bits": 1}, 3, {-1.0, 1.0}, marks=pytest.mark.slow),
        ("discounting_chain", {"mapping_seed": 2}, 100, {1.0, np.float32(1.1)}),
    ],
)
def test_each_episode_is_counted_once_from_the_first_one_on(name, options, steps, possible):
    spec = importlib.util.spec_from_file_location("bsuite_benchmark", FILE)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    config = PPOConfig(num_envs=2, rollout_length=30, epochs=1, minibatches=1, learning_rate=1e-9)
    network = NetworkConfig(hidden_size=4, encoder=(4,))
    experiment = replace(BSUITE[name], episodes=10)
    found, taken = benchmark.outcomes(experiment, options, seed=0, config=config, network=network)
    assert len(found) == 2 * (taken // 2 // steps)  # whole episodes of both environments
    assert set(found) == possible
    assert 0.0 <= experiment.score([found]) <= 1.0
