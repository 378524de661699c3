"""Observations of any kind (arrays, numbers, dicts, tuples): copied, compared, split into rows."""

import copy
from typing import Any

import numpy as np


def copied(value: Any) -> Any:
    """A copy that shares no memory."""
    return copy.deepcopy(value)


def same(a: Any, b: Any) -> bool:
    """Whether two observations are equal; NaN equals NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    try:
        a, b = np.asarray(a), np.asarray(b)
    except ValueError:
        return False
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc" and b.dtype.kind in "fc":
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(np.array_equal(a, b))


def row(value: Any, b: int) -> Any:
    """Row b of a batched observation."""
    if isinstance(value, dict):
        return {k: row(v, b) for k, v in value.items()}
    if isinstance(value, tuple) and not isinstance(value[0], int | float) and not _is_row_tuple(value):
        return tuple(row(v, b) for v in value)
    return value[b]


def _is_row_tuple(value: tuple) -> bool:
    """A tuple with one entry for each row, as custom spaces are batched, rather than one batch for each part."""
    return not all(isinstance(v, np.ndarray | dict | tuple) for v in value)


def first_not_finite(value: Any, path: str = "") -> tuple[str, float] | None:
    """The first NaN or infinity, and where; None if there is none."""
    if isinstance(value, dict):
        parts = [(f"{path}[{k!r}]", v) for k, v in value.items()]
    elif isinstance(value, tuple | list):
        parts = [(f"{path}[{i}]", v) for i, v in enumerate(value)]
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            return None
        if array.dtype.kind not in "fc" or np.isfinite(array).all():
            return None
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        return path + (f"[{', '.join(map(str, index))}]" if index else ""), float(np.real(array[index]))
    return next((found for where, v in parts if (found := first_not_finite(v, where))), None)


def describe_mismatch(space: Any, value: Any) -> str:
    """Why an observation is not in its space, as far as the space tells."""
    spaces = getattr(space, "spaces", None)
    if isinstance(spaces, dict) and isinstance(value, dict):
        if spaces.keys() != value.keys():
            return f"keys {sorted(map(str, value))}, the space has {sorted(map(str, spaces))}"
        wrong = [k for k in spaces if not contains(spaces[k], value[k])]
        return f"[{wrong[0]!r}]: {describe_mismatch(spaces[wrong[0]], value[wrong[0]])}" if wrong else repr(value)
    shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
    if not hasattr(value, "shape"):
        return f"{type(value).__name__} {value!r:.80}, the space is {space!r:.80}"
    if shape is not None and tuple(value.shape) != tuple(shape):
        return f"shape {tuple(value.shape)}, the space has {tuple(shape)}"
    if dtype is not None and np.dtype(value.dtype) != np.dtype(dtype):
        return f"dtype {value.dtype}, the space has {np.dtype(dtype)}"
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is not None and high is not None:
        out = np.argwhere((value < low) | (value > high))
        if len(out):
            index = tuple(int(i) for i in out[0])
            bounds = np.broadcast_to(low, value.shape)[index], np.broadcast_to(high, value.shape)[index]
            return f"{value[index]} at {list(index)}, the space allows {bounds[0]} … {bounds[1]}"
    return f"{value!r:.80}, the space is {space!r:.80}"


def contains(space: Any, value: Any) -> bool:
    """The space's own judgement, and the same dtype where both have one (Gymnasium lets a safe cast pass)."""
    if not bool(space.contains(value)):
        return False
    spaces = getattr(space, "spaces", None)
    if isinstance(spaces, dict) and isinstance(value, dict):
        return all(contains(spaces[k], value[k]) for k in spaces)
    if isinstance(spaces, tuple | list) and isinstance(value, tuple | list):
        return all(contains(s, v) for s, v in zip(spaces, value, strict=True))
    dtype = getattr(space, "dtype", None)
    if isinstance(value, np.ndarray) and dtype is not None:
        return value.dtype == np.dtype(dtype)
    return True
