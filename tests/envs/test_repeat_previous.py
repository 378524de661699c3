"""Repeat previous against POPGym's own code, and its ceilings by scripted policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import make

LEVELS = ("easy", "medium", "hard")


@pytest.mark.parametrize("level", LEVELS)
def test_it_steps_as_popgym_does(level):
    original = pytest.importorskip("popgym.envs.repeat_previous")
    theirs = getattr(original, f"RepeatPrevious{level.capitalize()}")()
    env = make("repeat-previous", difficulty=level)
    step = jax.jit(env.step_env)
    key = jax.random.PRNGKey(0)
    _, blank = env.reset(key)
    for seed in range(10):
        first, _ = theirs.reset(seed=seed)
        state = blank._replace(cards=jnp.asarray(theirs.deck.idx[::-1].copy(), jnp.int32))
        assert int(state.cards[0]) % 4 == first
        rng, done, steps = np.random.default_rng(seed), False, 0
        while not done:
            # Right answers as often as wrong ones.
            action = int(env.hidden_state(state)) if rng.random() < 0.4 else int(rng.integers(4))
            suit, pay, done, _, _ = theirs.step(action)
            obs, state, reward, terminated, _ = step(key, state, jnp.int32(action), env.default_params)
            steps += 1
            np.testing.assert_array_equal(obs, np.eye(4)[suit])
            assert float(reward) == np.float32(pay)
            assert bool(terminated) == done
        assert steps == env.max_episode_steps


def mean_return(env, policy, episodes):
    """`policy` of the observations [t + 1, 4] seen so far, by NumPy alone."""
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    key = jax.random.PRNGKey(1)
    obs, state = jax.jit(jax.vmap(env.reset))(jax.random.split(key, episodes))
    seen, total = [np.asarray(obs)], 0.0
    for _ in range(env.max_episode_steps):
        obs, state, reward, _, _ = step(key, state, jnp.asarray(policy(seen), jnp.int32), env.default_params)
        seen.append(np.asarray(obs))
        total += float(np.asarray(reward, np.float64).mean())
    return total


@pytest.mark.parametrize(("level", "lag"), [("easy", 3), ("medium", 31), ("hard", 63)])
def test_memory_of_the_required_lag_scores_the_optimum(level, lag):
    env = make("repeat-previous", difficulty=level)
    assert env.required_lag == lag
    lagged = lambda seen: seen[max(len(seen) - 1 - lag, 0)].argmax(axis=1)  # noqa: E731
    assert mean_return(env, lagged, 20) == pytest.approx(env.optimal_return, abs=1e-5)


def test_the_best_memoryless_policy_scores_what_is_said():
    env = make("repeat-previous")
    another = lambda seen: (seen[-1].argmax(axis=1) + 1) % 4  # noqa: E731
    assert mean_return(env, another, 4000) == pytest.approx(env.memoryless_return, abs=0.01)


def test_an_unknown_difficulty_is_refused():
    with pytest.raises(ConfigError, match="difficulty"):
        make("repeat-previous", difficulty="hrad")
