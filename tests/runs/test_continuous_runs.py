"""Runs of SAC and TD3: everything that a run of PPO can do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import throughtime as tt
from throughtime.cli.main import main
from throughtime.core import named_arrays
from throughtime.runs import default_config, read_metrics, resume

pytestmark = pytest.mark.usefixtures("quick_compiler")

TINY = {"hidden_size": 3, "encoder": (), "previous_reward": True, "head": (), "num_envs": 2, "rollout_length": 4}
TINY |= {"bptt_length": 4, "batch_size": 3, "replay_steps": 2 * 12, "learning_starts": 16, "updates": 2}
STEPS = 8  # of one iteration


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit_replay_included(tmp_path):
    agent = tt.SAC(tt.make("pendulum-positions", time_limit=5), memory="elman", normalise_observations=True, **TINY)
    whole = agent.train(9 * STEPS, seed=3)
    half = agent.train(4 * STEPS, seed=3, out=tmp_path / "half")
    config = tmp_path / "half" / "config.toml"
    config.write_text(re.sub(r"total_steps = \d+", f"total_steps = {9 * STEPS}", config.read_text()))
    resumed = resume(half.path)
    expected, got = (jax.device_get(named_arrays(run.state)) for run in (whole, resumed))
    assert any(name.startswith("replay.steps") for name in expected)
    assert any(name.startswith("learned.targets") for name in expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    rows = read_metrics(half.path / "metrics.jsonl")
    assert [row["updates"] for row in rows] == [0, *[2] * 8]
    assert rows[0]["critic_loss"] == 0.0
    assert rows[-1]["temperature"] > 0
    assert max(row["replay_error"] for row in rows[:2]) <= 1e-5

    policy = tt.load(half.path)
    state, seen, first, reward = policy.initial_state(2), jnp.ones((2, 3)), jnp.ones(2, bool), jnp.zeros(2)
    _, action = policy.act(state, seen, first, reward=reward)
    x = policy.inputs(state, seen, first, reward)
    distribution = policy.network.step(state.network, x)[1]
    np.testing.assert_allclose(action, 2 * np.tanh(distribution.mean), rtol=1e-6)  # the range is ±2


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_tuned_settings_are_shipped_with_a_memory_for_each_side(algo):
    config = default_config("pendulum-positions", algo)
    assert (config.algo, config.total_steps) == (algo, 50_000)
    assert config.build().fresh_policy(jax.random.key(0)).network.critic is not None
    assert default_config("tracking", algo).network.separate_critic  # where none were tuned, too


def test_discrete_actions_are_refused_before_anything_is_written(tmp_path, capsys):
    assert main(["train", "t-maze", "--algo", "sac", "--out", str(tmp_path / "x")]) == 2
    assert "discrete" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
