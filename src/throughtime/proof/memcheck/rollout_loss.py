"""Laws of the loss on sequences: no gradient through burn-in, and padding that is no experience."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from throughtime.proof.memcheck import rollout_laws as laws
from throughtime.proof.memcheck.law import Finding
from throughtime.proof.memcheck.rollout import Sequences
from throughtime.proof.memcheck.rollout_arrays import PER_STEP, MissingError, leaves, need

Loss = Callable[[Sequences], Any]


def burn_in(sequences: Sequences | None) -> Finding:
    """The observations of the burn-in steps have a gradient of exactly zero, those after it have not."""
    if sequences is None or not sequences.burn_in:
        raise MissingError("needs sequences with burn_in")
    need(sequences, "observation_gradients")
    k = sequences.burn_in
    size = sum(np.abs(a).sum(axis=tuple(range(2, a.ndim))) for a in leaves(sequences.observation_gradients))
    size = np.asarray(size)
    if not size[k:].any():
        raise MissingError("the gradient after burn-in is zero everywhere, so that it says nothing about burn-in")
    if not size[:k].any():
        return laws.BURN_IN.held(f"{k} steps")
    i, n = np.argwhere(size[:k] != 0)[0]
    return laws.BURN_IN.broken("0", f"a gradient of {size[i, n]:.3g}", f"sequence {n}, burn-in step {i}")


def padding(sequences: Sequences | None, loss: Loss | None, tolerance: float) -> Finding:
    """Other contents of the padding, and more of it, leave the loss as it is."""
    plain, sequences, loss = _losses(sequences, loss)
    rng = np.random.default_rng(0)
    contents = _fill(sequences, lambda a: _like(rng, a))
    for name, other in (("other contents of the padding", contents), ("two more padded steps", _append(sequences, 2))):
        got = _call(loss, other)
        if _differ(plain, got, tolerance):
            return laws.PADDING.broken(f"{_say(plain)}, as without", _say(got), f"with {name}")
    return laws.PADDING.held(f"{int((~_mask(sequences)).sum())} padded steps changed, two steps added")


def nan_padding(sequences: Sequences | None, loss: Loss | None, tolerance: float) -> Finding:
    """NaN in the padding leaves the loss as it is."""
    plain, sequences, loss = _losses(sequences, loss)
    got = _call(loss, _fill(sequences, lambda a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a))
    if _differ(plain, got, tolerance):
        return laws.NAN_PADDING.broken(_say(plain), _say(got), "with NaN in the padding")
    return laws.NAN_PADDING.held()


def _losses(sequences: Sequences | None, loss: Loss | None) -> tuple[Any, Sequences, Loss]:
    if sequences is None or loss is None:
        raise MissingError("needs loss and sequences with a mask")
    need(sequences, "mask")
    if _mask(sequences).all():
        sequences = _append(sequences, 3)
    plain = _call(loss, sequences)
    if not all(np.isfinite(a).all() for a in leaves(plain)):
        raise MissingError("the loss is not finite as given")
    return plain, sequences, loss


def _mask(sequences: Sequences) -> np.ndarray:
    return np.asarray(sequences.mask)


def _call(loss: Loss, sequences: Sequences) -> Any:
    try:
        return jax.tree.map(lambda a: np.asarray(a, np.float64), loss(sequences))
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise MissingError(f"loss raised {type(error).__name__}: {said}") from None


def _fill(sequences: Sequences, filler: Callable[[np.ndarray], np.ndarray]) -> Sequences:
    """The sequences with their padding replaced."""
    padded = ~_mask(sequences)

    def one(a: np.ndarray) -> np.ndarray:
        return np.where(padded.reshape(padded.shape + (1,) * (a.ndim - 2)), filler(a), a)

    return _change(sequences, one)


def _append(sequences: Sequences, steps: int) -> Sequences:
    """The sequences with more padded steps at their ends: each array's own first steps once more."""

    def one(a: np.ndarray) -> np.ndarray:
        return np.concatenate([a, np.repeat(a[:1], steps, axis=0)])

    more = np.zeros((steps, *_mask(sequences).shape[1:]), bool)
    resets = None if sequences.resets is None else np.concatenate([sequences.resets, more])
    return replace(_change(sequences, one), mask=np.concatenate([_mask(sequences), more]), resets=resets)


def _change(sequences: Sequences, one: Callable[[np.ndarray], np.ndarray]) -> Sequences:
    changed = {name: jax.tree.map(one, getattr(sequences, name)) for name in ("observations", *PER_STEP)}
    return replace(sequences, **changed)


def _like(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    """Other numbers of the kind; whole numbers are drawn from those that occur, so that they stay possible."""
    if a.dtype.kind == "f":
        return (rng.normal(size=a.shape) * (1.0 + np.nanstd(a)) + 1.0).astype(a.dtype)
    return rng.permutation(a.ravel()).reshape(a.shape)


def _differ(a: Any, b: Any, tolerance: float) -> bool:
    scale = max((float(np.abs(x).max(initial=0.0)) for x in leaves(a)), default=0.0)
    bound = tolerance * max(1e-3, scale)
    return any(not np.all(np.abs(x - y) <= bound) for x, y in zip(leaves(a), leaves(b), strict=True))


def _say(loss: Any) -> str:
    first = leaves(loss)[0]
    return f"a loss of {float(first):.6g}" if first.ndim == 0 else f"a first array of norm {np.linalg.norm(first):.6g}"
