"""Pendulum whose angle is seen through noise (POPGym)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box
from throughtime.envs.suite._popgym import PopgymTask
from throughtime.envs.suite.pendulum import Pendulum, PendulumParams, PendulumState

# The noise's standard deviation, of each difficulty.
SIGMAS = {"easy": 0.1, "medium": 0.2, "hard": 0.3}
WORST_REWARD = -16.2736044  # of a step of Pendulum-v1: −(π² + 0.1 · 8² + 0.001 · 2²)


class NoisyPendulumParams(NamedTuple):
    """Physics, noise and reward."""

    physics: PendulumParams
    noise: float | Array  # σ
    scale: float | Array  # the reward of a step without cost


@dataclass(frozen=True)
class NoisyPendulum(PopgymTask[PendulumState, NoisyPendulumParams]):
    """POPGym's NoisyPositionOnlyPendulum: Pendulum-v1's motion, its angle seen through noise.

    Observation: `[cos θ, sin θ]`, each with Gaussian noise of standard deviation σ added, then cut at ±1. The action, a
    torque, the motion and the start are those of `Pendulum`. A step whose reward is r there pays (1 + r/8.137)/T here,
    T = `time_limit`, so that an episode's return lies in ±1. σ is 0.1 (easy), 0.2 (medium), 0.3 (hard).

    The optimum is not known; it is below 1.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
        time_limit: steps after which the episode is truncated, at least 1; 200 in POPGym, at each difficulty.
    """

    time_limit: int = 200

    def __post_init__(self):
        super().__post_init__()
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`pendulum-positions-noisy`."""
        return "pendulum-positions-noisy"

    @property
    def _physics(self) -> Pendulum:
        return Pendulum(velocities=True, time_limit=self.time_limit)

    @property
    def default_params(self) -> NoisyPendulumParams:
        """Pendulum-v1's constants, σ, and rewards that sum to 1 where there is no cost."""
        return NoisyPendulumParams(PendulumParams(), SIGMAS[self.difficulty], 1.0 / self.time_limit)

    @property
    def observation_space(self) -> Box:
        """`[cos θ, sin θ]`."""
        return Box(-1.0, 1.0, (2,))

    @property
    def action_space(self) -> Box:
        """Torque in N m."""
        return self._physics.action_space

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("cos θ, noisy", "sin θ, noisy")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return self._physics.action_labels

    def reset_env(self, key: PRNGKeyArray, params: NoisyPendulumParams) -> tuple[Float[Array, " 2"], PendulumState]:
        """Anywhere, slow."""
        key_start, key_noise = jax.random.split(key)
        obs, state = self._physics.reset_env(key_start, params.physics)
        return _observe(key_noise, obs, params), state

    def step_env(
        self, key: PRNGKeyArray, state: PendulumState, action: Float[Array, " 1"], params: NoisyPendulumParams
    ) -> tuple[Float[Array, " 2"], PendulumState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One torque; `key` is for the noise."""
        obs, state, cost, terminated, _ = self._physics.step_env(key, state, action, params.physics)
        reward = (1.0 - cost / (WORST_REWARD / 2)) * params.scale
        return _observe(key, obs, params), state, reward, terminated, {}

    def is_truncated(self, state: PendulumState, params: NoisyPendulumParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        return self._physics.is_truncated(state, params.physics)

    def hidden_state(self, state: PendulumState) -> Float[Array, " 3"]:
        """`[cos θ, sin θ, θ̇]`."""
        return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.velocity])

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit


def _observe(key: PRNGKeyArray, obs: Float[Array, " 3"], params: NoisyPendulumParams) -> Float[Array, " 2"]:
    noise = params.noise * jax.random.normal(key, (2,), jnp.float32)
    return jnp.clip(obs[:2] + noise, -1.0, 1.0)
