"""The classes behind `to_gymnasium`, which need Gymnasium to be written at all."""
# pyright: reportMissingImports=false

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from throughtime.envs.adapters.outward import to_gymnasium_space
from throughtime.envs.base import Box, Environment, mask_size
from throughtime.envs.vector import VectorEnvironment


class GymnasiumEnv(gymnasium.Env):
    """One environment. Seeds make its episodes repeatable, as Gymnasium has it."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  Gymnasium's own attribute

    def __init__(self, env: Environment):
        self.env = env
        self.observation_space = to_gymnasium_space(env.observation_space)
        self.action_space = to_gymnasium_space(env.action_space)
        self._reset, self._step = jax.jit(env.reset), jax.jit(_plain_step(env))
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """A new episode."""
        super().reset(seed=seed)
        del options
        obs, self._state = self._reset(self._key())
        return np.asarray(obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step; the observation is the true successor, the final one where the episode ended."""
        out = self._step(self._key(), self._state, _action(self.env, action))
        obs, self._state, reward, terminated, truncated = out
        return np.asarray(obs), float(reward), bool(terminated), bool(truncated), {}

    def _key(self) -> Any:
        return jax.random.key(int(self.np_random.integers(2**31)))


class GymnasiumVectorEnv(VectorEnv):
    """A batch of environments, stepped by one compiled call."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012  Gymnasium's own

    def __init__(self, env: Environment, num_envs: int):
        self.env, self.num_envs = env, num_envs
        vector = VectorEnvironment(env, num_envs)
        self.single_observation_space = to_gymnasium_space(env.observation_space)
        self.single_action_space = to_gymnasium_space(env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset, self._step = jax.jit(vector.reset), jax.jit(vector.step)
        self._state: Any = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """New episodes in all of them."""
        super().reset(seed=seed)
        del options
        obs, self._state = self._reset(self._key())
        return np.asarray(obs), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """One step in each."""
        out = self._step(self._key(), self._state, _action(self.env, actions))
        self._state = out.state
        terminated, truncated = np.asarray(out.terminated), np.asarray(out.truncated)
        ended, infos = terminated | truncated, {}
        if ended.any():
            final = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended):
                final[i] = np.asarray(out.final_observation[i])
            infos = {"final_obs": final, "_final_obs": ended}
        return np.asarray(out.obs), np.asarray(out.reward, np.float64), terminated, truncated, infos

    def _key(self) -> Any:
        return jax.random.key(int(self.np_random.integers(2**31)))


class _Masks:
    """Adds `action_masks()` and `info["action_mask"]` to one of the classes above it, from what it showed last."""

    env: Environment
    _mask: np.ndarray

    def reset(self, **settings: Any) -> Any:
        """As without masks."""
        obs, info = super().reset(**settings)  # pyright: ignore[reportAttributeAccessIssue]
        return obs, self._with_mask(obs, info)

    def step(self, *action: Any, **named: Any) -> Any:
        """As without masks."""
        obs, *rest, info = super().step(*action, **named)  # pyright: ignore[reportAttributeAccessIssue]
        return obs, *rest, self._with_mask(obs, info)

    def action_masks(self) -> np.ndarray:
        """Which actions are allowed now, bool `[A]`, or `[B, A]` of a batch."""
        return self._mask

    def _with_mask(self, obs: np.ndarray, info: dict) -> dict:
        lead = obs.shape[: obs.ndim - len(self.env.observation_space.shape)]
        self._mask = obs.reshape(*lead, -1)[..., -mask_size(self.env) :] > 0.5
        return {**info, "action_mask": self._mask.astype(np.int8)}


class MaskedGymnasiumEnv(_Masks, GymnasiumEnv):
    """One environment with action masks."""


class MaskedGymnasiumVectorEnv(_Masks, GymnasiumVectorEnv):
    """A batch of environments with action masks."""


def _plain_step(env: Environment) -> Any:
    """`env.step` with the observation before the reset, and the state after it (nobody steps an ended episode)."""

    def step(key, state, action):
        _, state, reward, terminated, truncated, info = env.step(key, state, action)
        return info["final_observation"], state, reward, terminated, truncated

    return step


def _action(env: Environment, action: Any) -> Any:
    return jnp.asarray(action, jnp.float32 if isinstance(env.action_space, Box) else jnp.int32)
