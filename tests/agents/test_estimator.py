"""A memory that learns to predict, where what can be predicted is known; and the environment seen through it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from throughtime.agents import NetworkConfig
from throughtime.agents.estimator import (
    Estimator,
    EstimatorConfig,
    FrozenMemory,
    explained,
    random_history,
    train_estimator,
)
from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, Environment, VectorEnvironment, make

LIMIT = 10


class EchoState(NamedTuple):
    said: Array  # [3]: the latest actions as ±1, newest first
    steps: Array


@dataclass(frozen=True)
class Echo(Environment[EchoState, None]):
    """After action t the observation is action t − 2 as ±1, the reward action t. Nothing is random but the actions.

    With the memory of two actions both can be told to the last digit. Without one (it sees observation t, action t − 1
    and action t) nothing of the observation can, and all of the reward.
    """

    name = "echo"
    default_params = None
    observation_space = Box(-1.0, 1.0, (1,))
    action_space = Discrete(2)
    max_episode_steps = LIMIT

    def reset_env(self, key, params):
        return jnp.zeros(1), EchoState(jnp.zeros(3), jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        said = jnp.concatenate([(2.0 * action.astype(jnp.float32) - 1.0)[None], state.said[:2]])
        return said[2:], EchoState(said, state.steps + 1), said[0], jnp.zeros((), bool), {}

    def is_truncated(self, state, params):
        return state.steps >= LIMIT

    def hidden_state(self, state):
        return state.said


CONFIG = EstimatorConfig(rows=64, length=2 * LIMIT + 3, updates=250, batch_rows=32, learning_rate=2e-2)


def learned(memory):
    env = Echo()
    fresh = eqx.filter_jit(lambda key: Estimator(env, NetworkConfig(memory, 16, encoder=()), key))(jax.random.key(1))
    history = random_history(env, fresh, CONFIG, jax.random.key(2))
    return env, fresh.standardised_by(history), train_estimator(fresh, history, CONFIG, jax.random.key(3)), history


@pytest.fixture(scope="module")
def gru():
    return learned("gru")


def test_random_history_is_what_the_environment_gives(gru):
    history = gru[3]
    actions = np.asarray(history.actions)
    assert set(np.unique(actions)) == {0.0, 1.0}
    np.testing.assert_array_equal(actions.sum(axis=-1), 1)
    said = 2 * actions[..., 1] - 1
    assert abs(said.mean()) < 0.1  # uniform
    np.testing.assert_array_equal(np.asarray(history.rewards), said)
    for t, step in ((0, 0), (LIMIT - 1, LIMIT - 1), (LIMIT, 0), (LIMIT + 5, 5)):
        assert np.all(np.asarray(history.resets[t]) == (step == 0))
        # At the end of an episode it is the final observation, not the next episode's first.
        echo = said[t - 2] if step >= 2 else np.zeros_like(said[0])
        np.testing.assert_array_equal(np.asarray(history.next_observations[t, :, 0]), echo)


def test_what_is_determined_is_learned_and_what_is_not_is_not(gru):
    env, fresh, estimator, _ = gru
    test = random_history(env, fresh, CONFIG, jax.random.key(4))
    observation, reward = explained(estimator, test)
    assert observation > 0.999
    assert reward > 0.999
    assert max(explained(fresh, test)) < 0.5
    observation, reward = explained(learned("none")[2], test)
    assert observation < 0.05
    assert reward > 0.999


def test_the_frozen_memory_shows_what_the_memory_puts_out(gru):
    """Step by step through the environment, against one unroll over what the bare environment showed."""
    env, _, estimator, history = gru
    seen, T, B = FrozenMemory(env, estimator), 2 * LIMIT + 3, 4
    vector = VectorEnvironment(seen, B)
    actions = jnp.argmax(history.actions[:T, :B], axis=-1).astype(jnp.int32)

    @jax.jit
    def play():
        observation, state = vector.reset(jax.random.key(0))

        def body(carry, action):
            state, observation = carry
            out = vector.step(jax.random.key(0), state, action)
            return (out.state, out.obs), (observation, out.final_observation)

        return jax.lax.scan(body, (state, observation), actions)[1]

    observations, final = play()
    before = jnp.concatenate([jnp.zeros((1, B, 2)), history.actions[: T - 1, :B]])
    before = jnp.where(history.resets[:T, :B, None], 0.0, before)
    xs = estimator.inputs(history.observations[:T, :B], before)
    _, ys = estimator.tower.unroll(estimator.tower.initial_state(B), xs, history.resets[:T, :B])
    np.testing.assert_allclose(observations, ys, atol=1e-5)
    # The final one of an episode is read, too, and the memory then begins anew.
    np.testing.assert_allclose(final[LIMIT - 2], observations[LIMIT - 1], atol=1e-5)
    assert np.abs(final[LIMIT - 1] - observations[LIMIT]).max() > 0.1
    np.testing.assert_allclose(observations[LIMIT], observations[0], atol=1e-6)


def test_the_frozen_memory_is_the_environment_in_all_else(gru):
    tiger = make("tiger-ends-on-open")
    seen = FrozenMemory(tiger, gru[2])
    assert seen.observation_space.shape == (16,)
    for name in ("action_space", "discount", "optimal_return", "max_episode_steps", "default_params"):
        assert getattr(seen, name) == getattr(tiger, name)
    assert "frozen memory" in seen.name


def test_what_was_compiled_for_one_frozen_memory_does_not_serve_another(gru):
    env, fresh, estimator, _ = gru
    first_step = eqx.filter_jit(lambda seen: seen.reset_env(jax.random.key(0), None)[0])  # static: the environment
    one, other = FrozenMemory(env, estimator), FrozenMemory(env, fresh)
    assert one == one
    assert one != other
    assert np.abs(first_step(one) - first_step(other)).max() > 1e-3


def test_continuous_actions_are_read_in_units_of_their_range():
    env = make("tracking")
    estimator = eqx.filter_jit(lambda key: Estimator(env, NetworkConfig("none", 4, encoder=()), key))(jax.random.key(0))
    low, high = env.action_space.low, env.action_space.high
    for action, said in ((low, -1.0), (high, 1.0), ((low + high) / 2, 0.0)):
        np.testing.assert_allclose(
            estimator.encode_action(jnp.broadcast_to(jnp.float32(action), (1,))), said, atol=1e-6
        )


@pytest.mark.parametrize("name", ["rows", "length", "updates", "batch_rows", "learning_rate"])
def test_settings_that_cannot_work_are_named(name):
    with pytest.raises(ConfigError, match=f"{name} = 0"):
        replace(CONFIG, **{name: 0.0 if name == "learning_rate" else 0})
