"""Runs that learn world models, dreams by name, and the way back to the real environment."""

import json
import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.cli import main
from throughtime.cli.world import feed_forward
from throughtime.core import ConfigError, named_arrays
from throughtime.envs import Tiger, VectorEnvironment, make, name_of
from throughtime.runs import RunConfig, WorldRun, default_config, from_toml, load_run, resume, to_toml, train
from throughtime.runs.config import EnvConfig
from throughtime.world import parameters_of
from throughtime.world.data import varied_behaviour
from throughtime.world.measures import calibration

pytestmark = pytest.mark.usefixtures("quick_compiler")


def tiny(**changes):
    config = default_config("tiger", "world-model").with_agent(
        **{"num_envs": 8, "rollout_length": 6, "updates": 2, "batch_size": 4, "width": 8, "replay_steps": 96} | changes
    )
    return replace(config, network=replace(config.network, hidden_size=4), total_steps=4 * 48)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four iterations; two of them find room."""
    return train(tiny(), tmp_path_factory.mktemp("world") / "run")


def test_a_run_learns_and_is_loaded(world):
    assert [row["step"] for row in world.metrics] == [48, 96, 144, 192]
    assert world.metrics[-1]["learning_rate"] == 0.0
    assert int(world.state.guard.updates) == 8
    loaded = load_run(world.path)
    jax.tree.map(np.testing.assert_array_equal, loaded.policy.network.model, world.policy.network.model)
    config = from_toml(to_toml(world.config), RunConfig)
    assert config == world.config
    # What is kept are the last two iterations: of each sequence the first step begins an episode, no other does.
    resets = np.asarray(world.state.sequences.resets)
    assert resets.shape == (6, 16)
    assert resets[0].all()
    assert not resets[1:].any()


def test_a_stopped_run_goes_on_bit_for_bit(world, tmp_path):
    half = train(world.config, tmp_path / "run", progress=lambda progress: signal.raise_signal(signal.SIGINT))
    assert half.interrupted == signal.SIGINT
    assert 0 < half.steps < 192
    again = resume(tmp_path / "run")
    expected, got = (jax.device_get(named_arrays(run.state)) for run in (world, again))
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_a_dream_has_a_name(world):
    env = make(f"world:{world.path}", horizon=5)
    assert isinstance(env, WorldRun)
    assert env == make(f"world:{world.path}", horizon=5)
    assert (env.max_episode_steps, env.discount, env.action_labels) == (5, 0.95, Tiger().action_labels)
    name, options = name_of(env)
    assert name == f"world:{world.path}"
    assert make(name, **options) == env
    pinned = EnvConfig(f"world:{world.path}").pinned()
    assert len(str(pinned.options["sha256"])) == 64
    tuned, real = default_config(name), default_config("tiger")
    assert tuned.env == EnvConfig(name)
    assert (tuned.network, tuned.ppo.discount) == (real.network, real.ppo.discount)
    assert tuned.ppo.entropy_weight > real.ppo.entropy_weight  # of its own: PPO in dreams of tiger
    assert default_config(name, "r2d2") == replace(default_config("tiger", "r2d2"), env=EnvConfig(name))
    obs, state = VectorEnvironment(env, 3).reset(jax.random.key(0))
    np.testing.assert_array_equal(obs.sum(axis=1), 1)
    out = VectorEnvironment(env, 3).step(jax.random.key(1), state, jnp.zeros(3, jnp.int32))
    assert out.reward.shape == (3,)
    with pytest.raises(ConfigError, match="is not the one that it was"):
        make(f"world:{world.path}", sha256="0" * 64)
    with pytest.raises(ConfigError, match="world: names no run"):
        make("world:")


def test_impossible_settings_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="less than one iteration"):
        tiny(replay_steps=10)
    with pytest.raises(ConfigError, match="does not look at world models"):
        world.config.build().learning(world.state)


def test_varied_behaviour_is_random_and_differs_between_episodes():
    behaviour = varied_behaviour(make("tiger").action_space)
    state = behaviour.start(500, jax.random.key(0))
    first, counts = state, jnp.zeros((500, 3))
    for t in range(30):
        state, action = behaviour.act(state, jnp.zeros((500, 3)), jnp.zeros(500, bool), jax.random.key(1 + t))
        counts += jax.nn.one_hot(action, 3)
    np.testing.assert_array_equal(state, first)  # an episode keeps its probabilities
    np.testing.assert_allclose(counts.mean(0), 10, atol=1)  # over all episodes no action is preferred
    # A flat Dirichlet's mean square is 2 / (3 · 4); with 30 draws each, (1 + 29 · 2 / 4 · …) as for Pólya's urn.
    p2 = 2 / 12
    expected = (30 * 1 / 3 + 30 * 29 * p2) / 900
    np.testing.assert_allclose(((counts / 30) ** 2).mean(), expected, rtol=0.08)
    reset, _ = behaviour.act(state, jnp.zeros((500, 3)), jnp.arange(500) < 250, jax.random.key(99))
    changed = np.any(np.asarray(reset != first), axis=1)
    assert changed[:250].all()
    assert not changed[250:].any()


def test_calibration_is_counted():
    said, came = jnp.array([[0.1, 0.1, 0.9, 0.9]]), jnp.array([[0.0, 0.0, 1.0, 0.0]])
    found = calibration(said, came, bins=2)
    np.testing.assert_allclose((found.said, found.came), [[0.1, 0.9], [0.0, 0.5]], rtol=1e-6)
    assert found.error == pytest.approx((0.1 + 0.4) / 2)


def test_the_feed_forward_model_is_of_the_same_size(world):
    model = world.policy.network.model
    flat = feed_forward(world, model, jax.random.key(0))
    assert parameters_of(flat) == pytest.approx(parameters_of(model), rel=0.1)


def test_policies_that_were_not_dreamt_are_refused_before_anything_is_measured(world, capsys, monkeypatch):
    monkeypatch.setattr("throughtime.cli.world.feed_forward", None)  # would be called
    assert main(["world", str(world.path), "--policies", str(world.path)]) == 2
    assert "That is no dream" in capsys.readouterr().err


def test_a_world_model_has_no_memory_use_to_prove(world, capsys):
    assert main(["prove", str(world.path)]) == 2
    assert "holds a world model, not a policy" in capsys.readouterr().err


def test_a_report_of_a_world_model_judges_no_policy(world, capsys):
    assert main(["report", str(world.path)]) == 0
    assert "A world model was learned here, not a policy" in " ".join(capsys.readouterr().out.split())
    page = (world.path / "report.html").read_text(encoding="utf-8")
    assert "random, not a policy" in page
    assert "memory helps" not in page


@pytest.mark.slow
def test_the_way_through_the_dream_at_the_command_line(world, tmp_path, capsys):
    """An agent trains in the dream, meets the real one, and the model is measured; the page shows it all."""
    agent = tmp_path / "agent"
    words = ["--steps", "512", "--ppo.num-envs", "4", "--ppo.rollout-length", "128", "--episodes", "4"]
    assert main(["train", f"world:{world.path}", *words, "--out", str(agent), "--json"]) == 0
    capsys.readouterr()
    assert main(["eval", str(agent), "--env", "tiger", "--exact", "--max-nodes", "50", "--json"]) == 0
    exact = json.loads(capsys.readouterr().out)
    assert exact["environment"] == "tiger"
    assert exact["optimal_return"] == pytest.approx(19.3714)
    words = ["--env", "tiger", "--options", "time_limit", "5", "--episodes", "3", "--json"]
    assert main(["eval", str(agent), *words]) == 0
    assert json.loads(capsys.readouterr().out)["mean_length"] == 5
    assert main(["eval", str(agent), "--env", "t-maze", "--json"]) == 2
    assert "was trained for the latter" in capsys.readouterr().err
    words = ["--ahead", "3", "--warmup", "2", "--rows", "8", "--episodes", "4", "--policies", str(agent), "--json"]
    assert main(["world", str(world.path), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["open_loop"]["model"]) == 3
    assert found["policies"][0]["dream_minus_real"] == pytest.approx(
        found["policies"][0]["dream"] - found["policies"][0]["real"]
    )
    page = (world.path / "world.html").read_text(encoding="utf-8")
    assert "One episode, real and imagined" in page
    assert main(["world", str(agent), "--json"]) == 2
    assert "no world model" in capsys.readouterr().err
