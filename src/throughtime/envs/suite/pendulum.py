"""Pendulum: swing up and hold with a weak motor, seeing the angle only or its velocity too."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Environment

MAX_SPEED = 8.0  # rad/s
MAX_TORQUE = 2.0  # N m


class PendulumState(NamedTuple):
    """Pendulum and clock."""

    angle: Float[Array, ""]  # rad in ±π, 0 is upright
    velocity: Float[Array, ""]  # rad/s in ±8
    time: Int[Array, ""]  # steps since the reset


class PendulumParams(NamedTuple):
    """Physical constants."""

    gravity: float | Array = 10.0  # m/s²
    mass: float | Array = 1.0  # kg
    length: float | Array = 1.0  # m
    timestep: float | Array = 0.05  # s


@dataclass(frozen=True)
class Pendulum(Environment[PendulumState, PendulumParams]):
    """Gymnasium's Pendulum-v1; by default its angular velocity is not seen.

    The action is a torque, clipped to ±2 N m. The observation is `[cos θ, sin θ, θ̇]`; where `velocities`
    is false, θ̇ reads 0 while the shape stays `[3]`, as in Stable-Baselines3's PendulumNoVel. The reward is
    −(θ² + 0.1 θ̇² + 0.001 u²) of the state before the step, θ in ±π. The episode starts with θ uniform in
    ±π and θ̇ in ±1, never terminates, and is truncated after `time_limit` steps. Semi-implicit Euler, θ̇
    clipped to ±8 rad/s.

    The optimum is not known in closed form; `optimal_return` is None. For scale, the state seen: about −150
    (TQC −151, PPO −172 in the RL Baselines3 Zoo's benchmark, which has −218 ± 140 for its PendulumNoVel).

    Args:
        velocities: whether the angular velocity is seen.
        time_limit: steps after which the episode is truncated, at least 1.
    """

    stochastic_step: ClassVar[bool] = False

    velocities: bool = False
    time_limit: int = 200

    def __post_init__(self):
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`pendulum-positions`, or `pendulum` with the velocity."""
        return "pendulum" if self.velocities else "pendulum-positions"

    @property
    def default_params(self) -> PendulumParams:
        """Pendulum-v1's constants."""
        return PendulumParams()

    @property
    def observation_space(self) -> Box:
        """`[cos θ, sin θ, θ̇]`."""
        bound = MAX_SPEED if self.velocities else 1.0
        return Box(-bound, bound, (3,))

    @property
    def action_space(self) -> Box:
        """Torque in N m."""
        return Box(-MAX_TORQUE, MAX_TORQUE, (1,))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("cos θ", "sin θ", "θ̇" if self.velocities else "(hidden)")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return ("torque",)

    def reset_env(self, key: PRNGKeyArray, params: PendulumParams) -> tuple[Float[Array, " 3"], PendulumState]:
        """Anywhere, slow."""
        del params
        start = jax.random.uniform(key, (2,), jnp.float32, -1.0, 1.0)
        state = PendulumState(math.pi * start[0], start[1], jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: PendulumState, action: Float[Array, " 1"], params: PendulumParams
    ) -> tuple[Float[Array, " 3"], PendulumState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One torque for `params.timestep` seconds; `key` is not used."""
        del key
        angle, velocity, time = state
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        reward = -(angle**2 + 0.1 * velocity**2 + 0.001 * torque**2)
        acceleration = 1.5 * params.gravity / params.length * jnp.sin(angle) + 3.0 * torque / (
            params.mass * params.length**2
        )
        velocity = jnp.clip(velocity + acceleration * params.timestep, -MAX_SPEED, MAX_SPEED)
        angle = angle + velocity * params.timestep
        # Gymnasium lets the angle grow and wraps it in the cost; wrapped at once it keeps its precision.
        angle = angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
        state = PendulumState(angle, velocity, time + 1)
        return self._observe(state), state, reward, jnp.zeros((), bool), {}

    def _observe(self, state: PendulumState) -> Float[Array, " 3"]:
        velocity = state.velocity if self.velocities else jnp.zeros((), jnp.float32)
        return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), velocity])

    def is_truncated(self, state: PendulumState, params: PendulumParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: PendulumState) -> Float[Array, " 1"]:
        """θ̇."""
        return state.velocity[None]

    @property
    def required_lag(self) -> int:
        """1 where the velocity is hidden (two angles give it), else 0."""
        return 0 if self.velocities else 1

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit
