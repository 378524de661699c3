"""A lower bound of the optimal value: the best of a set of policies, each with its exact value in every state."""

import numpy as np
from jaxtyping import Float, Int

from throughtime.envs.solver._process import Process


class LowerBound:
    """The upper surface of α-vectors: V(b) = max_α α·b, each α the value of a policy (a conditional plan).

    It begins with the blind policies, which repeat one action for ever (Hauskrecht 1997), and grows by point-based
    backups (Pineau et al. 2003; Smith & Simmons 2005): the plan that takes one action and goes on, after each
    observation, with the known plan that is best for the belief then.

    Args:
        process: the POMDP.
    """

    def __init__(self, process: Process):
        self.process = process
        eye = np.eye(process.states)
        self.vectors = np.stack(
            [
                np.linalg.solve(eye - process.discount * T, r)
                for T, r in zip(process.transition, process.reward, strict=True)
            ]
        )
        self.actions = np.arange(process.actions)
        self._pruned_at = 2 * len(self.vectors)

    def value(self, beliefs: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch"]:
        """The bound at each belief."""
        return np.asarray((beliefs @ self.vectors.T).max(axis=-1))

    def backup(self, belief: Float[np.ndarray, " S"], successors: Float[np.ndarray, "A O S"]) -> None:
        """Adds the best plan of one more step at a belief, where it is better than those known.

        Args:
            belief: where.
            successors: the beliefs after each action and observation.
        """
        process = self.process
        best = (successors @ self.vectors.T).argmax(axis=-1)  # [A, O]
        after = (process.observation * self.vectors[best]).sum(axis=1)  # [A, S'], Σ_o P(o | a, s') α_{a,o}(s')
        plans = process.reward + process.discount * (process.transition @ after[:, :, None])[:, :, 0]  # [A, S]
        values = plans @ belief
        a = int(values.argmax())
        if values[a] > self.value(belief) + 1e-12 * max(1.0, abs(values[a])):
            self._add(plans[a], a)

    def _add(self, vector: Float[np.ndarray, " S"], action: int) -> None:
        self.vectors = np.concatenate([self.vectors, vector[None]])
        self.actions = np.append(self.actions, action)
        if len(self.vectors) >= self._pruned_at:
            keep = _undominated(self.vectors)
            self.vectors, self.actions = self.vectors[keep], self.actions[keep]
            self._pruned_at = 2 * len(self.vectors)


def _undominated(vectors: Float[np.ndarray, "N S"]) -> Int[np.ndarray, " K"]:
    """Vectors that no other one is at least as large as in every state; of equal ones the first."""
    keep: list[int] = []
    for i in np.argsort(-vectors.sum(axis=1), kind="stable"):  # what dominates has the larger sum
        if not keep or not (vectors[keep] >= vectors[i]).all(axis=1).any():
            keep.append(int(i))
    return np.array(sorted(keep))
