"""CartPole: balance a pole on a cart, seeing positions only or also velocities (Barto et al. 1983)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment

X_LIMIT = 2.4  # m
ANGLE_LIMIT = math.radians(12.0)


class CartPoleState(NamedTuple):
    """Cart, pole and clock."""

    x: Float[Array, ""]  # m
    velocity: Float[Array, ""]  # m/s
    angle: Float[Array, ""]  # rad, 0 is upright
    angular_velocity: Float[Array, ""]  # rad/s
    time: Int[Array, ""]  # steps since the reset


class CartPoleParams(NamedTuple):
    """Physical constants."""

    gravity: float | Array = 9.8  # m/s²
    cart_mass: float | Array = 1.0  # kg
    pole_mass: float | Array = 0.1  # kg
    half_length: float | Array = 0.5  # m, from the pivot to the pole's centre
    force: float | Array = 10.0  # N
    timestep: float | Array = 0.02  # s


@dataclass(frozen=True)
class CartPole(Environment[CartPoleState, CartPoleParams]):
    """Gymnasium's CartPole-v1; by default only its positions are seen.

    Actions: 0 pushes to the left, 1 to the right. The observation is `[x, ẋ, θ, θ̇]`; where `velocities` is
    false, ẋ and θ̇ read 0 while the shape stays `[4]`, as in Stable-Baselines3's CartPoleNoVel. The reward is
    1 per step, the last one included; where `delayed`, the last step (terminated or truncated) pays for all of
    them and the others pay 0, which is a task of credit assignment with the same returns. The episode terminates
    where |x| > 2.4 m or |θ| > 12°, and is truncated after `time_limit` steps. It starts with all four uniform in
    ±0.05. Explicit Euler, positions moved by the velocities before the step.

    Reference: Barto, Sutton & Anderson 1983; Florian 2007, "Correct equations for the dynamics of the
    cart-pole system", without friction.

    Args:
        velocities: whether the velocities are seen.
        time_limit: steps after which the episode is truncated, at least 1.
        delayed: whether the whole reward comes at the end.
    """

    stochastic_step: ClassVar[bool] = False

    velocities: bool = False
    time_limit: int = 500
    delayed: bool = False

    def __post_init__(self):
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`cartpole-positions`, or `cartpole` with velocities; `delayed-cartpole` where the reward comes at the end."""
        if self.delayed:
            return "delayed-cartpole" if self.velocities else "delayed-cartpole-positions"
        return "cartpole" if self.velocities else "cartpole-positions"

    @property
    def default_params(self) -> CartPoleParams:
        """CartPole-v1's constants."""
        return CartPoleParams()

    @property
    def observation_space(self) -> Box:
        """`[x, ẋ, θ, θ̇]`; bounded, as Gymnasium declares x to be, where the velocities are hidden."""
        bound = math.inf if self.velocities else 2 * X_LIMIT
        return Box(-bound, bound, (4,))

    @property
    def action_space(self) -> Discrete:
        """Left, right."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("x", "ẋ", "θ", "θ̇") if self.velocities else ("x", "(hidden)", "θ", "(hidden)")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return ("push left", "push right")

    def reset_env(self, key: PRNGKeyArray, params: CartPoleParams) -> tuple[Float[Array, " 4"], CartPoleState]:
        """Nearly upright, nearly at rest."""
        del params
        start = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        state = CartPoleState(start[0], start[1], start[2], start[3], jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: CartPoleState, action: Int[Array, ""], params: CartPoleParams
    ) -> tuple[Float[Array, " 4"], CartPoleState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One push of `params.timestep` seconds; `key` is not used."""
        del key
        x, velocity, angle, angular_velocity, time = state
        mass = params.cart_mass + params.pole_mass
        pole_moment = params.pole_mass * params.half_length
        force = jnp.where(action == 1, params.force, -params.force)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        thrust = (force + pole_moment * angular_velocity**2 * sin) / mass
        angular_acceleration = (params.gravity * sin - cos * thrust) / (
            params.half_length * (4.0 / 3.0 - params.pole_mass * cos**2 / mass)
        )
        acceleration = thrust - pole_moment * angular_acceleration * cos / mass
        dt = params.timestep
        state = CartPoleState(
            x + dt * velocity,
            velocity + dt * acceleration,
            angle + dt * angular_velocity,
            angular_velocity + dt * angular_acceleration,
            time + 1,
        )
        terminated = (jnp.abs(state.x) > X_LIMIT) | (jnp.abs(state.angle) > ANGLE_LIMIT)
        reward = jnp.ones((), jnp.float32)
        if self.delayed:
            ended = terminated | self.is_truncated(state, params)
            reward = jnp.where(ended, state.time.astype(jnp.float32), 0.0)
        return self._observe(state), state, reward, terminated, {}

    def _observe(self, state: CartPoleState) -> Float[Array, " 4"]:
        zero = jnp.zeros((), jnp.float32)
        velocity, angular_velocity = (state.velocity, state.angular_velocity) if self.velocities else (zero, zero)
        return jnp.stack([state.x, velocity, state.angle, angular_velocity])

    def is_truncated(self, state: CartPoleState, params: CartPoleParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: CartPoleState) -> Float[Array, " 2"]:
        """ẋ and θ̇."""
        return jnp.stack([state.velocity, state.angular_velocity])

    @property
    def optimal_return(self) -> float:
        """1 per step up to the limit: a linear controller balances forever, also on estimated velocities."""
        return float(self.time_limit)

    @property
    def required_lag(self) -> int:
        """1 where velocities are hidden (two positions give them), else 0."""
        return 0 if self.velocities else 1

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit
