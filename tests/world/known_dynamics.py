"""World models that know: the equations of CartPole and Pendulum, read off the environments' own steps."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.envs import Environment
from throughtime.world import WorldModel


class KnownDynamics(WorldModel):
    """`env.step_env` as `imagine`; the state is the environment's, read off an observation that shows all of it."""

    env: Environment = eqx.field(static=True)
    observation_size: int = eqx.field(static=True)
    action_space: Any = eqx.field(static=True)

    def __init__(self, env):
        self.env, self.observation_size, self.action_space = env, env.observation_space.shape[0], env.action_space

    def start(self, batch_size):
        zero = jnp.zeros(batch_size)
        if self.env.name == "cartpole":
            kind = type(self.env.reset_env(jax.random.key(0), self.env.default_params)[1])
            return kind(zero, zero, zero, zero, jnp.zeros(batch_size, jnp.int32))
        return type(self.env.reset_env(jax.random.key(0), self.env.default_params)[1])(
            zero, zero, jnp.zeros(batch_size, jnp.int32)
        )

    def observe(self, state, action_tm1, observation_t, reset_t, key=None):
        time = jnp.where(reset_t, 0, state.time + 1)
        o = observation_t.T
        if self.env.name == "cartpole":
            return type(state)(o[0], o[1], o[2], o[3], time)
        return type(state)(jnp.arctan2(o[1], o[0]), o[2], time)

    def imagine(self, state, action_t, key=None):
        def one(state, action):
            return self.env.step_env(jax.random.key(0), state, action, self.env.default_params)

        _, state, reward, terminated, _ = jax.vmap(one)(state, action_t)
        return state, reward, 1.0 - terminated.astype(jnp.float32)

    def decode(self, state, key=None):
        raise NotImplementedError
