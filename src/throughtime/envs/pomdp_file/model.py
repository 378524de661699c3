"""What a .POMDP file says, as arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from throughtime.envs.base import Tables

NOTHING_YET = "nothing yet"


@dataclass(frozen=True, eq=False)
class Model:
    """A finite POMDP as its file defines it (float64): A actions, S states, O observations.

    Args:
        discount: γ, in [0, 1].
        states: their names.
        actions: their names.
        observations: their names.
        initial: the distribution of the first state.
        transition: P(s' | s, a).
        observation: P(o | a, s').
        reward: R(a, s, s', o), costs negated. An axis that the file never tells apart has length 1.
    """

    discount: float
    states: tuple[str, ...]
    actions: tuple[str, ...]
    observations: tuple[str, ...]
    initial: Float[np.ndarray, " S"]
    transition: Float[np.ndarray, "A S S"]
    observation: Float[np.ndarray, "A S O"]
    reward: Float[np.ndarray, "_A _S _T _O"]

    @cached_property
    def expected_reward(self) -> Float[np.ndarray, "A S"]:
        """R(a, s) = Σ_{s', o} P(s' | s, a) P(o | a, s') R(a, s, s', o)."""
        if self.reward.shape[3] == 1:
            after = self.reward[..., 0]  # [A, S, S'], or fewer
        else:
            shape = (*self.transition.shape, self.reward.shape[3])
            after = np.einsum("asto,ato->ast", np.broadcast_to(self.reward, shape), self.observation)
        return np.sum(self.transition * after, axis=2)

    @cached_property
    def terminal(self) -> Bool[np.ndarray, "S A"]:
        """Whether the episode terminates with action a in state s: all that follows earns nothing, for ever.

        States that no action leaves and that earn nothing are the end of an episode, written as the format has to
        write it. So is the largest set of such states. A step that surely leads into the set is the last one.
        """
        nothing = np.broadcast_to(self.reward == 0, (*self.transition.shape, self.reward.shape[3])).all(axis=3)
        # [S]: whatever is done, and wherever it leads, the reward is zero.
        over = np.all((self.transition == 0) | nothing, axis=(0, 2))
        while True:
            inside = self.transition[..., over].sum(axis=2) > 1 - 1e-12  # [A, S], every successor lies in the set
            shrunk = over & inside.all(axis=0)
            if (shrunk == over).all():
                return inside.T
            over = shrunk

    def tables(self) -> Tables:
        """The POMDP as solvers and probes read it: one more observation, "nothing yet", which is the first one."""
        A, S, O = self.observation.shape  # noqa: E741
        first = np.zeros((S, O + 1))
        first[:, 0] = 1.0
        return Tables(
            initial=self.initial,
            transition=self.transition.transpose(1, 0, 2),
            observation=np.concatenate([np.zeros((A, S, 1)), self.observation], axis=2),
            reward=self.expected_reward.T,
            terminal=self.terminal,
            first_observation=first,
            observations=np.eye(O + 1),
        )
