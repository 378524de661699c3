"""A rollout's arrays in NumPy, checked, and the small functions on nested arrays that its laws share."""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.proof.memcheck.rollout.data import Rollout, Sequences

FLAGS = ("resets", "terminated", "truncated", "mask")
PER_STEP = ("actions", "log_probs", "values", "rewards", "advantages", "returns")  # of rollouts and sequences alike

AS_GIVEN = ("state_steps", "autoreset")  # no arrays


class MissingError(Exception):
    """A law cannot be checked, and why."""


class ShapeFault(NamedTuple):
    """What `rollout/shapes` reports."""

    expected: str
    got: str
    where: str


def arrays_of(rollout: Rollout) -> tuple[Rollout, list[ShapeFault]]:
    """The rollout with NumPy arrays throughout (flags as booleans), and what does not fit."""
    faults: list[ShapeFault] = []
    made = _numpy(rollout, "", faults)
    sequences = None if rollout.sequences is None else _numpy(rollout.sequences, "sequences.", faults)
    if not faults:
        _check_shapes(made, sequences, faults)
    return replace(made, sequences=sequences), faults


def _numpy(part: Any, prefix: str, faults: list[ShapeFault]) -> Any:
    made = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if value is None or isinstance(value, int | float | Sequences) or field.name in AS_GIVEN:
            made[field.name] = value
            continue
        where = prefix + field.name
        try:
            value = jax.tree.map(_array, value, is_leaf=_is_list_of_numbers)
            if field.name in FLAGS:
                value = _flags(value, where, faults)
        except (ValueError, TypeError) as error:
            faults.append(ShapeFault("an array of numbers", str(error).split("\n")[0], where))
        made[field.name] = value
    return type(part)(**made)


def _is_list_of_numbers(value: Any) -> bool:
    """A list that is an array, not a nesting of arrays."""
    return isinstance(value, list) and not any(hasattr(item, "shape") or isinstance(item, dict) for item in value)


def _array(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if array.dtype.kind == "V":
        array = _widened(array)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{type(leaf).__name__} of dtype {array.dtype}")
    return array


def _flags(value: Any, where: str, faults: list[ShapeFault]) -> Any:
    if not isinstance(value, np.ndarray) or not np.isin(value, (0, 1)).all():
        faults.append(ShapeFault("booleans", f"{describe(value)}", where))
        return value
    return value.astype(bool)


def _check_shapes(rollout: Rollout, sequences: Sequences | None, faults: list[ShapeFault]) -> None:
    if rollout.resets.ndim != 2:
        faults.append(ShapeFault("[T, B]", describe(rollout.resets), "resets"))
        return
    T, B = rollout.resets.shape
    steps = rollout.state_steps
    S = T if steps is None else len(steps)
    if steps is not None and (list(steps) != sorted(set(steps)) or any(not 0 <= t < T for t in steps)):
        faults.append(ShapeFault(f"ascending steps within 0 … {T - 1}", f"{list(steps)}", "state_steps"))
    per_step = ("terminated", "truncated", "rewards", "log_probs", "values", "final_values", "advantages")
    exact = dict.fromkeys((*per_step, "returns", "mask"), (T, B)) | {"last_values": (B,)}
    leading = dict.fromkeys(("observations", "actions", "final_observations"), (T, B))
    _expect(rollout, exact, leading | {"states": (S, B), "next_observation": (B,)}, "", faults)
    if sequences is None:
        return
    names = ("observations", "steps", "resets", *PER_STEP)
    lead = next((a.shape[:2] for name in names for a in leaves(getattr(sequences, name))), ())
    if len(lead) != 2:
        faults.append(ShapeFault("[L, N, ...]", str(list(lead)), "sequences"))
        return
    scalars = ("resets", "mask", "steps", "rows", "log_probs", "values", "rewards", "advantages", "returns")
    nests = dict.fromkeys(("observations", "actions", "observation_gradients"), lead) | {"states": lead[1:]}
    _expect(sequences, dict.fromkeys(scalars, lead), nests, "sequences.", faults)


def _expect(part: Any, exact: dict, leading: dict, prefix: str, faults: list[ShapeFault]) -> None:
    for name, shape in exact.items():
        for a in leaves(getattr(part, name)):
            if a.shape != shape:
                faults.append(ShapeFault(f"shape {shape}", f"shape {a.shape}", prefix + name))
    for name, shape in leading.items():
        for a in leaves(getattr(part, name)):
            if a.shape[: len(shape)] != shape:
                faults.append(ShapeFault(f"a shape that begins {shape}", f"shape {a.shape}", prefix + name))


def describe(value: Any) -> str:
    """An array in a few words."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of a nesting; none of None."""
    return jax.tree.leaves(tree)


def at(tree: Any, index: Any) -> Any:
    """`leaf[index]` of each array."""
    return jax.tree.map(lambda a: a[index], tree)


def need(part: Any, *names: str) -> None:
    """Raises `MissingError` with the names of those that are not given."""
    prefix = "sequences." if isinstance(part, Sequences) else ""
    missing = [prefix + name for name in names if getattr(part, name) is None]
    if missing:
        raise MissingError(f"needs {', '.join(missing)}")


def row_errors(got: Any, expected: Any) -> np.ndarray:
    """The largest difference of each row, relative to max(1, |expected|): leaves `[B, ...]` to `[B]`.

    Raises:
        MissingError: the nestings or shapes differ.
    """
    mine, theirs = jax.tree.structure(got), jax.tree.structure(expected)
    if mine != theirs:
        raise MissingError(f"the stored states have the structure {mine}, the policy's {theirs}")
    errors: Any = 0.0
    for a, b in zip(leaves(got), leaves(expected), strict=True):
        if a.shape != b.shape:
            raise MissingError(f"the shapes differ: {a.shape} and {b.shape}")
        a, b = _widened(a), _widened(b)
        if a.dtype.kind == b.dtype.kind and a.dtype.kind in "fc":
            error = np.abs(a - b) / np.maximum(1.0, np.abs(b))
            error = np.where(np.isnan(error), np.inf, error)
        else:
            error = np.where(a == b, 0.0, np.inf)
        errors = np.maximum(errors, error.max(axis=tuple(range(1, error.ndim)), initial=0.0))
    return np.asarray(errors)


def _widened(a: np.ndarray) -> np.ndarray:
    """Numbers with a fraction in double precision, the ones NumPy does not know itself (bfloat16) too."""
    if jnp.issubdtype(a.dtype, jnp.complexfloating):
        return a.astype(np.complex128)
    return a.astype(np.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a


def step_and_row(index: Any) -> str:
    """Where, for a finding."""
    return f"step {int(index[0])}, row {int(index[1])}"


def worst(errors: np.ndarray) -> tuple[int, ...]:
    """The index of the largest."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(errors)), errors.shape))


def ended(rollout: Rollout) -> np.ndarray:
    """Where an episode ended, by either flag, `[T, B]`."""
    need(rollout, "terminated", "truncated")
    return rollout.terminated | rollout.truncated


def trained(rollout: Rollout) -> np.ndarray:
    """Which steps are trained on, `[T, B]`."""
    return np.ones(rollout.resets.shape, bool) if rollout.mask is None else rollout.mask
