"""CartPole whose positions are seen through noise (POPGym)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._popgym import PopgymTask
from throughtime.envs.suite.cartpole import ANGLE_LIMIT, X_LIMIT, CartPole, CartPoleParams, CartPoleState

# The noise's standard deviation, of each difficulty.
SIGMAS = {"easy": 0.1, "medium": 0.2, "hard": 0.3}


class NoisyCartPoleParams(NamedTuple):
    """Physics, noise and reward."""

    physics: CartPoleParams
    noise: float | Array  # σ, in m for the cart and in rad for the pole
    scale: float | Array  # the reward of a step


@dataclass(frozen=True)
class NoisyCartPole(PopgymTask[CartPoleState, NoisyCartPoleParams]):
    """POPGym's NoisyPositionOnlyCartPole: CartPole-v1's motion, its positions seen through noise.

    Observation: `[x, θ]`, each with Gaussian noise of standard deviation σ added, then cut at ±4.8 m and ±24°. Actions,
    motion, start and termination are those of `CartPole`, by the true state. Each step pays 1/`time_limit`, the last
    one included. σ is 0.1 (easy), 0.2 (medium), 0.3 (hard), the same for x and θ: 0.1 rad is half the angle at which
    the episode ends.

    The optimum is not known; it is at most 1. For scale: a plain extended Kalman filter with a linear-quadratic
    regulator scores 0.97, 0.49, 0.34 (200 episodes of popgym 1.0.6), which tuning can raise.

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
        """`cartpole-positions-noisy`."""
        return "cartpole-positions-noisy"

    @property
    def _physics(self) -> CartPole:
        return CartPole(velocities=True, time_limit=self.time_limit)

    @property
    def default_params(self) -> NoisyCartPoleParams:
        """CartPole-v1's constants, σ, and rewards that sum to 1."""
        return NoisyCartPoleParams(CartPoleParams(), SIGMAS[self.difficulty], 1.0 / self.time_limit)

    @property
    def observation_space(self) -> Box:
        """`[x, θ]`."""
        return Box(-2 * X_LIMIT, 2 * X_LIMIT, (2,))

    @property
    def action_space(self) -> Discrete:
        """Left, right."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("x, noisy", "θ, noisy")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return self._physics.action_labels

    def reset_env(self, key: PRNGKeyArray, params: NoisyCartPoleParams) -> tuple[Float[Array, " 2"], CartPoleState]:
        """Nearly upright, nearly at rest."""
        key_start, key_noise = jax.random.split(key)
        _, state = self._physics.reset_env(key_start, params.physics)
        return _observe(key_noise, state, params), state

    def step_env(
        self, key: PRNGKeyArray, state: CartPoleState, action: Int[Array, ""], params: NoisyCartPoleParams
    ) -> tuple[Float[Array, " 2"], CartPoleState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One push; `key` is for the noise."""
        _, state, one, terminated, _ = self._physics.step_env(key, state, action, params.physics)
        return _observe(key, state, params), state, one * params.scale, terminated, {}

    def is_truncated(self, state: CartPoleState, params: NoisyCartPoleParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        return self._physics.is_truncated(state, params.physics)

    def hidden_state(self, state: CartPoleState) -> Float[Array, " 4"]:
        """`[x, ẋ, θ, θ̇]`."""
        return jnp.stack(state[:4])

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit


def _observe(key: PRNGKeyArray, state: CartPoleState, params: NoisyCartPoleParams) -> Float[Array, " 2"]:
    bounds = jnp.array([2 * X_LIMIT, 2 * ANGLE_LIMIT], jnp.float32)
    noise = params.noise * jax.random.normal(key, (2,), jnp.float32)
    return jnp.clip(jnp.stack([state.x, state.angle]) + noise, -bounds, bounds)
