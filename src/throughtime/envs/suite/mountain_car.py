"""Continuous mountain car: rock out of the valley with a weak motor, seeing the position only or the velocity too."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Environment
from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._strip import COLUMNS, strip

LEFT, RIGHT = -1.2, 0.6  # ends of the track
MAX_SPEED = 0.07  # a step
GOAL = 0.45


class MountainCarState(NamedTuple):
    """Car and clock."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]  # a step
    time: Int[Array, ""]  # steps since the reset


class MountainCarParams(NamedTuple):
    """Physical constants and rewards."""

    power: float | Array = 0.0015
    gravity: float | Array = 0.0025
    goal_velocity: float | Array = 0.0  # the least with which the goal counts
    goal_reward: float | Array = 100.0
    cost: float | Array = 0.1  # of the squared action


@dataclass(frozen=True)
class MountainCarContinuous(Environment[MountainCarState, MountainCarParams]):
    """Gymnasium's MountainCarContinuous-v0; by default its velocity is not seen.

    The action is a force in ±1; larger ones push no harder, but their square is paid in full. Observation: `[x, ẋ]`;
    where `velocities` is false, ẋ reads 0 while the shape stays `[2]`, as in the RL Baselines3 Zoo's
    MountainCarContinuousNoVel. Each step costs 0.1 u², and one that ends at x ≥ 0.45 pays 100 and terminates. The
    episode starts at rest with x uniform in −0.6 … −0.4, and is truncated after `time_limit` steps.

    The optimum is not known in closed form; `optimal_return` is None. For scale: 91.5 ± 1.8 in the Zoo's benchmark of
    RecurrentPPO without velocities. A policy that never leaves the valley gets 0 at best.

    Args:
        velocities: whether the velocity is seen.
        time_limit: steps after which the episode is truncated, at least 1.
    """

    stochastic_step: ClassVar[bool] = False

    velocities: bool = False
    time_limit: int = 999

    def __post_init__(self):
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`mountain-car-continuous-positions`, or `mountain-car-continuous` with the velocity."""
        return "mountain-car-continuous" if self.velocities else "mountain-car-continuous-positions"

    @property
    def default_params(self) -> MountainCarParams:
        """MountainCarContinuous-v0's constants."""
        return MountainCarParams()

    @property
    def observation_space(self) -> Box:
        """`[x, ẋ]`."""
        return Box(LEFT, RIGHT, (2,))

    @property
    def action_space(self) -> Box:
        """The force, in units of `power`."""
        return Box(-1.0, 1.0, (1,))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("x", "ẋ" if self.velocities else "(hidden)")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What the action is."""
        return ("force",)

    def reset_env(self, key: PRNGKeyArray, params: MountainCarParams) -> tuple[Float[Array, " 2"], MountainCarState]:
        """At rest near the bottom of the valley."""
        del params
        position = jax.random.uniform(key, (), jnp.float32, -0.6, -0.4)
        state = MountainCarState(position, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: MountainCarState, action: Float[Array, " 1"], params: MountainCarParams
    ) -> tuple[Float[Array, " 2"], MountainCarState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One push; `key` is not used."""
        del key
        push = jnp.clip(action[0], -1.0, 1.0) * params.power - params.gravity * jnp.cos(3.0 * state.position)
        velocity = jnp.clip(state.velocity + push, -MAX_SPEED, MAX_SPEED)
        position = jnp.clip(state.position + velocity, LEFT, RIGHT)
        velocity = jnp.where((position <= LEFT) & (velocity < 0), 0.0, velocity)  # the left wall stops the car
        terminated = (position >= GOAL) & (velocity >= params.goal_velocity)
        reward = jnp.where(terminated, params.goal_reward, 0.0) - params.cost * action[0] ** 2
        state = MountainCarState(position, velocity, state.time + 1)
        return self._observe(state), state, reward.astype(jnp.float32), terminated, {}

    def _observe(self, state: MountainCarState) -> Float[Array, " 2"]:
        velocity = state.velocity if self.velocities else jnp.zeros((), jnp.float32)
        return jnp.stack([state.position, velocity])

    def is_truncated(self, state: MountainCarState, params: MountainCarParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: MountainCarState) -> Float[Array, " 1"]:
        """ẋ."""
        return state.velocity[None]

    def draw(self, state: MountainCarState) -> Drawing:
        """The track from left to right."""

        def cell(x: float) -> int:
            return round((x - LEFT) / (RIGHT - LEFT) * (COLUMNS - 1))

        bottom = -0.5235988  # −π/6
        marks = {cell(bottom): ("v", "faint"), cell(GOAL): ("G", "goal"), cell(float(state.position)): ("@", "agent")}
        track = strip(COLUMNS, marks)
        legend = "@ car, v the bottom of the valley, G the goal; velocity "
        return Drawing.of(track.cells, [(legend, "faint"), f"{float(state.velocity):+.3f}"])

    @property
    def required_lag(self) -> int:
        """1 where the velocity is hidden (two positions give it), else 0."""
        return 0 if self.velocities else 1

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit
