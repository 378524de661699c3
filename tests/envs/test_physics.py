"""CartPole and Pendulum against their equations in float64 NumPy, and against Gymnasium where installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.envs import CartPole, Pendulum, make
from throughtime.envs.suite.cartpole import CartPoleState
from throughtime.envs.suite.pendulum import PendulumState

N = 3000


def batched_step(env, state, actions):
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    return step(jax.random.PRNGKey(0), state, actions, env.default_params)


def cartpole_reference(state, action):
    """Florian 2007, equations 23 and 24: cart 1 kg, pole 0.1 kg and 1 m long, ±10 N for 0.02 s."""
    x, v, a, w = state
    F = 10.0 if action == 1 else -10.0
    M, m, half, g, dt = 1.0, 0.1, 0.5, 9.8, 0.02
    alpha = (g * np.sin(a) + np.cos(a) * (-F - m * half * w * w * np.sin(a)) / (M + m)) / (
        half * (4 / 3 - m * np.cos(a) ** 2 / (M + m))
    )
    acceleration = (F + m * half * (w * w * np.sin(a) - alpha * np.cos(a))) / (M + m)
    return np.array([x + dt * v, v + dt * acceleration, a + dt * w, w + dt * alpha])


def pendulum_reference(state, torque):
    """A rod of 1 kg and 1 m turning about its end: θ̈ = 3g/(2l) sin θ + 3u/(ml²)."""
    angle, speed = state
    torque = min(max(torque, -2.0), 2.0)
    wrapped = np.arctan2(np.sin(angle), np.cos(angle))
    reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = min(max(speed + (15.0 * np.sin(angle) + 3.0 * torque) * 0.05, -8.0), 8.0)
    return np.array([angle + 0.05 * speed, speed]), reward


@pytest.fixture(scope="module")
def cartpole_states():
    rng = np.random.default_rng(0)
    scale = np.array([2.6, 3.0, 0.23, 3.0])
    return (rng.uniform(-1, 1, (N, 4)) * scale).astype(np.float32), rng.integers(0, 2, N)


def test_cartpole_steps_by_its_equations(cartpole_states):
    states, actions = cartpole_states
    env = CartPole(velocities=True)
    batch = CartPoleState(*jnp.asarray(states.T), jnp.zeros(N, jnp.int32))
    obs, _, reward, terminated, _ = batched_step(env, batch, jnp.asarray(actions, jnp.int32))
    expected = np.array([cartpole_reference(s.astype(np.float64), a) for s, a in zip(states, actions, strict=True)])
    np.testing.assert_allclose(obs, expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(reward, 1.0)
    fallen = (np.abs(expected[:, 0]) > 2.4) | (np.abs(expected[:, 2]) > 12 * np.pi / 180)
    assert 0.05 < fallen.mean() < 0.95
    np.testing.assert_array_equal(terminated, fallen)


def test_cartpole_positions_hide_velocities_only(cartpole_states):
    states, actions = cartpole_states
    batch = CartPoleState(*jnp.asarray(states.T), jnp.zeros(N, jnp.int32))
    full = batched_step(CartPole(velocities=True), batch, jnp.asarray(actions, jnp.int32))
    masked = batched_step(CartPole(), batch, jnp.asarray(actions, jnp.int32))
    np.testing.assert_allclose(masked[0], np.asarray(full[0]) * [1, 0, 1, 0], rtol=1e-6)
    hidden = jax.vmap(CartPole().hidden_state)(masked[1])
    np.testing.assert_allclose(hidden, full[0][:, jnp.array([1, 3])], rtol=1e-6)
    obs, state = CartPole().reset(jax.random.PRNGKey(0))
    np.testing.assert_array_equal(obs, [float(state.x), 0, float(state.angle), 0])


def test_cartpole_starts_uniform_within_5_cm_and_005_rad():
    obs, _ = jax.vmap(CartPole(velocities=True).reset)(jax.random.split(jax.random.PRNGKey(0), N))
    assert (np.abs(obs) <= 0.05).all()
    np.testing.assert_allclose(np.mean(obs, axis=0), 0.0, atol=5 * 0.05 / np.sqrt(3 * N))
    np.testing.assert_allclose(np.std(obs, axis=0), 0.05 / np.sqrt(3), rtol=0.05)


def test_cartpole_can_be_balanced_to_the_limit():
    """By a linear controller on positions and their differences, that is with a lag of `required_lag`."""
    env = make("cartpole-positions")
    first, state = env.reset(jax.random.PRNGKey(2))

    def body(carry, _):
        state, before, obs = carry
        speed = (obs - before) / 0.02
        push = 0.5 * obs[0] + speed[0] + 20.0 * obs[2] + 3.0 * speed[2] > 0
        next_obs, state, reward, terminated, _ = env.step_env(
            jax.random.PRNGKey(0), state, push.astype(jnp.int32), env.default_params
        )
        return (state, obs, next_obs), (reward, terminated, env.is_truncated(state, env.default_params))

    _, (rewards, terminated, truncated) = jax.lax.scan(body, (state, first, first), None, length=500)
    assert float(rewards.sum()) == env.optimal_return == 500.0
    assert not terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(truncated), [499])


@pytest.fixture(scope="module")
def pendulum_states():
    rng = np.random.default_rng(1)
    states = (rng.uniform(-1, 1, (N, 2)) * np.array([np.pi, 8.0])).astype(np.float32)
    return states, rng.uniform(-3, 3, (N, 1)).astype(np.float32)


def test_pendulum_steps_by_its_equations(pendulum_states):
    states, actions = pendulum_states
    batch = PendulumState(*jnp.asarray(states.T), jnp.zeros(N, jnp.int32))
    obs, after, reward, terminated, _ = batched_step(Pendulum(velocities=True), batch, jnp.asarray(actions))
    pairs = [pendulum_reference(s.astype(np.float64), float(a[0])) for s, a in zip(states, actions, strict=True)]
    angle, speed = np.array([p[0] for p in pairs]).T
    np.testing.assert_allclose(obs, np.stack([np.cos(angle), np.sin(angle), speed], 1), rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(reward, [p[1] for p in pairs], rtol=3e-6, atol=3e-6)
    assert (np.abs(speed) == 8.0).any()
    assert (np.abs(angle) > np.pi).any()
    assert (np.abs(after.angle) <= np.float32(np.pi)).all()
    assert not terminated.any()


def test_pendulum_positions_hide_the_velocity_only(pendulum_states):
    states, actions = pendulum_states
    batch = PendulumState(*jnp.asarray(states.T), jnp.zeros(N, jnp.int32))
    full = batched_step(Pendulum(velocities=True), batch, jnp.asarray(actions))
    masked = batched_step(Pendulum(), batch, jnp.asarray(actions))
    np.testing.assert_allclose(masked[0], np.asarray(full[0]) * [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(jax.vmap(Pendulum().hidden_state)(masked[1])[:, 0], full[0][:, 2], rtol=1e-6)


def test_pendulum_starts_anywhere_and_slow():
    _, state = jax.vmap(Pendulum().reset)(jax.random.split(jax.random.PRNGKey(0), N))
    for values, bound in ((state.angle, np.pi), (state.velocity, 1.0)):
        assert (np.abs(values) <= np.float32(bound)).all()
        np.testing.assert_allclose(np.mean(values), 0.0, atol=5 * bound / np.sqrt(3 * N))
        np.testing.assert_allclose(np.std(values), bound / np.sqrt(3), rtol=0.05)


def test_pendulum_is_truncated_at_200():
    env = make("pendulum-positions")
    state = PendulumState(jnp.zeros(201), jnp.zeros(201), jnp.arange(201, dtype=jnp.int32))
    cut = jax.vmap(env.is_truncated, in_axes=(0, None))(state, env.default_params)
    np.testing.assert_array_equal(np.flatnonzero(cut), [200])


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_side_by_side_with_gymnasium(name):
    """Every step from Gymnasium's own state, so that rounding does not add up."""
    gymnasium = pytest.importorskip("gymnasium")
    theirs = gymnasium.make(name)
    ours = CartPole(velocities=True) if name == "CartPole-v1" else Pendulum(velocities=True)
    step = jax.jit(ours.step_env)
    theirs.action_space.seed(0)
    steps_since_reset = 0
    theirs.reset(seed=0)
    for _ in range(600):
        before = np.array(theirs.unwrapped.state)
        if name == "Pendulum-v1":
            before[0] = np.arctan2(np.sin(before[0]), np.cos(before[0]))
        build = CartPoleState if name == "CartPole-v1" else PendulumState
        state = build(*jnp.asarray(before, jnp.float32), jnp.int32(steps_since_reset))
        action = theirs.action_space.sample()
        obs, reward, terminated, truncated, _ = theirs.step(action)
        steps_since_reset += 1
        dtype = jnp.int32 if name == "CartPole-v1" else jnp.float32
        our_obs, after, our_reward, our_terminated, _ = step(
            jax.random.PRNGKey(0), state, jnp.asarray(action, dtype), ours.default_params
        )
        np.testing.assert_allclose(our_obs, obs, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(our_reward, reward, rtol=1e-5, atol=1e-5)
        assert bool(our_terminated) == terminated
        assert bool(ours.is_truncated(after, ours.default_params)) == truncated
        if terminated or truncated:
            theirs.reset()
            steps_since_reset = 0
    theirs.close()
