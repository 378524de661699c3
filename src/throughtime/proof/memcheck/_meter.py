"""Tells a difference from rounding, by measuring how much rounding does in this very policy.

Two ways of computing the same thing (one call for a sequence, a call for each step; a batch, its rows alone) round
differently, and a policy with large weights amplifies that from step to step. So each step of a run is disturbed by
about one unit in the last place, of its state and its observation, and the outputs are compared with the undisturbed
run: what rounding can do at step t. A difference counts when it is well beyond that.
"""

from typing import Any, NamedTuple

import numpy as np

from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck._probe import Path, Probe, Run, at

DRAWS = 3
FACTOR = 50.0  # times what the disturbance did
FLOOR = 64.0  # times the unit in the last place of the largest output


class Difference(NamedTuple):
    """The first place where two runs differ by more than rounding explains."""

    expected: str
    got: str
    where: str

    def on(self, path: str) -> "Difference":
        """With the name of the function that it was seen in."""
        return self._replace(where=f"{path}, {self.where}")

    def against(self, what: str) -> "Difference":
        """Says what the expected number comes from."""
        return self._replace(expected=f"{self.expected}, {what}")


class Meter:
    """The measure of one policy.

    Args:
        probe: the policy.
        path: how to run it for the measurement.
        state: fresh, of B rows.
        obs: `[T, B, ...]`.
        whole: the undisturbed run of the same.
        rng: of the disturbances.
    """

    def __init__(self, probe: Probe, path: Path, state: Any, obs: Any, whole: Run, rng: np.random.Generator):
        self._names = probe.leaf_names
        self.resolution = max(
            [r for r in probe.resolutions if r]
            + [trees.resolution(leaf.value) for leaf in trees.leaves(state) if trees.floating(leaf.value)],
            default=2.0**-24,
        )
        self._scales = [_largest(out) for out in whole.outs]
        base = probe.settings.tolerance
        self._base = FLOOR * self.resolution if base is None else base
        noise = [np.zeros(len(out)) for out in whole.outs]
        for _ in range(DRAWS):
            disturbed = self._disturbed(probe, path, state, obs, rng)
            for n, a, b in zip(noise, whole.outs, disturbed, strict=True):
                gap = _gap(a, b).reshape(len(a), -1).max(axis=1, initial=0.0)
                np.maximum(n, np.maximum.accumulate(gap), out=n)
        self.noise = noise

    def tolerances(self, leaf: int, steps: int, since: int) -> np.ndarray:
        """`[steps]`: what counts as equal in a leaf, `since` steps after a fresh start."""
        index = np.minimum(np.arange(steps) + since, len(self.noise[leaf]) - 1)
        whole_numbers = self._base * self._scales[leaf]
        return whole_numbers + FACTOR * self.noise[leaf][index]

    def difference(
        self, expected: list[np.ndarray], got: list[np.ndarray], *, since: int = 0, step: int = 0, rows: Any = None
    ) -> Difference | None:
        """The first difference beyond rounding, or None.

        Args:
            expected: leaves `[T, B, ...]`.
            got: leaves of the same shapes.
            since: steps from a fresh start to the first of these: rounding grows with them.
            step: the number of the first step in messages.
            rows: the numbers of the rows in messages; 0 … B−1 where None.
        """
        first: tuple[int, int, int] | None = None
        for i, (a, b) in enumerate(zip(expected, got, strict=True)):
            T, B = a.shape[:2]
            gap = _gap(a, b).reshape(T, B, -1).max(axis=2, initial=0.0)
            beyond = gap > self.tolerances(i, T, since)[:, None]
            if beyond.any():
                t, b_ = map(int, np.argwhere(beyond)[0])
                if first is None or t < first[0]:
                    first = (t, b_, i)
        if first is None:
            return None
        t, row, i = first
        a, b = expected[i][t, row].ravel(), got[i][t, row].ravel()
        gap = _gap(a, b)
        j = int(np.argmax(gap))
        name = f", output {self._names[i]!r}" if self._names[i] else ""
        element = f"[{j}]" if gap.size > 1 else ""
        limit = self.tolerances(i, t + 1, since)[t]
        return Difference(
            f"{a[j]:.6g}",
            f"{b[j]:.6g}" if np.isnan(b[j]) else f"{b[j]:.6g} (off by {gap[j]:.2g}, rounding explains {limit:.1g})",
            f"step {step + t}, row {row if rows is None else rows[row]}{name}{element}",
        )

    def _disturbed(self, probe: Probe, path: Path, state: Any, obs: Any, rng: np.random.Generator) -> list[np.ndarray]:
        obs = trees.map_leaves(lambda x: self._nudge_observation(x, rng), obs)
        if path == "sequence":
            return probe.run(path, trees.map_leaves(lambda x: self._nudge(x, rng), state), obs).outs
        T, B = trees.leaves(obs)[0].value.shape[:2]
        steps = []
        for t in range(T):
            state = trees.map_leaves(lambda x: self._nudge(x, rng), state)
            state, out = probe.one_step(state, at(obs, t), np.zeros(B, bool))
            steps.append(out)
        return [np.stack(leaf) for leaf in zip(*steps, strict=True)]

    def _nudge_observation(self, leaf: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """By a unit in the last place; not where the policy computes more finely than its observations are."""
        coarse = trees.floating(leaf) and self.resolution >= trees.resolution(leaf)
        return self._nudge(leaf, rng) if coarse else leaf

    def _nudge(self, leaf: Any, rng: np.random.Generator) -> Any:
        if not trees.floating(leaf):
            return leaf
        array = trees.to_numpy(leaf)
        unit = 2 * max(trees.resolution(leaf), self.resolution)
        size = np.abs(array) + np.sqrt(np.mean(np.abs(array) ** 2)) if array.size else np.abs(array)
        return trees.like(leaf, array + unit * size * rng.choice([-1.0, 1.0], array.shape))


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b|; equal infinities are equal, NaN is equal to NaN and infinitely far from all else."""
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        return np.abs(a.astype(np.float64) - b.astype(np.float64))
    with np.errstate(all="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a.astype(complex) - b.astype(complex)))
    gap = np.where(np.isnan(a) & np.isnan(b), 0.0, gap)
    return np.where(np.isnan(gap), np.inf, gap)


def _largest(out: np.ndarray) -> float:
    """The largest finite size in it; 0 for whole numbers, which have no rounding."""
    if out.dtype.kind in "biu":
        return 0.0
    sizes = np.abs(out)
    return float(np.max(sizes[np.isfinite(sizes)], initial=0.0))
