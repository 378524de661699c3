"""Checks on gradients, for policies that give them."""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case, Held, NotChecked, Outcome
from throughtime.proof.memcheck._meter import FACTOR, FLOOR, Difference
from throughtime.proof.memcheck._probe import UnansweredError, at, has_floats, joined, poisoned

NONE = "the policy has no gradient(state, obs, resets, weights)"


def check_gradient(case: Case) -> None:
    """GRADIENT, and the part of PADDING that concerns gradients."""
    gradient = Gradient.of(case)
    if gradient is None:
        case.findings.append(laws.GRADIENT.not_checked(NONE))
        return
    case.settle(laws.GRADIENT, lambda _: _stops(case, gradient), ["sequence"])
    if any(finding.law is laws.PADDING and finding.status == "held" for finding in case.findings):
        case.settle(laws.PADDING, lambda _: gradient.padding(), ["sequence"])  # the later finding counts


class Gradient:
    """The policy's own gradient of outputs with respect to observations."""

    def __init__(self, case: Case):
        self._case = case

    @classmethod
    def of(cls, case: Case) -> "Gradient | None":
        """None where the policy gives none."""
        return cls(case) if callable(getattr(case.probe.policy, "gradient", None)) else None

    def __call__(self, obs: Any, resets: np.ndarray, weights: list[np.ndarray]) -> list[np.ndarray]:
        """d(sum of weights · outs)/d(obs), leaves `[T, B, ...]`."""
        probe, T, B = self._case.probe, *resets.shape
        given = trees.copied(self._case.fresh()), trees.copied(obs), resets.copy(), probe.weights_like_outs(weights)
        answer = trees.leaves(probe.call("gradient", *given, where=f"{T} steps, batch {B}"))
        wanted = [leaf.value.shape for leaf in trees.leaves(obs)]
        if not all(trees.is_array(leaf.value) for leaf in answer):
            raise UnansweredError(
                f"gradient gave a {type(answer[0].value).__name__}, where an array [T, B, ...] was expected"
            )
        if (shapes := [tuple(leaf.value.shape) for leaf in answer]) != wanted:
            raise UnansweredError(f"gradient gave the shapes {shapes}, where {wanted} were expected")
        return [trees.to_numpy(leaf.value) for leaf in answer]

    def weights(self, T: int, after: int = 0, until: int | None = None) -> list[np.ndarray]:
        """Random weights like the outputs, zero before `after` and from `until` on."""
        rng = np.random.default_rng(2)
        made = []
        for out in self._case.whole("sequence").outs:
            weight = rng.normal(size=(T, *out.shape[1:])).astype(out.dtype if out.dtype.kind == "f" else np.float32)
            weight[:after] = 0
            weight[until if until is not None else T :] = 0
            made.append(weight)
        return made

    def padding(self) -> Outcome:
        """The gradient of a sequence is the same with padding behind it: others, or a reset and NaN."""
        half, B = self._case.half, self._case.B
        obs, other = (at(x, slice(half)) for x in (self._case.obs, self._case.other))
        paddings = [other, poisoned(other)] if has_floats(other) else [other]
        none = np.zeros((half, B), bool)
        weights = self.weights(half)
        alone = self(obs, none, weights)
        if not all(np.isfinite(g).all() for g in alone):
            return Held("the gradient is not finite, and was not compared")
        limits = self._limits(obs, none, weights, alone)
        padded = [np.concatenate([w, np.zeros_like(w)]) for w in weights]
        for padding in paddings:
            is_nan = any(np.isnan(leaf.value).any() for leaf in trees.leaves(padding) if trees.floating(leaf.value))
            for law in (laws.NAN, laws.GRADIENT):
                if is_nan and self._case.is_broken(law):
                    return Held(f"the gradient with NaN behind the end depends on {law.id}, which is broken")
            resets = np.concatenate([none, np.full_like(none, is_nan)])
            for i, (a, b) in enumerate(zip(alone, self(joined(obs, padding), resets, padded), strict=True)):
                gap = np.abs(a - b[:half])
                beyond = ~(gap <= limits[i])
                if beyond.any():
                    place = tuple(map(int, np.argwhere(beyond)[0]))
                    behind = "NaN" if is_nan else "observations"
                    where = f"gradient at step {place[0]}, row {place[1]}, {behind} behind the end"
                    return Difference(f"{a[place]:.6g}", f"{b[place]:.6g}", where)
        return None

    def _limits(
        self, obs: Any, resets: np.ndarray, weights: list[np.ndarray], gradient: list[np.ndarray]
    ) -> list[float]:
        """How far rounding moves the gradient: of its largest element, and measured by nudging the observations."""
        rng, unit = np.random.default_rng(3), max(self._case.meter.resolution, 2.0**-24)

        def nudge(x: np.ndarray) -> np.ndarray:
            return (x * (1 + 2 * unit * rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype) if x.dtype.kind == "f" else x

        limits = [FLOOR * unit * float(np.max(np.abs(g), initial=0.0)) for g in gradient]
        for _ in range(2):
            nudged = self(trees.map_leaves(nudge, obs), resets, weights)
            moved = [float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(gradient, nudged, strict=True)]
            limits = [max(limit, FACTOR * m) for limit, m in zip(limits, moved, strict=True)]
        return limits


def _stops(case: Case, gradient: Gradient) -> Outcome:
    """Weights after a reset of the even rows: the gradient before it is zero there, and somewhere not in the others."""
    half = case.half
    rows = np.arange(case.B) % 2 == 0
    found = gradient(case.obs, case.resets([half], rows=rows), gradient.weights(case.T, after=half))
    if not all(np.isfinite(g).all() for g in found):
        return NotChecked("the gradient is not finite")
    if not any(np.any(g[half:]) for g in found):
        return NotChecked("the gradient is zero everywhere, after the reset too")
    for g in found:
        across = g[:half, rows]
        if np.any(across):
            place = np.unravel_index(int(np.argmax(np.abs(across))), across.shape)
            where = f"step {place[0]}, row {np.flatnonzero(rows)[place[1]]}, of outputs after the reset at step {half}"
            return Difference("0", f"{across[place]:.6g}", where)
    if not any(np.any(g[:half, ~rows]) for g in found):
        return Held("without a reset no gradient flows back either")
    return None
