"""CartPole and Pendulum seen through noise, beside POPGym's own code: same states, same draws of the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from popgym_beside import LEVELS, Draws, original

from throughtime.envs import make
from throughtime.envs.suite.cartpole import CartPoleState
from throughtime.envs.suite.pendulum import PendulumState

pytestmark = pytest.mark.usefixtures("quick_compiler")

T = 600
TASKS = {
    "cartpole-positions-noisy": ("noisy_position_only_cartpole", "NoisyPositionOnlyCartPole", CartPoleState),
    "pendulum-positions-noisy": ("noisy_position_only_pendulum", "NoisyPositionOnlyPendulum", PendulumState),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", TASKS)
def test_it_steps_as_popgym_does(name, level):
    """Every step from their own state, so that rounding does not add up."""
    module, popgym_name, state_of = TASKS[name]
    env, theirs, rng = make(name, difficulty=level), original(module, popgym_name, level), np.random.default_rng(0)
    keys = jax.random.split(jax.random.PRNGKey(0), T)
    noise = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys))
    states, actions, expected, steps, seed = [], [], [], 0, 0
    theirs.reset(seed=seed)
    for t in range(T):
        before = np.array(theirs.state)
        if name.startswith("pendulum"):
            before[0] = np.arctan2(np.sin(before[0]), np.cos(before[0]))
            action = rng.uniform(-2.5, 2.5, 1).astype(np.float32)
        else:
            # Mostly upright, so that episodes get to their limit; every other one falls.
            upright = int(before[0] + before[1] + 20 * before[2] + 3 * before[3] > 0)
            action = upright if seed % 2 and rng.random() < 0.9 else int(rng.integers(2))
        states.append((*before, steps))
        actions.append(action)
        generator = theirs.np_random
        theirs.np_random = Draws(normal=[noise[t]])
        expected.append(theirs.step(action)[:4])
        theirs.np_random = generator
        steps += 1
        if expected[-1][2] or expected[-1][3]:
            seed, steps = seed + 1, 0
            theirs.reset(seed=seed)
    *positions, times = (np.array(a) for a in zip(*states, strict=True))
    batch = state_of(*(jnp.asarray(a, jnp.float32) for a in positions), jnp.asarray(times, jnp.int32))

    @jax.jit
    def run(keys, batch, actions):
        obs, after, reward, terminated, _ = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
            keys, batch, actions, env.default_params
        )
        return obs, reward, terminated, jax.vmap(env.is_truncated, in_axes=(0, None))(after, env.default_params)

    ours = run(keys, batch, jnp.asarray(np.array(actions)))
    obs, reward, terminated, truncated = (np.array(a) for a in zip(*expected, strict=True))
    np.testing.assert_allclose(ours[0], obs, atol=1e-5)
    np.testing.assert_allclose(ours[1], reward, rtol=2e-5, atol=1e-7)
    np.testing.assert_array_equal(ours[2], terminated)
    np.testing.assert_array_equal(ours[3], truncated)
    assert truncated.any()
    assert terminated.any() == name.startswith("cartpole")
    if (name, level) != ("cartpole-positions-noisy", "easy"):  # there the bounds are four σ away
        assert (np.abs(obs) == theirs.observation_space.high).any()  # cut


@pytest.mark.parametrize("name", TASKS)
def test_the_first_observation_is_noisy_too(name):
    env, n = make(name), 4000
    obs, state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.PRNGKey(0), n))
    seen = np.asarray(jax.vmap(env.hidden_state)(state))[:, [0, 2] if name.startswith("cartpole") else [0, 1]]
    error = np.asarray(obs) - seen
    inside = np.abs(seen) < 0.5  # where nothing is cut
    assert error[inside].std() == pytest.approx(0.1, rel=0.05)
    assert error[inside].mean() == pytest.approx(0.0, abs=0.01)
