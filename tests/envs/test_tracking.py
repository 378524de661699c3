"""Tracking's declared returns, by playing the filter and the best memoryless map against the environment itself."""

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.envs import make
from throughtime.insight.belief import kalman_filter


def test_the_filter_and_the_memoryless_map_score_what_is_declared():
    env, n = make("tracking"), 4000

    def episode(key):
        key_reset, *keys = jax.random.split(key, env.time_limit + 1)
        obs, state = env.reset_env(key_reset, env.default_params)

        def body(carry, key):
            obs, state = carry
            after = env.step_env(key, state, jnp.zeros(1), env.default_params)
            return after[:2], (obs, state.position)

        return jax.lax.scan(body, (obs, state), jnp.stack(keys))[1]

    obs, position = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.PRNGKey(0), n))
    ys = obs.transpose(1, 0, 2)
    belief = kalman_filter(env.linear_gaussian(), ys[:-1], jnp.zeros(ys.shape[:2], bool)[:-1])
    T = ys.shape[0] - 1
    for guess, declared in ((belief.mean[..., 0], env.optimal_return), (ys[:-1, :, 0] / 2, env.memoryless_return)):
        returns = -((np.asarray(guess) - np.asarray(position.T[:-1])) ** 2).sum(axis=0) * env.time_limit / T
        assert abs(returns.mean() - declared) < 4 * returns.std() / n**0.5
