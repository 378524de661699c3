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
        self._points = np.zeros((64, process.states))
        self._drops = np.zeros(64)  # how far below the corners' plane each point's value lies, ≤ 0
        self._count = 0

    def value(self, beliefs: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch"]:
        """The bound at each belief."""
        rows = beliefs.reshape(-1, beliefs.shape[-1])
        bound = (rows @ self.informed.T).max(axis=1)
        if self._count:
            points = self._points[: self._count]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(points > 0, rows[:, None, :] / points, np.inf).min(axis=2)  # [N, points]
            bound = np.minimum(bound, rows @ self.corners + (ratio * self._drops[: self._count]).min(axis=1))
        return bound.reshape(beliefs.shape[:-1])

    def add(self, belief: Float[np.ndarray, " S"], value: float) -> None:
        """Makes known that the optimum at a belief is at most `value`; no use is made of it where that is no news."""
        if value >= self.value(belief):
            return
        if self._count == len(self._drops):
            self._prune()
        if self._count == len(self._drops):
            self._points = np.concatenate([self._points, np.zeros_like(self._points)])
            self._drops = np.concatenate([self._drops, np.zeros_like(self._drops)])
        self._points[self._count] = belief
        self._drops[self._count] = value - belief @ self.corners
        self._count += 1

    def _prune(self) -> None:
        """Drops points that the others already bound as well."""
        i = 0
        while i < self._count:
            point, drop = self._points[i].copy(), self._drops[i]
            last = self._count - 1
            self._points[[i, last]], self._drops[[i, last]] = self._points[[last, i]], self._drops[[last, i]]
            self._count = last
            if self.value(point) > point @ self.corners + drop + 1e-12:
                self._count = last + 1  # needed: it stays, at the end
                self._points[[i, last]], self._drops[[i, last]] = self._points[[last, i]], self._drops[[last, i]]
                i += 1


def _fast_informed(process: Process) -> Float[np.ndarray, "A S"]:
    """Q(s, a) = R(s, a) + γ Σ_o max_a' Σ_s' P(s' | s, a) P(o | a, s') Q(s', a'), from above: each sweep is a bound."""
    S, γ = process.states, process.discount  # noqa: N806
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
