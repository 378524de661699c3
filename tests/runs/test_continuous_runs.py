"""Runs of SAC and TD3: everything that a run of PPO can do."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import throughtime as tt
from throughtime.cli.main import main
from throughtime.core import named_arrays
from throughtime.proof.evidence.parity import replay_parity
from throughtime.runs import read_metrics, resume

pytestmark = pytest.mark.usefixtures("quick_compiler")

TINY = {"hidden_size": 3, "encoder": (), "previous_reward": True, "head": (), "num_envs": 2, "rollout_length": 4}
TINY |= {"burn_in": 2, "bptt_length": 4, "batch_size": 3, "replay_steps": 2 * 12, "learning_starts": 16, "updates": 2}
STEPS = 8  # of one iteration


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit_replay_included(tmp_path):
    agent = tt.SAC(tt.make("pendulum-positions", time_limit=5), memory="gru", normalise_observations=True, **TINY)
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
    assert whole.evaluate(4).returns.shape == (4,)
    assert replay_parity(whole.policy, whole.env, environments=2).holds


def test_the_command_line_trains_it_and_looks_at_both_memories(tmp_path, capsys):
    words = "--steps 48 --episodes 4 --network.hidden-size 3 --network.encoder 3 --env.time-limit 6 --td3.num-envs 2"
    words += " --td3.rollout-length 4 --td3.bptt-length 6 --td3.batch-size 2 --td3.replay-steps 64 --td3.head 3"
    words += " --td3.learning-starts 16 --td3.updates 2 --json"
    out = tmp_path / "run"
    assert main(["train", "pendulum-positions", "--algo", "td3", *words.split(), "--out", str(out)]) == 0
    assert (out / "report.html").exists()
    capsys.readouterr()
    assert main(["flow", str(out), "--sequences", "2", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["networks"]) == {"actor", "critic"}


def test_discrete_actions_are_refused_before_anything_is_written(tmp_path, capsys):
    assert main(["train", "t-maze", "--algo", "sac", "--out", str(tmp_path / "x")]) == 2
    assert "discrete" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
