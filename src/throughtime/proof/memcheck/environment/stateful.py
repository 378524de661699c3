"""throughtime's functional environments as vector environments with state, so that the same laws apply to them."""

from typing import Any

import jax
import numpy as np

from throughtime.envs import Box, Discrete, Environment, MultiDiscrete, Space, VectorEnvironment
from throughtime.envs.base import mask_size


class NumpySpace:
    """A space of throughtime with the methods that a Gymnasium space has.

    Args:
        space: `Box` (float32), `Discrete` or `MultiDiscrete` (int32).
        batch: B, for arrays `[B, ...]`; None for single ones.
    """

    def __init__(self, space: Space, batch: int | None = None):
        self.space = space
        self.shape = space.shape if batch is None else (batch, *space.shape)
        self.dtype = np.dtype(np.float32 if isinstance(space, Box) else np.int32)
        self._rng = np.random.default_rng()
        if isinstance(space, Box):
            self.low, self.high = space.low, space.high
        else:
            self.nvec = np.broadcast_to(_counts(space), self.shape)

    def __repr__(self) -> str:
        return f"{self.space!r} as {self.dtype} {list(self.shape)}"

    def contains(self, x: Any) -> bool:
        """Shape, dtype, and bounds."""
        if not hasattr(x, "shape") or tuple(x.shape) != self.shape or x.dtype != self.dtype:
            return False
        low, high = (self.low, self.high) if isinstance(self.space, Box) else (0, _counts(self.space) - 1)
        return bool(((x >= low) & (x <= high)).all())

    def seed(self, seed: int | None = None) -> None:
        """Seeds `sample`."""
        self._rng = np.random.default_rng(seed)

    def sample(self) -> np.ndarray:
        """Uniform; a normal one in an unbounded box."""
        if not isinstance(self.space, Box):
            return self._rng.integers(_counts(self.space), size=self.shape, dtype=np.int32)
        if np.isfinite([self.space.low, self.space.high]).all():
            return self._rng.uniform(self.space.low, self.space.high, self.shape).astype(np.float32)
        return self._rng.normal(size=self.shape).astype(np.float32)


def _counts(space: Discrete | MultiDiscrete) -> np.ndarray:
    """How many values each discrete number may have."""
    return np.asarray(space.sizes if isinstance(space, MultiDiscrete) else space.n)


class StatefulEnvironments:
    """B copies of a functional environment behind the interface of Gymnasium's vector environments.

    Autoreset is same-step, with the true final observations in the infos, as `VectorEnvironment.step` has them.

    Args:
        env: the environment.
        num_envs: B.
    """

    metadata = {"autoreset_mode": "SameStep"}  # noqa: RUF012

    def __init__(self, env: Environment, num_envs: int = 4):
        self.env, self.num_envs = env, num_envs
        self.single_observation_space, self.single_action_space = (
            NumpySpace(env.observation_space),
            NumpySpace(env.action_space),
        )
        self.observation_space = NumpySpace(env.observation_space, num_envs)
        self.action_space = NumpySpace(env.action_space, num_envs)
        vector = VectorEnvironment(env, num_envs)
        self._reset, self._step = jax.jit(vector.reset), jax.jit(vector.step)
        self._key, self._state = jax.random.key(0), None
        if env.action_mask:
            self.action_masks = lambda: self._masks

    def __deepcopy__(self, memo: dict) -> "StatefulEnvironments":
        return StatefulEnvironments(self.env, self.num_envs)

    def reset(self, *, seed: int | None = None) -> tuple[np.ndarray, dict]:
        """New episodes in all rows."""
        if seed is not None:
            self._key = jax.random.key(seed)
        self._key, key = jax.random.split(self._key)
        observation, self._state = self._reset(key)
        self._see(observation)
        return np.array(observation), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """One step in each row."""
        self._key, key = jax.random.split(self._key)
        out = self._step(key, self._state, np.asarray(actions))
        self._state = out.state
        self._see(out.obs)
        terminated, truncated = np.array(out.terminated), np.array(out.truncated)
        over = terminated | truncated
        info = {"final_obs": np.array(out.final_observation), "_final_obs": over} if over.any() else {}
        return np.array(out.obs), np.array(out.reward), terminated, truncated, info

    def _see(self, observation: Any) -> None:
        if self.env.action_mask:
            flat = np.asarray(observation).reshape(self.num_envs, -1)
            self._masks = flat[:, -mask_size(self.env) :] > 0.5
