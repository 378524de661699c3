"""How good can a policy with memory be? Bounds of a finite POMDP's optimal value, tightened until they meet.

Heuristic search value iteration (T. Smith & R. Simmons 2005, "Point-based POMDP algorithms: improved analysis and
implementation"): from the start, walk along the action that looks best from above and the observation whose belief
is least certain, and back up both bounds on the way home. At every moment lower ≤ optimum ≤ upper.

Not for large problems: tables are dense, so a hundred states are easy and ten thousand hopeless.
"""

import time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from throughtime.envs.base import Tables
from throughtime.envs.solver._process import Process, Successors
from throughtime.envs.solver.lower import LowerBound
from throughtime.envs.solver.upper import UpperBound

GAP = 1e-4
SECONDS = 10.0
AIM = 0.5
DEPTH = 1_000  # steps of one walk, at most


class Bounds(NamedTuple):
    """What the best policy with memory returns from the start lies between them."""

    lower: float  # reached by a policy that the solver knows
    upper: float
    seconds: float
    reward: float  # the largest reward of one step, without its sign

    @property
    def gap(self) -> float:
        """What is not known, as a share of the value, or of a hundredth of the largest reward where that is more."""
        return (self.upper - self.lower) / max(abs(self.lower), abs(self.upper), 0.01 * self.reward, 1e-9)

    @property
    def closed(self) -> bool:
        """Whether they are within one percent of each other."""
        return self.gap <= 0.01


def solve(tables: Tables, discount: float, *, gap: float = GAP, seconds: float = SECONDS) -> Bounds:
    """Bounds of the optimal discounted return from the start of an episode.

    Args:
        tables: the POMDP; a time limit is no part of it.
        discount: γ, below 1.
        gap: what is enough, as `Bounds.gap`.
        seconds: after which it stops, whatever the gap.

    Raises:
        ConfigError: a discount of 1 or more.
    """
    began = time.perf_counter()
    process = Process(tables, discount)
    search, reward = _Search(process), float(np.abs(process.reward).max())
    while True:
        lower, upper = search.at_start()
        spent = time.perf_counter() - began
        bounds = Bounds(lower, max(upper, lower), spent, reward)  # rounding may leave the upper one a last digit below
        if bounds.gap <= gap or spent >= seconds:
            return bounds
        # Each walk aims at a good part of the present gap only: one that aims at the last digits at once goes astray.
        search.walk(AIM * (upper - lower), began + seconds)


class _Search:
    def __init__(self, process: Process):
        self.process = process
        self.lower, self.upper = LowerBound(process), UpperBound(process)

    def at_start(self) -> tuple[float, float]:
        """Both bounds, over the first observations."""
        weight, start = self.process.start_weight, self.process.start
        return float(weight @ self.lower.value(start)), float(weight @ self.upper.value(start))

    def walk(self, width: float, deadline: float) -> None:
        """From the least certain first belief to one where the gap, discounted, is within `width`; and back."""
        gaps = self.process.start_weight * (self.upper.value(self.process.start) - self.lower.value(self.process.start))
        belief = self.process.start[int(gaps.argmax())]
        allowed, path = width, []
        for _ in range(DEPTH):
            allowed /= max(self.process.discount, 1e-9)
            after = self.process.successors(belief)
            path.append((belief, after))
            a = int(self._upper_q(after).argmax())
            excess = after.probability[a] * (
                self.upper.value(after.belief[a]) - self.lower.value(after.belief[a]) - allowed
            )
            o = int(excess.argmax())
            if excess[o] <= 0 or time.perf_counter() > deadline:
                break
            belief = after.belief[a, o]
        for belief, after in reversed(path):
            self.lower.backup(belief, after.belief)
            self.upper.add(belief, float(self._upper_q(after).max()))
            if time.perf_counter() > deadline:
                break

    def _upper_q(self, after: Successors) -> Float[np.ndarray, " A"]:
        value = np.zeros_like(after.probability)  # [A, O]
        possible = after.probability > 0
        value[possible] = self.upper.value(after.belief[possible])
        return after.reward + self.process.discount * (after.probability * value).sum(axis=1)
