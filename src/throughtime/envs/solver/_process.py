"""A finite POMDP laid out for backups at beliefs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from throughtime.core import ConfigError
from throughtime.envs.base import Tables


class Successors(NamedTuple):
    """Where each action and observation leads from one belief."""

    reward: Float[np.ndarray, " A"]  # expected
    probability: Float[np.ndarray, "A O"]  # of going on, with that observation
    belief: Float[np.ndarray, "A O S"]  # after it; zeros where the probability is zero


class Process:
    """S states, A actions, O observations, and the discount γ < 1.

    Args:
        tables: the POMDP.
        discount: γ.

    Raises:
        ConfigError: a discount of 1 or more.
    """

    def __init__(self, tables: Tables, discount: float):
        if not 0.0 <= discount < 1.0:
            raise ConfigError(
                f"discount = {discount} gives no bounds.",
                "Returns of endless episodes are finite only below 1.",
                "Give a discount below 1.",
            )
        self.discount = discount
        self.reward = np.ascontiguousarray(tables.reward.T)  # [A, S]
        goes_on = ~tables.terminal.T  # [A, S]
        # P(s' | s, a) where the episode goes on, else zero.
        self.transition = np.ascontiguousarray(tables.transition.transpose(1, 0, 2) * goes_on[:, :, None])  # [A, S, S']
        self.observation = np.ascontiguousarray(tables.observation.transpose(0, 2, 1))  # [A, O, S']
        joint = tables.initial[:, None] * tables.first_observation  # [S, O]
        seen = joint.sum(axis=0) > 0
        self.start_weight = joint.sum(axis=0)[seen]
        self.start = (joint[:, seen] / self.start_weight).T  # one belief for each first observation

    @property
    def states(self) -> int:
        """S."""
        return self.transition.shape[2]

    @property
    def actions(self) -> int:
        """A."""
        return len(self.reward)

    def successors(self, belief: Float[np.ndarray, " S"]) -> Successors:
        """One step of Bayes' rule, for every action and observation."""
        joint = (belief @ self.transition)[:, None, :] * self.observation  # [A, O, S']
        probability = joint.sum(axis=2)
        safe = np.where(probability > 0, probability, 1.0)
        return Successors(self.reward @ belief, probability, joint / safe[:, :, None])
