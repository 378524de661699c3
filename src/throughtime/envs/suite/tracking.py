"""Tracking: point at a swinging target whose position is seen through noise; the Kalman filter is the optimum."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Environment
from throughtime.envs.linear_gaussian import LinearGaussian

REACH = 4.0  # actions lie in ±REACH, four standard deviations of the target's position


class TrackingState(NamedTuple):
    """Target and clock."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]  # in units of position · frequency
    time: Int[Array, ""]  # steps since the reset


class TrackingParams(NamedTuple):
    """How the target swings, and how well it is seen."""

    frequency: float | Array = 0.2  # ω, radians a step: a swing takes about 31 steps
    persistence: float | Array = 0.98  # ρ, how much of the swing is left after a step
    noise: float | Array = 1.0  # σ, standard deviation of the observation's error


@dataclass(frozen=True)
class Tracking(Environment[TrackingState, TrackingParams]):
    """A target swings about zero, pushed at random; its position is seen through noise, its velocity never.

    The state x = (position p, velocity v) is a damped oscillator in discrete time, with v in the unit that makes both
    alike:

        x' = ρ R(ω) x + √(1 − ρ²) w,    w ~ N(0, I),    R(ω) = [[cos ω, sin ω], [−sin ω, cos ω]]
        y  = p + σ e,                   e ~ N(0, 1)

    It begins in its stationary distribution N(0, I). In each step the agent sees y and points at a, one number in ±4;
    the reward is −(a − p)² with p the position at which y was seen, not the one after. Actions do not move the target.
    The episode never terminates and is truncated after `time_limit` steps.

    The best policy points at E[p | all y so far], the mean of the Kalman filter (Kalman 1960, "A new approach to linear
    filtering and prediction problems"), cut at ±4. Its return, and that of the best policy without memory,
    a = y/(1 + σ²), are exact: sums of error variances (and of the cut, which is less than 1e-3).

    Args:
        time_limit: steps after which the episode is truncated, at least 1.
    """

    time_limit: int = 100

    def __post_init__(self):
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`tracking`."""
        return "tracking"

    @property
    def default_params(self) -> TrackingParams:
        """ω = 0.2, ρ = 0.98, σ = 1."""
        return TrackingParams()

    @property
    def observation_space(self) -> Box:
        """The position as seen; the noise has no bounds."""
        return Box(-math.inf, math.inf, (1,))

    @property
    def action_space(self) -> Box:
        """Where the agent points."""
        return Box(-REACH, REACH, (1,))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What the number of the observation is."""
        return ("position, noisy",)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What the action is."""
        return ("pointed at",)

    def reset_env(self, key: PRNGKeyArray, params: TrackingParams) -> tuple[Float[Array, " 1"], TrackingState]:
        """A target somewhere in its swing."""
        draws = jax.random.normal(key, (3,), jnp.float32)
        state = TrackingState(draws[0], draws[1], jnp.zeros((), jnp.int32))
        return self._observe(state, draws[2], params), state

    def step_env(
        self, key: PRNGKeyArray, state: TrackingState, action: Float[Array, " 1"], params: TrackingParams
    ) -> tuple[Float[Array, " 1"], TrackingState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Points, then the target moves on."""
        draws = jax.random.normal(key, (3,), jnp.float32)
        reward = -((jnp.clip(action[0], -REACH, REACH) - state.position) ** 2)
        rho = jnp.asarray(params.persistence, jnp.float32)
        omega = jnp.asarray(params.frequency, jnp.float32)
        cos, sin, push = rho * jnp.cos(omega), rho * jnp.sin(omega), jnp.sqrt(1.0 - rho**2)
        position = cos * state.position + sin * state.velocity + push * draws[0]
        velocity = cos * state.velocity - sin * state.position + push * draws[1]
        state = TrackingState(position, velocity, state.time + 1)
        return self._observe(state, draws[2], params), state, reward, jnp.zeros((), bool), {}

    def _observe(self, state: TrackingState, error: Float[Array, ""], params: TrackingParams) -> Float[Array, " 1"]:
        return (state.position + jnp.asarray(params.noise, jnp.float32) * error)[None]

    def is_truncated(self, state: TrackingState, params: TrackingParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: TrackingState) -> Float[Array, " 2"]:
        """Position and velocity."""
        return jnp.stack([state.position, state.velocity])

    @property
    def optimal_return(self) -> float:
        """−Σ_t E[(p_t − a_t)²] of the Kalman filter's mean, cut at ±4."""
        model, total = self.linear_gaussian(), 0.0
        predicted = model.initial_covariance  # of x_t given y_0 … y_{t−1}
        for _ in range(self.time_limit):
            gain = (
                predicted
                @ model.observation.T
                / (model.observation @ predicted @ model.observation.T + model.observation_noise)
            )
            filtered = predicted - gain @ model.observation @ predicted
            total += _error(float(filtered[0, 0]))
            predicted = model.transition @ filtered @ model.transition.T + model.process_noise
        return -total

    @property
    def memoryless_return(self) -> float:
        """−T E[(p − a)²] of a = E[p | y] = y/(1 + σ²), cut at ±4."""
        noise = float(self.default_params.noise) ** 2
        return -self.time_limit * _error(noise / (1.0 + noise))

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit

    def linear_gaussian(self) -> LinearGaussian:
        """The model in the docstring."""
        p = self.default_params
        omega, rho = float(p.frequency), float(p.persistence)
        rotation = np.array([[math.cos(omega), math.sin(omega)], [-math.sin(omega), math.cos(omega)]])
        return LinearGaussian(
            initial_mean=np.zeros(2),
            initial_covariance=np.eye(2),
            transition=rho * rotation,
            process_noise=(1.0 - rho**2) * np.eye(2),
            observation=np.array([[1.0, 0.0]]),
            observation_noise=np.array([[float(p.noise) ** 2]]),
        )


def _error(variance: float) -> float:
    """E[(p − a)²] where a is E[p | seen], of variance 1 − `variance`, cut at ±REACH.

    The cut adds E[(|m| − c)²₊] = 2 [(s² + c²) Q(c/s) − c s φ(c/s)] for m ~ N(0, s²), c = REACH.
    """
    s = math.sqrt(1.0 - variance)
    z = REACH / s
    tail, density = 0.5 * math.erfc(z / math.sqrt(2.0)), math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return variance + 2.0 * ((s * s + REACH * REACH) * tail - REACH * s * density)
