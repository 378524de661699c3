"""Runs of R2D2 and DRQN: everything that a run of PPO can do, on a policy of action values."""

import json
import re
import tomllib

import jax
import numpy as np
import pytest

import throughtime as tt
from throughtime.agents import r2d2 as r2d2_module
from throughtime.cli.main import main
from throughtime.core import named_arrays
from throughtime.envs import Discrete
from throughtime.proof.evidence.parity import replay_parity
from throughtime.runs import read_metrics, resume

pytestmark = pytest.mark.usefixtures("quick_compiler")

TINY = {"hidden_size": 3, "encoder": (3,), "previous_reward": True, "previous_action": True, "head_size": 0}
TINY |= {"num_envs": 2, "rollout_length": 4, "period": 4, "burn_in": 4, "bptt_length": 4, "batch_size": 3}
TINY |= {
    "epsilon": 0.4,
    "epsilon_exponent": 7.0,
    "replay_steps": 2 * 16,
    "learning_starts": 24,
    "target_period": 3,
    "updates": 2,
}
STEPS = 8  # of one iteration


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run whose replay has been written over, with looks through the microscope."""
    agent = tt.R2D2(tt.make("t-maze", length=3), memory="lstm", refresh=True, **TINY)
    return agent.train(12 * STEPS, seed=3, out=tmp_path_factory.mktemp("runs") / "whole")


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit_replay_included(whole, tmp_path):
    agent = tt.R2D2(tt.make("t-maze", length=3), memory="lstm", refresh=True, **TINY)
    half = agent.train(5 * STEPS, seed=3, out=tmp_path / "half")
    config = tmp_path / "half" / "config.toml"
    config.write_text(re.sub(r"total_steps = \d+", f"total_steps = {12 * STEPS}", config.read_text()))
    resumed = resume(half.path)
    expected, got = (jax.device_get(named_arrays(run.state)) for run in (whole, resumed))
    assert any(name.startswith("replay.steps") for name in expected)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    weight = "policy.network.actor.memory.weight_hh"
    assert not np.array_equal(jax.device_get(named_arrays(half.state))[weight], got[weight])


def test_metrics_say_what_q_learning_is_about(whole):
    rows = read_metrics(whole.path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [STEPS * (i + 1) for i in range(12)]
    # Two pieces before a sequence is whole, and 24 steps before learning starts.
    assert [row["updates"] for row in rows] == [0, 0, *[2] * 10]
    last = rows[-1]
    assert last["td_error"] > 0
    assert last["priority"] > 0
    assert last["replay_error"] == 0.0
    assert rows[1]["replay_error"] <= 1e-5
    assert np.isclose(last["epsilon"], np.mean([0.4, 0.4**8]))


def test_the_config_holds_one_table(whole):
    tables = tomllib.loads((whole.path / "config.toml").read_text())
    assert tables["algo"] == "r2d2"
    assert "ppo" not in tables
    assert tables["r2d2"]["refresh"]


def test_the_saved_policy_acts_greedily_and_draws_by_its_temperature(whole):
    policy = tt.load(whole.path)
    state, greedy = policy.act(policy.initial_state(64), np.zeros((64, 2)), np.ones(64, bool), reward=np.zeros(64))
    _, drawn = policy.act(
        policy.initial_state(64), np.zeros((64, 2)), np.ones(64, bool), reward=np.zeros(64), key=jax.random.key(0)
    )
    assert len(set(np.asarray(greedy))) == 1
    assert len(set(np.asarray(drawn))) > 1
    assert isinstance(policy.action_space, Discrete)
    assert state.network.critic is None
    assert whole.evaluate(8).returns.shape == (8,)


def test_belief_and_evidence_look_at_it_as_at_any_other(whole):
    assert whole.belief(rows=8, models=("linear",), sources=("memory", "untrained")).features == 6  # h and c
    assert replay_parity(whole.policy, whole.env, environments=2).holds


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["r2d2", "drqn"])
def test_the_command_line_trains_it_and_looks_at_its_gradients(algo, tmp_path, capsys):
    words = "--steps 64 --episodes 4 --network.hidden-size 3 --network.encoder 3 --env.length 3"
    settings = "num-envs 2 rollout-length 4 period 4 burn-in 0 bptt-length 4 batch-size 2 replay-steps 64"
    settings = [*settings.split(), "learning-starts", "16"]
    words += "".join(f" --{algo}.{name} {value}" for name, value in zip(settings[::2], settings[1::2], strict=True))
    assert main(["train", "t-maze", "--algo", algo, *words.split(), "--json", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report.html").exists()
    capsys.readouterr()
    assert main(["flow", str(tmp_path / "run"), "--sequences", "2", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["networks"]) == {"network"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t-maze", "--algo", "r2d3"], "Did you mean 'r2d2'"),
        (["pendulum-positions", "--algo", "drqn"], "no Q-head"),
        (["t-maze", "--algo=r2d2", "--r2d2.period", "7"], "not divisible by period"),
    ],
)
def test_mistakes_are_told(words, said, capsys, tmp_path):
    assert main(["train", *words, "--out", str(tmp_path / "x")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_config_of_another_algorithm_is_not_taken(whole, capsys):
    assert main(["train", "--config", str(whole.path / "config.toml"), "--algo", "ppo"]) == 2
    assert "settings of r2d2" in capsys.readouterr().err


@pytest.mark.slow
def test_another_state_than_that_of_acting_stops_the_run(monkeypatch):
    play = r2d2_module.play

    def broken(*arguments, **settings):
        actors, played = play(*arguments, **settings)
        late = jax.tree.map(lambda x: 0.5 * x, played.starts.policy.network)
        policy = played.starts.policy._replace(network=late)
        return actors, played._replace(starts=played.starts._replace(policy=policy))

    monkeypatch.setattr(r2d2_module, "play", broken)
    with pytest.raises(tt.PreflightError, match="recomputed Q-values differ"):
        tt.R2D2(tt.make("t-maze", length=5), memory="gru", discount=0.5, **TINY).train(4 * STEPS)
