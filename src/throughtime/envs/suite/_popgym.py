"""What the tasks of POPGym have in common: three difficulties."""

from dataclasses import dataclass
from typing import Generic

import jax.numpy as jnp
from jaxtyping import Array, Bool

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.base import Environment, Params, State

DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True)
class PopgymTask(Environment[State, Params], Generic[State, Params]):
    """A task of POPGym, step by step as popgym 1.0.6 has it, oddities included.

    What is the index of one of n things there is one-hot here, and several lie side by side, as Gymnasium's `flatten`
    has it.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    difficulty: str = "easy"

    def __post_init__(self):
        if self.difficulty not in DIFFICULTIES:
            raise ConfigError(
                f"{self.name}: difficulty = {self.difficulty!r} is impossible.",
                f"The published difficulties are {', '.join(DIFFICULTIES)}.",
                f"Set difficulty to one of them. {did_you_mean(self.difficulty, DIFFICULTIES)}",
            )

    def is_truncated(self, state: State, params: Params) -> Bool[Array, ""]:
        """Never, unless a task says otherwise: its end terminates."""
        del state, params
        return jnp.zeros((), bool)
