"""Training, evaluation, run folders and resume on Python environments."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import own_environments as own
import pytest

from throughtime import runs
from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.core import ConfigError, EnvironmentStepError, NonFiniteError
from throughtime.core.tree import named_arrays
from throughtime.envs import close_environments, make
from throughtime.envs.adapters import _user
from throughtime.runs import EnvConfig, RunConfig

RECALL, FAULTY = f"{own.FILE}:Recall", f"{own.FILE}:Faulty"
SMALL = PPOConfig(num_envs=8, rollout_length=8, epochs=1, minibatches=2)


@pytest.fixture(autouse=True)
def _close():
    yield
    close_environments()


def config(name, iterations=3, **options):
    make(name, **options)  # the user names it
    return RunConfig(
        env=EnvConfig(name, options),
        network=NetworkConfig(hidden_size=8, encoder=(8,), previous_action=True, previous_reward=True),
        ppo=SMALL,
        total_steps=64 * iterations,
        evaluation_episodes=40,
    )


def test_a_run_on_a_python_environment_is_saved_loaded_and_scored(tmp_path):
    run = runs.train(config(RECALL, workers=1), tmp_path / "run")
    assert run.metrics[-1]["episodes"] == 16
    assert run.metrics[0]["first_ratio_error"] < 1e-5  # the preflight passed, too
    loaded = runs.load_run(tmp_path / "run")
    assert loaded.config.env == EnvConfig(RECALL, {"workers": 1})
    for a, b in zip(jax.tree.leaves(run.policy), jax.tree.leaves(loaded.policy), strict=True):
        np.testing.assert_array_equal(a, b)
    score, again = loaded.evaluate(), run.evaluate()
    assert (score.lengths == 4).all()
    assert set(score.returns) <= {-1.0, 1.0}
    np.testing.assert_array_equal(score.returns, again.returns)  # seeds decide its episodes, too
    assert len(run.record_episode().rewards) == 4


def test_resume_goes_on_from_the_weights_with_new_episodes(tmp_path):
    run = runs.train(config(RECALL, 2), tmp_path / "run")
    text = (tmp_path / "run" / "config.toml").read_text().replace("total_steps = 128", "total_steps = 256")
    (tmp_path / "run" / "config.toml").write_text(text)
    begun = PPO(run.env, run.config.ppo, run.config.network).with_new_episodes(run.state)
    assert np.asarray(begun.actors.reset).all()
    assert (np.asarray(begun.actors.environment.time) == 0).all()
    assert not np.asarray(begun.actors.episode_length).any()
    for name, array in named_arrays(run.state.policy).items():
        np.testing.assert_array_equal(array, named_arrays(begun.policy)[name])
    resumed = runs.resume(tmp_path / "run")
    assert [row["step"] for row in resumed.metrics] == [64, 128, 192, 256]
    assert resumed.metrics[:2] == run.metrics
    assert resumed.metrics[2]["first_ratio_error"] < 1e-3


def test_loading_a_run_opens_no_environment(tmp_path, monkeypatch):
    from throughtime.envs.adapters import gym

    runs.train(config(RECALL, 1), tmp_path / "run")
    monkeypatch.setattr(gym, "Session", None)
    close_environments()
    assert runs.load_run(tmp_path / "run").steps == 64


def test_a_run_folder_makes_no_code_run_unless_the_user_named_it(tmp_path, monkeypatch):
    runs.train(config(RECALL, 1), tmp_path / "run")
    monkeypatch.setattr(_user, "_named", set())
    with pytest.raises(ConfigError, match="runs no code") as error:
        runs.load_run(tmp_path / "run")
    assert "--env" in error.value.mend
    make(RECALL)
    assert runs.load_run(tmp_path / "run").steps == 64


def test_several_actions_side_by_side_and_every_kind_of_observation():
    run = runs.train(config(f"{own.FILE}:Everything"))
    assert run.metrics[0]["first_ratio_error"] < 1e-5
    assert run.metrics[0]["entropy"] == pytest.approx(np.log(3) + np.log(2), abs=0.01)
    state, obs = run.policy.initial_state(2), jnp.zeros((2, *run.env.observation_space.shape))
    _, action = run.policy.act(state, obs, [True, True], reward=[0.0, 0.0], key=jax.random.key(0))
    assert (action.shape, action.dtype) == ((2, 2), jnp.int32)


def test_a_nan_names_environment_and_step(tmp_path):
    with pytest.raises(NonFiniteError, match=r"environment \d, step 3 of the rollout"):
        runs.train(config(f"{own.FILE}:LaterNaN", at=99), tmp_path / "run")


def test_an_environment_that_fails_ends_the_training_and_the_checkpoint_stays(tmp_path):
    settings = config(FAULTY, 3, restarts=0, every=1, at=10)  # each fails at its tenth step: in the second iteration
    with pytest.raises(EnvironmentStepError, match="the simulator broke"):
        runs.train(settings, tmp_path / "run")
    assert runs.load_run(tmp_path / "run").steps == 64


def test_an_environment_that_fails_ends_an_evaluation():
    run = runs.train(config(FAULTY, 1, restarts=0, every=1, at=9))
    with pytest.raises(EnvironmentStepError, match="raised"):
        run.evaluate(4)


def test_the_microscope_is_refused_before_anything_is_opened():
    with pytest.raises(ConfigError, match="flow_every = 2") as error:
        runs.check(replace(config(RECALL), flow_every=2))
    assert "cannot go back" in error.value.why


def test_environments_of_others_have_general_settings():
    general = runs.default_config("gym:CartPole-v1")
    assert general.network.normalise_observations
    assert general.ppo.normalise_returns


def test_environments_of_minigrid_have_tuned_settings_and_a_module_of_that_name_does_not():
    tuned = runs.default_config("minigrid:MiniGrid-MemoryS7-v0")
    assert (tuned.env.name, tuned.ppo.num_envs) == ("minigrid:MiniGrid-MemoryS7-v0", 32)
    assert runs.default_config("minigrid:MiniGrid-MemoryS7-v0", "r2d2").network.normalise_observations
    assert runs.default_config("tiger:Tiger").ppo == runs.default_config("gym:CartPole-v1").ppo


@pytest.mark.slow
def test_an_agent_learns_through_the_adapter():
    """Recall: optimum 1; without memory no policy earns more than 0."""
    returns = {}
    for memory in ("gru", "none"):
        settings = RunConfig(
            env=EnvConfig(RECALL),
            network=NetworkConfig(memory=memory, hidden_size=16),
            ppo=PPOConfig(num_envs=32, rollout_length=64, learning_rate=5e-3),
            total_steps=100_000,
        )
        make(RECALL)
        returns[memory] = runs.train(settings).evaluate(400).mean
    assert returns["gru"] > 0.98
    assert abs(returns["none"]) < 0.2  # ±4 standard errors of 400 fair coins
