"""The continuous mountain car beside Gymnasium's, and out of the valley by what two positions tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.envs import MountainCarContinuous, make
from throughtime.envs.suite.mountain_car import MountainCarState

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_side_by_side_with_gymnasium():
    """Every step from Gymnasium's own state, so that rounding does not add up; walls, goal, and too large forces."""
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make("MountainCarContinuous-v0").unwrapped
    ours, rng = MountainCarContinuous(velocities=True), np.random.default_rng(0)
    step, reached, at_wall, fast = jax.jit(ours.step_env), 0, 0, 0
    theirs.reset(seed=0)
    for t in range(3000):
        if t % 7 == 0:  # anywhere, at any speed
            theirs.state = np.array([rng.uniform(-1.2, 0.6), rng.uniform(-0.07, 0.07)], np.float32)
        state = MountainCarState(*jnp.asarray(theirs.state, jnp.float32), jnp.int32(t))
        action = rng.uniform(-1.5, 1.5, 1).astype(np.float32)
        obs, reward, terminated, _, _ = theirs.step(action)
        our_obs, _, our_reward, our_terminated, _ = step(
            jax.random.key(0), state, jnp.asarray(action), ours.default_params
        )
        np.testing.assert_allclose(our_obs, obs, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(our_reward, reward, rtol=1e-5, atol=1e-6)
        assert bool(our_terminated) == terminated
        reached, at_wall, fast = reached + terminated, at_wall + (obs[0] <= -1.2), fast + (abs(obs[1]) >= 0.07)
        if terminated:
            theirs.reset()
    assert min(reached, at_wall, fast) > 10


def test_the_limit_is_gymnasiums():
    gymnasium = pytest.importorskip("gymnasium")
    assert make("mountain-car-continuous").time_limit == gymnasium.spec("MountainCarContinuous-v0").max_episode_steps
    env = make("mountain-car-continuous", time_limit=3)
    _, state = env.reset(jax.random.key(0))
    cut = [bool(env.is_truncated(state._replace(time=jnp.int32(t)), env.default_params)) for t in range(4)]
    assert cut == [False, False, False, True]


def test_positions_hide_the_velocity_only_and_the_car_starts_at_rest():
    full, masked = make("mountain-car-continuous"), make("mountain-car-continuous-positions")
    state = MountainCarState(jnp.float32(-0.3), jnp.float32(0.02), jnp.int32(0))
    action = jnp.ones(1)
    seen, after, *_ = full.step_env(jax.random.key(0), state, action, full.default_params)
    hidden, again, *_ = masked.step_env(jax.random.key(0), state, action, masked.default_params)
    np.testing.assert_array_equal(hidden, [float(seen[0]), 0.0])
    np.testing.assert_array_equal(masked.hidden_state(again), [float(seen[1])])
    assert after == again
    _, starts = jax.vmap(masked.reset)(jax.random.split(jax.random.key(1), 2000))
    assert not starts.velocity.any()
    assert float(starts.position.min()) >= np.float32(-0.6)
    assert float(starts.position.max()) <= np.float32(-0.4)
    np.testing.assert_allclose(starts.position.mean(), -0.5, atol=5 * 0.2 / np.sqrt(12 * 2000))
    np.testing.assert_allclose(starts.position.std(), 0.2 / np.sqrt(12), rtol=0.05)


def test_two_positions_are_enough_to_leave_the_valley():
    """Push where the car goes: with a lag of `required_lag`, from the observations alone."""
    env = make("mountain-car-continuous-positions")
    obs, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(3), 32))

    def body(carry, _):
        obs, before, state, on = carry
        push = jnp.where(obs[:, :1] >= before[:, :1], 1.0, -1.0).astype(jnp.float32)
        step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
        after, state, reward, terminated, _ = step(jax.random.key(0), state, push, env.default_params)
        return (after, obs, state, on & ~terminated), jnp.where(on, reward, 0.0)

    start = (obs, obs, state, jnp.ones(32, bool))
    (_, _, _, on), rewards = jax.jit(lambda c: jax.lax.scan(body, c, None, length=999))(start)
    assert not on.any()
    assert env.required_lag == 1
    assert float(rewards.sum(axis=0).min()) > 80  # the least forceful do better: 91.5 in the Zoo
