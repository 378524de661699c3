"""An upper bound of the optimal value: what an agent would reach that is told more than it is, tightened at beliefs."""

import numpy as np
from jaxtyping import Float

from throughtime.envs.solver._process import Process

SWEEPS = 10_000


class UpperBound:
    """The smaller of the fast informed bound and a sawtooth through beliefs whose bound is known.

    The fast informed bound (Hauskrecht 2000) is the value of an agent that is told the state one step late; it is
    at most that of the underlying MDP (QMDP). The sawtooth (Hauskrecht 2000; Smith & Simmons 2005) interpolates:
    V is convex, so V(b) ≤ Σ_s b(s) v(s) + min_i c_i (v_i − Σ_s b_i(s) v(s)) with c_i = min_{s: b_i(s) > 0} b(s)/b_i(s).

    Args:
        process: the POMDP.
    """

    def __init__(self, process: Process):
        self.process = process
        self.informed = _fast_informed(process)  # [A, S]
        self.corners = self.informed.max(axis=0)  # [S], the values of knowing the state
        self._points = np.zeros((0, process.states))
        self._inverse = np.zeros((0, process.states))  # 1 / points, NaN where a point has no mass
        self._drops = np.zeros(0)  # how far below the corners' plane each point's value lies, ≤ 0
        self._pruned_at = 64

    def value(self, beliefs: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch"]:
        """The bound at each belief."""
        rows = beliefs.reshape(-1, beliefs.shape[-1])
        bound = (rows @ self.informed.T).max(axis=1)
        if len(self._drops):
            ratio = np.fmin.reduce(rows[:, None, :] * self._inverse, axis=2)  # [N, points]; passes over NaN
            bound = np.minimum(bound, rows @ self.corners + (ratio * self._drops).min(axis=1))
        return bound.reshape(beliefs.shape[:-1])

    def add(self, belief: Float[np.ndarray, " S"], value: float) -> None:
        """Makes known that the optimum at a belief is at most `value`; no use is made of it where that is no news."""
        if value >= self.value(belief):
            return
        self._set(np.vstack([self._points, belief]), np.append(self._drops, value - belief @ self.corners))
        if len(self._drops) >= self._pruned_at:
            self._prune()
            self._pruned_at = max(64, 2 * len(self._drops))

    def _set(self, points: Float[np.ndarray, "N S"], drops: Float[np.ndarray, " N"]) -> None:
        self._points, self._drops = points, drops
        self._inverse = np.divide(1.0, points, out=np.full_like(points, np.nan), where=points > 0)

    def _prune(self) -> None:
        """Drops points that the others bound as well, the oldest first."""
        points, drops = self._points, self._drops
        keep = np.ones(len(drops), bool)
        for i, point in enumerate(points):
            keep[i] = False
            self._set(points[keep], drops[keep])
            keep[i] = self.value(point) > point @ self.corners + drops[i] + 1e-12
        self._set(points[keep], drops[keep])


def _fast_informed(process: Process) -> Float[np.ndarray, "A S"]:
    """Q(s, a) = R(s, a) + γ Σ_o max_a' Σ_s' P(s' | s, a) P(o | a, s') Q(s', a'), from above: each sweep is a bound."""
    S, γ = process.states, process.discount
    q = np.full((process.actions, S), max(0.0, process.reward.max()) / (1 - γ))
    for _ in range(SWEEPS):
        new = np.empty_like(q)
        for a in range(process.actions):
            informed = [(process.transition[a] * o) @ q.T for o in process.observation[a]]  # [S, A'] each
            new[a] = process.reward[a] + γ * sum(x.max(axis=1) for x in informed)
        change, q = np.abs(new - q).max(), new
        if change <= 1e-10 * max(1.0, np.abs(q).max()):
            break
    return q
