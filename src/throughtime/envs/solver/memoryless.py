"""How good can a policy without memory be? Bounds over all that see only the present observation, by branch and bound.

A memoryless policy gives each observation a distribution over actions, the same at all times. Finding the best one is
NP-hard (Littman 1994, "Memoryless policies: theoretical limitations and practical results"), and it may have to be
random (Singh, Jaakkola & Jordan 1994). Branch and bound: the set of policies is cut into boxes of probabilities. In a
box, an agent that also sees the state and may choose within the box by it does at least as well as any policy of the
box: that is an MDP, and its value bounds the box from above. Boxes that cannot hold the best are dropped.
"""

import heapq
import itertools
import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from throughtime.envs.base import Tables
from throughtime.envs.solver._process import Process
from throughtime.envs.solver.bounds import Bounds

GAP = 1e-2
SECONDS = 10.0
STEPS = np.linspace(0.0, 1.0, 11)


class _Relaxed(NamedTuple):
    """The best agent of a box that sees the state: its value, and what it does on average at each observation."""

    value: float
    policy: Float[np.ndarray, "O A"]
    spread: Float[np.ndarray, "O A"]  # how much the states behind an observation disagree, weighted by their visits


def solve_memoryless(
    tables: Tables, discount: float, *, gap: float = GAP, seconds: float = SECONDS, upper: float = np.inf
) -> Bounds:
    """Bounds of the best discounted return of a policy that sees only the present observation.

    Args:
        tables: the POMDP; a time limit is no part of it.
        discount: γ, below 1.
        gap: what is enough, as `Bounds.gap`.
        seconds: after which it stops, whatever the gap.
        upper: a bound that is known already, such as that of policies with memory.

    Raises:
        ConfigError: a discount of 1 or more.
    """
    began = time.perf_counter()
    pairs = _Pairs(tables, discount)
    O, A = pairs.observations, pairs.actions  # noqa: E741
    candidates = [np.full((O, A), 1 / A), *(np.tile(row, (O, 1)) for row in np.eye(A))]
    best = max(map(pairs.value, candidates))
    root = pairs.relax(np.zeros((O, A)), np.ones((O, A)))
    order = itertools.count()
    boxes = [(-min(root.value, upper), next(order), np.zeros((O, A)), np.ones((O, A)), root)]
    while boxes:
        bound = -boxes[0][0]
        found = Bounds(best, max(best, bound), time.perf_counter() - began, pairs.largest_reward)
        if found.gap <= gap or found.seconds > seconds:
            return found
        _, _, low, high, relaxed = heapq.heappop(boxes)
        if pairs.value(relaxed.policy) > best - 0.05 * abs(best):
            best = max(best, pairs.climb(relaxed.policy, began + seconds))
        for child in _halves(low, high, relaxed):
            inner = pairs.relax(*child)
            if inner.value > best:
                heapq.heappush(boxes, (-min(inner.value, bound), next(order), *child, inner))
    return Bounds(best, best, time.perf_counter() - began, pairs.largest_reward)


def _halves(low: np.ndarray, high: np.ndarray, relaxed: _Relaxed) -> list[tuple[np.ndarray, np.ndarray]]:
    """A box cut in two along the probability about which the states disagree most."""
    o, a = np.unravel_index(np.argmax(np.where(high > low, relaxed.spread, -1.0)), low.shape)
    width = high[o, a] - low[o, a]
    cut = np.clip(relaxed.policy[o, a], low[o, a] + 0.1 * width, high[o, a] - 0.1 * width)
    halves = []
    for side in (0, 1):
        l, h = low.copy(), high.copy()  # noqa: E741
        if side == 0:
            h[o, a] = cut
        else:
            l[o, a] = cut
        # Probabilities sum to one, which narrows the others.
        h[o] = np.minimum(h[o], 1 - (l[o].sum() - l[o]))
        l[o] = np.maximum(l[o], 1 - (h[o].sum() - h[o]))
        if (l[o] <= h[o] + 1e-12).all() and l[o].sum() <= 1 + 1e-12 and h[o].sum() >= 1 - 1e-12:
            halves.append((l, np.maximum(l, h)))
    return halves


class _Pairs:
    """The Markov chain of (state, present observation): X pairs that can occur."""

    def __init__(self, tables: Tables, discount: float):
        process = Process(tables, discount)
        O = tables.first_observation.shape[1]  # noqa: E741
        self.observations, self.actions, self.discount = O, process.actions, discount
        seen = (tables.first_observation * tables.initial[:, None] > 0) | (
            (process.transition.sum(axis=1)[:, :, None] > 0) * (tables.observation > 0)
        ).any(axis=0)
        s, self.of = np.nonzero(seen)  # [X], the observation of each pair
        self.start = (tables.initial[:, None] * tables.first_observation)[s, self.of]
        self.reward = tables.reward[s]  # [X, A]
        self.largest_reward = float(np.abs(self.reward).max())
        # P(x' | x, a) = P(s' | s, a) P(o' | a, s')
        self.transition = process.transition[:, s][:, :, s] * tables.observation[:, s, self.of][:, None]  # [A, X, X']

    def value(self, policy: Float[np.ndarray, "O A"]) -> float:
        """The return of a memoryless policy."""
        return float(self.start @ self._values(policy[self.of]))

    def _values(self, policy: Float[np.ndarray, "X A"]) -> Float[np.ndarray, " X"]:
        step = np.einsum("xa,axy->xy", policy, self.transition)
        return np.linalg.solve(np.eye(len(self.of)) - self.discount * step, (policy * self.reward).sum(axis=1))

    def relax(self, low: Float[np.ndarray, "O A"], high: Float[np.ndarray, "O A"]) -> _Relaxed:
        """The MDP of a box, by policy iteration; its value is taken where no choice improves it any more."""
        l, h = low[self.of], high[self.of]  # noqa: E741
        policy = _fill(self.reward, l, h)
        while True:  # policies are finitely many, up to ties, and each is better than the last
            values = self._values(policy)
            q = self.reward + self.discount * (self.transition @ values).T  # [X, A]
            better = _fill(q, l, h)
            excess = ((better - policy) * q).sum(axis=1)
            if excess.max() <= 1e-9 * max(1.0, np.abs(values).max()):
                break
            policy = np.where((excess > 0)[:, None], better, policy)
        # What is left to be gained is at most this, for ever.
        slack = max(float(excess.max()), 0.0) / (1 - self.discount)
        step = np.einsum("xa,axy->xy", policy, self.transition)
        visits = np.linalg.solve((np.eye(len(self.of)) - self.discount * step).T, self.start)
        mean, weight = np.zeros_like(low), np.zeros(len(low))
        np.add.at(mean, self.of, visits[:, None] * policy)
        np.add.at(weight, self.of, visits)
        mean = np.where(weight[:, None] > 1e-12, mean / np.maximum(weight, 1e-12)[:, None], (low + high) / 2)
        mean /= mean.sum(axis=1, keepdims=True)
        spread = np.zeros_like(low)
        np.add.at(spread, self.of, visits[:, None] * np.abs(policy - mean[self.of]))
        return _Relaxed(float(self.start @ values) + slack, mean, spread)

    def climb(self, policy: Float[np.ndarray, "O A"], deadline: float) -> float:
        """What becomes of a policy when one observation's distribution at a time moves, as long as that helps."""
        best, improved = self.value(policy), True
        while improved and time.perf_counter() < deadline:
            improved = False
            for o, a in np.ndindex(*policy.shape):
                candidate = policy.copy()
                vertex = np.eye(self.actions)[a]
                for step in STEPS[1:]:
                    candidate[o] = (1 - step) * policy[o] + step * vertex
                    value = self.value(candidate)
                    if value > best + 1e-9 * max(1.0, abs(best)):
                        best, policy, improved = value, candidate.copy(), True
        return best


def _fill(
    q: Float[np.ndarray, "X A"], low: Float[np.ndarray, "X A"], high: Float[np.ndarray, "X A"]
) -> Float[np.ndarray, "X A"]:
    """The distributions within a box that maximise Σ_a π(a) q(a): the least to each, the rest to the best."""
    order: Int[np.ndarray, "X A"] = np.argsort(-q, axis=1)
    room = np.take_along_axis(high - low, order, axis=1)
    left = 1 - low.sum(axis=1, keepdims=True)
    before = np.cumsum(room, axis=1) - room
    given = np.clip(left - before, 0.0, room)
    extra = np.zeros_like(q)
    np.put_along_axis(extra, order, given, axis=1)
    return low + extra
