"""`import throughtime as tt`: what a user of the library touches first."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import throughtime as tt

TINY = {"hidden_size": 4, "encoder": (4,), "num_envs": 2, "rollout_length": 8, "epochs": 1, "minibatches": 1}


def test_every_public_name_is_there():
    for name in tt.__all__:
        assert getattr(tt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tt.nothing


def test_importing_loads_nothing_heavy():
    code = "import sys, throughtime; print([m for m in ('jax', 'matplotlib', 'rich', 'tyro') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_saved_policy_acts_as_the_trained_one_step_by_step(tmp_path):
    run = tt.PPO(tt.make("t-maze", length=3), memory="lstm", previous_action=True, **TINY).train(
        32, seed=1, out=tmp_path / "maze"
    )
    loaded = tt.load(tmp_path / "maze")
    states = [policy.initial_state(batch_size=2) for policy in (run.policy, loaded)]
    for t in range(4):
        obs = np.asarray(jax.random.normal(jax.random.key(t), (2, 2)))
        reset = np.array([t in (0, 2), t == 0])
        results = [policy.act(state, obs, reset) for policy, state in zip((run.policy, loaded), states, strict=True)]
        states = [state for state, _ in results]
        np.testing.assert_array_equal(results[0][1], results[1][1])
        jax.tree.map(np.testing.assert_array_equal, *states)


def test_settings_are_the_tuned_ones_unless_told_otherwise():
    agent = tt.PPO(tt.make("t-maze", length=7))
    assert agent.config.env.options == {"length": 7}
    assert agent.config.network.memory_options == {"chrono": 100}
    # Options that the new memory does not have are dropped, those it has stay.
    assert tt.PPO(tt.make("t-maze"), memory="none").config.network.memory_options == {}
    assert tt.PPO(tt.make("t-maze"), memory="lstm").config.network.memory_options == {"chrono": 100}


def test_unknown_settings_get_a_suggestion():
    with pytest.raises(tt.ConfigError, match="Did you mean 'hidden_size'"):
        tt.PPO(tt.make("t-maze"), hiden_size=3)


def test_a_policy_that_reads_rewards_asks_for_them():
    policy = tt.PPO(tt.make("t-maze", length=3), previous_reward=True, **TINY).train(16).policy
    state = policy.initial_state(1)
    obs, reset = jnp.zeros((1, 2)), jnp.ones(1, bool)
    with pytest.raises(tt.ConfigError, match="reward"):
        policy.act(state, obs, reset)
    _, action = policy.act(state, obs, reset, reward=jnp.zeros(1))
    assert action.shape == (1,)


def test_what_other_libraries_call_it_is_known():
    with pytest.raises(tt.ConfigError, match="Here it is called 'discount'"):
        tt.PPO(tt.make("t-maze"), gamma=0.9)


@pytest.mark.parametrize("settings", [{"minibatches": 7}, {"hidden_size": -1}])
def test_settings_are_checked_when_the_agent_is_made(settings):
    with pytest.raises(tt.ConfigError):
        tt.PPO(tt.make("t-maze"), **settings)


@pytest.mark.parametrize(
    ("obs", "reset", "said"),
    [
        ([0.0, 1.0], [True], "batch axis"),
        ([[0.0, 1.0, 2.0]], [True], "batch axis"),
        ([[0.0, 1.0]], True, "reset of shape"),
        ([[0.0, 1.0], [0.0, 0.0]], [True, True], "2 observations, a state for 1 episodes"),
    ],
)
def test_shapes_that_do_not_belong_together_are_named(obs, reset, said):
    policy = tt.PPO(tt.make("t-maze", length=3), **TINY).train(16).policy
    with pytest.raises(tt.ConfigError, match=said):
        policy.act(policy.initial_state(1), obs, reset)
    with pytest.raises(tt.ConfigError, match="takes the state first"):
        policy.act([[0.0, 1.0]], policy.initial_state(1), [True])


def test_continuous_actions_stay_within_bounds():
    policy = tt.PPO(tt.make("pendulum-positions"), **TINY).train(16).policy
    state, action = policy.initial_state(3), None
    for t in range(3):
        state, action = policy.act(state, 50.0 * jnp.ones((3, 3)), jnp.full(3, t == 0), key=jax.random.key(t))
        assert action.shape == (3, 1)
        assert jnp.all(jnp.abs(action) <= 2.0)
