"""Environments as users write them, for the adapters' tests; worker processes import this file by its path."""

import ctypes
import os
import time
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from throughtime.envs import Box, Discrete, Environment

FILE = __file__


class Everything(gymnasium.Env):
    """Each kind of space at once; ends by itself or is cut off, at random."""

    max_episode_steps = 12

    def __init__(self, scale: float = 1.0):
        self.scale, self.t = scale, 0
        self.observation_space = spaces.Dict(
            {
                "zeta": spaces.Box(-3.0, 3.0, (2, 2), np.float64),
                "alpha": spaces.Tuple((spaces.Discrete(3, start=5), spaces.MultiBinary(2))),
                "mid": spaces.MultiDiscrete([2, 3]),
            }
        )
        self.action_space = spaces.MultiDiscrete([3, 2], start=[1, 0])

    def _observation(self):
        self.observation_space.seed(int(self.np_random.integers(1 << 30)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        terminated = bool(self.np_random.random() < 0.1)
        reward = self.scale * float(10 * action[0] + action[1]) + float(self.np_random.random())
        return self._observation(), reward, terminated, self.t >= self.max_episode_steps, {}


class Faulty(gymnasium.Env):
    """Counts its steps, and at step `at` of an episode whose seed is a multiple of `every` does what `how` says."""

    max_episode_steps = 10

    def __init__(self, how: str = "raise", at: int = 4, every: int = 5):
        self.observation_space, self.action_space = spaces.Box(0, 10, (1,)), spaces.Discrete(2)
        self.how, self.at, self.every, self.t, self.bad = how, at, every, 0, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bad = seed is not None and seed % self.every == 0 and seed != 0
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.bad and self.t == self.at:
            if self.how == "raise":
                raise RuntimeError("the simulator broke")
            if self.how == "hang":
                time.sleep(60)
            if self.how == "die":
                os._exit(3)
            if self.how == "crash":
                ctypes.string_at(0)
        return np.array([self.t], np.float32), 1.0, False, self.t >= 10, {}


class Recall(gymnasium.Env):
    """A cue at the first step says which action is right at the last of four. Optimum 1, without memory 0."""

    max_episode_steps = 4

    def __init__(self):
        self.observation_space = spaces.Dict({"cue": spaces.Discrete(3), "last": spaces.MultiBinary(1)})
        self.action_space = spaces.Discrete(2)

    def _observation(self):
        return {"cue": self.cue if self.t == 0 else 2, "last": np.array([self.t == 3], np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(2))
        return self._observation(), {}

    def step(self, action):
        ended = self.t == 3
        reward = (1.0 if action == self.cue else -1.0) if ended else 0.0
        self.t += 1
        return self._observation(), reward, ended, False, {}


class Broken(gymnasium.Env):
    """Breaks Gymnasium's contract in the way that `how` names."""

    max_episode_steps = 5

    def __init__(self, how: str = "shape"):
        self.observation_space, self.action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
        self.how = how
        if how == "space":
            self.observation_space = spaces.Text(5)
        if how == "action":
            self.action_space = spaces.Box(-np.inf, np.inf, (2,))
        if how == "endless":
            self.max_episode_steps = None

    def reset(self, *, seed=None, options=None):
        if self.how == "old reset":
            return np.zeros(2, np.float32)
        return np.zeros(3 if self.how == "shape" else 2, np.float32), {}

    def step(self, action):
        if self.how == "old step":
            return np.zeros(2, np.float32), 0.0, False, {}
        return np.full(2, np.nan if self.how == "nan" else 0.0, np.float32), 0.0, False, False, {}


class LaterNaN(Faulty):
    """Gives a NaN at its fourth step."""

    def step(self, action):
        observation, *rest = super().step(action)
        return (observation * np.nan if self.t == 4 else observation, *rest)


class NotAnEnvironment:
    """Has neither reset nor step."""


class EchoState(NamedTuple):
    previous: jax.Array
    time: jax.Array


@dataclass(frozen=True)
class Echo(Environment[EchoState, None]):
    """In arrays: the reward is 1 where the action repeats the last observation."""

    limit: int = 5

    @property
    def name(self):
        return "echo"

    @property
    def default_params(self):
        return None

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (1,))

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def max_episode_steps(self):
        return self.limit

    def reset_env(self, key, params):
        bit = jax.random.bernoulli(key).astype(jnp.float32)
        return bit[None], EchoState(bit, jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        reward = (action == state.previous.astype(jnp.int32)).astype(jnp.float32)
        bit = jax.random.bernoulli(key).astype(jnp.float32)
        return bit[None], EchoState(bit, state.time + 1), reward, jnp.zeros((), bool), {}

    def is_truncated(self, state, params):
        return state.time >= self.limit

    def hidden_state(self, state):
        return state.previous.astype(jnp.int32)


@dataclass(frozen=True)
class WideEcho(Echo):
    """Says another shape than it gives."""

    @property
    def observation_space(self):
        return Box(0.0, 1.0, (2,))


class ThawedEcho(Echo):
    """No dataclass of its own, but one that its parent made: works all the same."""


def factory():
    """No class."""


class Masked(gymnasium.Env):
    """Raises where a forbidden action is taken; tells its masks `where` it is asked to, and `how` they are wrong.

    Observation: the number of allowed actions, 1 … 3 of 4. Without a mask in sight (where = "") it raises soon.
    """

    max_episode_steps = 6

    def __init__(self, where: str = "info", how: str = "", several: bool = False):
        self.where, self.how = where, how
        self.action_space = spaces.MultiDiscrete([2, 3], start=[4, 0]) if several else spaces.Discrete(4, start=-1)
        self.sizes, self.start = ((2, 3), (4, 0)) if several else ((4,), (-1,))
        seen = spaces.Box(0.0, 8.0, (1,))
        mask = spaces.MultiBinary(sum(self.sizes))
        self.observation_space = spaces.Dict(zoo=seen, action_mask=mask) if where == "observation" else seen
        if where == "method":
            self.action_masks = lambda: self._told()
        self.mask, self.t, self.over = np.zeros(0, bool), 0, False

    def _told(self):
        if self.how == "short":
            return self.mask[1:]
        if self.how == "empty" and self.t == 2:
            return self.mask & (np.arange(len(self.mask)) >= self.sizes[0])  # nothing of the first action
        return self.mask if self.where == "method" else self.mask.astype(np.int8)

    def _shown(self):
        parts = [self.np_random.permutation(np.arange(n) < self.np_random.integers(1, n)) for n in self.sizes]
        self.mask = np.concatenate(parts)
        seen = np.array([self.mask.sum()], np.float32)
        gone = (self.how == "gone" and self.t == 2) or (self.how == "gone at the end" and self.over)
        info = {"action_mask": self._told()} if self.where == "info" and not gone else {}
        return ({"zoo": seen, "action_mask": self._told()} if self.where == "observation" else seen), info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.over = 0, False
        return self._shown()

    def step(self, action):
        ends = np.cumsum((0, *self.sizes[:-1]))
        places = np.ravel(action) - self.start + ends
        assert self.mask[places].all(), f"{action} is forbidden"
        self.t += 1
        self.over = bool(self.np_random.random() < 0.2)
        observation, info = self._shown()
        return observation, 1.0, self.over, self.t >= self.max_episode_steps, info
