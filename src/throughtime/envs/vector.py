"""A batch of environments stepped together: what the inner loop of training runs."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from throughtime.core import select_rows
from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Environment
from throughtime.envs.host import HostEnvironment


class VectorStep(NamedTuple):
    """What one step of B environments gives."""

    obs: Float[Array, "B ..."]  # the next observation; where an episode ended, the next one's first
    state: PyTree  # leaves [B, ...], belongs to `obs`
    reward: Float[Array, " B"]
    terminated: Bool[Array, " B"]
    truncated: Bool[Array, " B"]
    final_observation: Float[Array, "B ..."]  # the true successor: `obs` before the reset


@dataclass(frozen=True)
class VectorEnvironment:
    """`batch_size` copies of one environment, with `Environment.step`'s semantics in each row.

    It differs from `jax.vmap(env.step)` in what it costs: a step in which no episode ends computes no
    reset, and an environment whose steps are deterministic derives no keys for them.

    Args:
        env: the environment.
        batch_size: B, at least 1.
    """

    env: Environment
    batch_size: int

    def __post_init__(self):
        why = "It counts the environments that are stepped together."
        check_at_least_one("VectorEnvironment", "batch_size", self.batch_size, why)

    def reset(self, key: PRNGKeyArray, params: Any = None) -> tuple[Float[Array, "B ..."], PyTree]:
        """B new episodes.

        Args:
            key: split into one key per row.
            params: shared by all rows; the environment's `default_params` where None.

        Returns:
            The first observations `[B, ...]` and the states, leaves `[B, ...]`.
        """
        if isinstance(self.env, HostEnvironment):
            return self.env.reset_batch(key, self.batch_size)
        params = self.env.default_params if params is None else params
        keys = jax.random.split(key, self.batch_size)
        return jax.vmap(self.env.reset_env, in_axes=(0, None))(keys, params)

    def step(self, key: PRNGKeyArray, state: PyTree, actions: Array, params: Any = None) -> VectorStep:
        """One step in each environment, with a reset in the same step where an episode ended.

        Args:
            key: one for the whole batch. Where steps are stochastic it is split into B + 1: the first for
                `reset`, the others for the rows' steps; elsewhere all of it is for `reset`.
            state: as `reset` or the last step returned it.
            actions: int32 `[B]`, int32 `[B, K]`, or float32 `[B, A]`.
            params: shared by all rows; the environment's `default_params` where None.
        """
        env = self.env
        if isinstance(env, HostEnvironment):
            return VectorStep(*env.step_batch(state, actions))
        params = env.default_params if params is None else params
        if env.stochastic_step:
            keys = jax.random.split(key, self.batch_size + 1)
            key_reset, key_step, key_axis = keys[0], keys[1:], 0
        else:
            key_reset, key_step, key_axis = key, key, None
        obs, next_state, reward, terminated, _ = jax.vmap(env.step_env, in_axes=(key_axis, 0, 0, None))(
            key_step, state, actions, params
        )
        truncated = jax.vmap(env.is_truncated, in_axes=(0, None))(next_state, params)
        ended = terminated | truncated

        def reset_ended(after: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
            return select_rows(ended, self.reset(key_reset, params), after)

        first_obs, next_state = jax.lax.cond(jnp.any(ended), reset_ended, lambda after: after, (obs, next_state))
        return VectorStep(first_obs, next_state, reward, terminated, truncated, obs)
