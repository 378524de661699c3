"""Sequences of several lengths in one batch: checks, padding, and a run that ends where each sequence ends."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from throughtime.core import ConfigError
from throughtime.memory.base import Memory


class Reading(NamedTuple):
    """What a memory makes of a batch of sequences."""

    state: Any
    """After the last valid step of each, leaves `[B, ...]`."""
    last: Float[Array, "B O"]
    """The output at the last valid step."""
    outputs: Float[Array, "T B O"]
    """At all steps; zero in the padding."""


def pad_sequences(sequences: Sequence[Any]) -> tuple[Array, Int[Array, " B"]]:
    """Ragged sequences as one array, padded with zeros after their ends, and their lengths.

    Args:
        sequences: B arrays `[T_b, ...]` that differ in length alone, each with at least one step.

    Returns:
        `[T, B, ...]` with T the longest, and the lengths `[B]`.

    Raises:
        ConfigError: no sequences, one without steps, or two that differ in more than length.
    """
    arrays = [np.asarray(s) for s in sequences]
    if not arrays:
        raise ConfigError("no sequences", "A batch has at least one.", "")
    for b, array in enumerate(arrays):
        if array.ndim == 0 or len(array) == 0:
            raise ConfigError(f"sequence {b} has no steps", "There is no last step to read.", "Leave it out.")
        if array.shape[1:] != arrays[0].shape[1:] or array.dtype != arrays[0].dtype:
            raise ConfigError(
                f"sequence {b} has steps {array.dtype}{list(array.shape[1:])}, "
                f"sequence 0 has {arrays[0].dtype}{list(arrays[0].shape[1:])}",
                "The sequences of one batch differ in their lengths alone.",
            )
    lengths = [len(array) for array in arrays]
    out = np.zeros((max(lengths), len(arrays), *arrays[0].shape[1:]), arrays[0].dtype)
    for b, array in enumerate(arrays):
        out[: len(array), b] = array
    return jnp.asarray(out), jnp.asarray(lengths, jnp.int32)


def valid_steps(lengths: Int[Array, " B"], steps: int) -> Bool[Array, "T B"]:
    """`[T, B]`, true before each sequence's end."""
    return jnp.arange(steps, dtype=lengths.dtype)[:, None] < lengths[None]


def check_sequences(xs: Any, lengths: Any, memory: Memory) -> tuple[Array, Int[Array, " B"] | None]:
    """The sequences with zeros in their padding, and their lengths.

    Args:
        xs: `[T, B, I]` of the memory's dtype; the padding may be anything, even NaN.
        lengths: whole numbers `[B]` in 1 … T, a mask `[T, B]` that is true before each end, or None: all are T long.
        memory: what is to read them.

    Raises:
        ConfigError: what is expected and what was given. Inside compiled code only shapes and dtypes are known.
    """
    return check_features(xs, lengths, memory.input_size, memory_dtype(memory))


def check_features(xs: Any, lengths: Any, size: int, dtype: np.dtype) -> tuple[Array, Int[Array, " B"] | None]:
    """`check_sequences` for what reads `size` features of a dtype, memory or not."""
    if isinstance(xs, list | tuple):
        raise ConfigError(
            f"expected one array [T, B, {size}], got {len(xs)} sequences in a {type(xs).__name__}",
            "Ragged sequences need their lengths beside them.",
            "Call xs, lengths = pad_sequences(sequences), and hand over both.",
        )
    if xs.ndim != 3 or xs.shape[2] != size:
        raise ConfigError(
            f"expected sequences [T, B, {size}], got {list(xs.shape)}",
            f"Time comes first, then the batch, then the {size} features that the memory reads.",
            "For one sequence [T, I] write xs[:, None]; for a batch-major array jnp.swapaxes(xs, 0, 1).",
        )
    if xs.dtype != dtype:
        raise ConfigError(
            f"expected {dtype} sequences, got {xs.dtype}",
            "Inputs have the dtype of the memory's weights.",
            f"Write xs.astype(jnp.{dtype}), or jax.nn.one_hot(tokens, {size}) for whole numbers.",
        )
    T, B = xs.shape[:2]
    if T == 0:
        raise ConfigError("expected sequences of at least one step, got T = 0", "There is no last step to read.", "")
    xs = jnp.asarray(xs)
    if lengths is None:
        return xs, None
    if lengths.shape == (T, B) and lengths.dtype == bool:
        known = not isinstance(lengths, Tracer)
        if known and (np.diff(np.asarray(lengths).astype(np.int8), axis=0) > 0).any():
            raise ConfigError(
                "a mask that is true again after it was false",
                "It says where each sequence ends: true before the end, false after it.",
                "Move each sequence to the front of its column.",
            )
        lengths = jnp.sum(jnp.asarray(lengths), axis=0, dtype=jnp.int32)
    elif lengths.shape != (B,) or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ConfigError(
            f"expected lengths [{B}] of whole numbers or a mask bool[{T}, {B}], "
            f"got {lengths.dtype}{list(lengths.shape)}",
            "There is one length for each sequence of the batch.",
        )
    if not isinstance(lengths, Tracer):
        values = np.asarray(lengths)
        if values.size and not (values.min() >= 1 and values.max() <= T):
            raise ConfigError(
                f"expected lengths in 1 … {T}, got {values.min()} … {values.max()}",
                "A sequence has at least one step, and ends within the array.",
                "Leave empty sequences out.",
            )
    lengths = jnp.asarray(lengths)
    return jnp.where(valid_steps(lengths, T)[..., None], xs, jnp.zeros_like(xs)), lengths


def read(memory: Memory, xs: Float[Array, "T B I"], lengths: Int[Array, " B"] | None) -> Reading:
    """Runs a memory from its initial state to the end of each sequence.

    Each column is moved to the end of the array and begins with a reset there: so all sequences end at step T−1, one
    `unroll` serves them all, and the state it returns is the one after each sequence's own last step.

    Args:
        memory: any memory.
        xs: `[T, B, I]`, finite in the padding too, as `check_sequences` returns them.
        lengths: `[B]`, or None where all sequences are T long.
    """
    T, B = xs.shape[:2]
    if lengths is None:
        state, ys = memory.unroll(memory.initial_state(B), xs, jnp.zeros((T, B), bool))
        return Reading(state, ys[-1], ys)
    steps = jnp.arange(T, dtype=lengths.dtype)[:, None]
    start = (T - lengths)[None]  # [1, B], where the column begins
    aligned = jnp.take_along_axis(xs, jnp.maximum(steps - start, 0)[..., None], axis=0)
    aligned = jnp.where((steps >= start)[..., None], aligned, jnp.zeros_like(aligned))
    state, ys = memory.unroll(memory.initial_state(B), aligned, steps == start)
    outputs = jnp.take_along_axis(ys, jnp.minimum(steps + start, T - 1)[..., None], axis=0)
    outputs = jnp.where(valid_steps(lengths, T)[..., None], outputs, jnp.zeros_like(outputs))
    return Reading(state, ys[-1], outputs)


def memory_dtype(memory: Memory) -> np.dtype:
    """The dtype of a memory's parameters."""
    return jax.tree.leaves(eqx.filter(memory, eqx.is_inexact_array))[0].dtype
