"""Multi-armed bandit: find the arm that pays best, anew in each episode (POPGym)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._cards import AnswerParams
from throughtime.envs.suite._popgym import PopgymTask

# Arms and steps of each difficulty.
LEVELS = {"easy": (10, 200), "medium": (20, 400), "hard": (30, 600)}


class BanditState(NamedTuple):
    """The arms and the clock."""

    chances: Float[Array, " arms"]  # the probability that each pays
    time: Int[Array, ""]  # steps since the reset


@dataclass(frozen=True)
class Bandit(PopgymTask[BanditState, AnswerParams]):
    """POPGym's MultiarmedBandit: K arms, each of which pays with its own probability, drawn uniformly in [0, 1).

    Observation: `[lost, paid]` one-hot of the last pull, lost at the start. Action: an arm. It pays 1/T or costs 1/T.
    The episode is truncated after T steps. K and T are 10 and 200 (easy), 20 and 400 (medium), 30 and 600 (hard).

    A policy has to know what it pulled: the observation does not tell, so give it its previous action. Neither ceiling
    is known. Above the optimum lies the best arm from the first step on, (K − 1)/(K + 1) on average: 0.818, 0.905,
    0.935. Without memory one fixed arm scores 0, but policies that draw their arms can score more: to stay after a win
    and draw uniformly after a loss comes to about 0.09.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    @property
    def name(self) -> str:
        """`bandit`."""
        return "bandit"

    @property
    def arms(self) -> int:
        """K."""
        return LEVELS[self.difficulty][0]

    @property
    def default_params(self) -> AnswerParams:
        """An arm that always pays is worth 1."""
        return AnswerParams(scale=1.0 / self.max_episode_steps)

    @property
    def observation_space(self) -> Box:
        """Lost or paid, one-hot."""
        return Box(0.0, 1.0, (2,))

    @property
    def action_space(self) -> Discrete:
        """An arm."""
        return Discrete(self.arms)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What the last pull did."""
        return ("lost", "paid")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The arms."""
        return tuple(f"arm {i}" for i in range(self.arms))

    def reset_env(self, key: PRNGKeyArray, params: AnswerParams) -> tuple[Float[Array, " 2"], BanditState]:
        """Arms drawn anew."""
        del params
        chances = jax.random.uniform(key, (self.arms,), jnp.float32)
        return self._observation(jnp.zeros((), bool)), BanditState(chances, jnp.zeros((), jnp.int32))

    def step_env(
        self, key: PRNGKeyArray, state: BanditState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " 2"], BanditState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One pull, which pays where a uniform number drawn by `key` lies below the arm's probability."""
        paid = jax.random.uniform(key, (), jnp.float32) < state.chances[action]
        reward = jnp.where(paid, params.scale, -params.scale).astype(jnp.float32)
        return self._observation(paid), state._replace(time=state.time + 1), reward, jnp.zeros((), bool), {}

    def _observation(self, paid: Bool[Array, ""]) -> Float[Array, " 2"]:
        return jax.nn.one_hot(paid.astype(jnp.int32), 2, dtype=jnp.float32)

    def is_truncated(self, state: BanditState, params: AnswerParams) -> Bool[Array, ""]:
        """After T steps."""
        del params
        return state.time >= self.max_episode_steps

    def hidden_state(self, state: BanditState) -> Float[Array, " arms"]:
        """The probability of each arm."""
        return state.chances

    @property
    def max_episode_steps(self) -> int:
        """T."""
        return LEVELS[self.difficulty][1]
