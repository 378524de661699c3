"""Small stateful environments in plain Python, right ones, with one place for each fault to be put in."""

import numpy as np

from throughtime.envs import Box, Discrete
from throughtime.proof.memcheck.environment_throughtime import NumpySpace


class Walk:
    """A random walk: observation `[place, step]`; terminates where |place| ≥ 3, is truncated after `limit` steps.

    The action 0 or 1 moves it by ±0.5, a normal number by more; the reward is 1 − |place| / 10. Steps take an action
    right, so that one that is ignored shows.
    """

    limit = 8

    def __init__(self):
        self.observation_space = NumpySpace(Box(-10.0, 10.0, (2,)))
        self.action_space = NumpySpace(Discrete(2))
        self.metadata = {}
        self.rng = np.random.default_rng()
        self.place, self.steps, self.total = 0.0, 0, 0

    def reset(self, *, seed=None):
        if seed is not None:
            self.seed(seed)
        self.start()
        return self.observe(), {}

    def step(self, action):
        self.place += float(action) - 0.5 + self.noise()
        self.steps += 1
        self.total += 1
        reward = 1.0 - abs(self.place) / 10
        terminated, truncated = self.ends()
        return self.returned(self.observe(), reward, terminated, truncated, {})

    # What faults override.

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def start(self):
        self.place, self.steps = self.rng.normal() / 2, 0

    def noise(self):
        return self.rng.normal() / 2

    def observe(self):
        return np.array([np.clip(self.place, -10, 10), min(self.steps, 10)], np.float32)

    def ends(self):
        return bool(abs(self.place) >= 3), bool(self.steps >= self.limit)

    def returned(self, *values):
        return values


class Walks:
    """Some walks as a vector environment, in any of Gymnasium's autoreset modes."""

    def __init__(self, mode="same-step", num_envs=3, walk=Walk):
        self.envs, self.num_envs, self.mode = [walk() for _ in range(num_envs)], num_envs, mode
        one = self.envs[0]
        self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        self.observation_space = NumpySpace(one.observation_space.space, num_envs)
        self.action_space = NumpySpace(one.action_space.space, num_envs)
        self.metadata = {"autoreset_mode": self.told(mode)}
        self.over = np.zeros(num_envs, bool)

    def reset(self, *, seed=None, options=None):
        rows = np.ones(self.num_envs, bool) if options is None else options["reset_mask"]
        for b in np.flatnonzero(rows):
            self.obs_of(b, self.envs[b].reset(seed=None if seed is None else self.seed_of(seed, int(b)))[0])
        self.over &= ~rows
        return self.returned_observation(), {}

    def step(self, actions):
        B = self.num_envs
        rewards, ends, info = np.zeros(B), np.zeros((2, B), bool), {}
        for b in range(B):
            if self.mode == "next-step" and self.over[b]:
                self.obs_of(b, self.envs[b].reset()[0])
                rewards[b] = self.fake_reward()
                continue
            before = self.observations[b].copy()
            obs, rewards[b], *ends[:, b], _ = self.envs[b].step(actions[b])
            self.obs_of(b, obs)
            if self.mode == "same-step" and ends[:, b].any():
                self.obs_of(b, self.envs[b].reset()[0])
                final = self.final(before, obs, self.observations[b])
                if final is not None:
                    info.setdefault("final_obs", np.zeros((B, 2), np.float32))[b] = final
                    info.setdefault("_final_obs", np.zeros(B, bool))[b] = True
        self.over = ends.any(axis=0)
        return self.returned_observation(), rewards, ends[0].copy(), ends[1].copy(), info

    def obs_of(self, b, obs):
        if not hasattr(self, "observations"):
            self.observations = np.zeros((self.num_envs, 2), np.float32)
        self.observations[b] = obs

    # What faults override.

    def told(self, mode):
        return mode

    def returned_observation(self):
        return self.observations.copy()

    def seed_of(self, seed, b):
        return seed + b

    def final(self, before, obs, first):
        return obs

    def fake_reward(self):
        return 0.0
