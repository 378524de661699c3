"""Backpropagation through time with the memory of one segment: exact, and computed twice.

Checkpointing (Chen et al. 2016): the forward pass keeps the states at the borders of segments; the backward pass
computes each segment again from its border, and differentiates it. With segments of about √T steps the memory
grows with √T instead of T, for one more forward pass. A recursive scheme (Griewank's revolve; Gruslys et al. 2016)
would need less still for more time, and is not implemented.

References: Chen et al. 2016, "Training deep nets with sublinear memory cost", arXiv 1604.06174; Gruslys et al. 2016,
"Memory-efficient backpropagation through time", arXiv 1606.03401.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import ConfigError
from throughtime.memory import Memory, check_sequence, check_targets


def unroll_checkpointed(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], segment: int
) -> tuple[Any, Float[Array, "T B O"]]:
    """`memory.unroll`, with the same gradient and the memory of T/segment states and one segment.

    The outputs of all T steps, and their cotangents, are there beside that; where they are too much, take
    `checkpointed_loss`.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        segment: steps that are computed again together, at least 1, about √T (`segment_for_budget` chooses one); T
            need not be divisible by it. With `segment` ≥ T nothing is computed again: it is `memory.unroll`.

    Returns:
        The state after `xs[T-1]`, and all outputs `[T, B, O]`.

    Raises:
        ConfigError: `segment` is below 1, or arrays that do not fit each other.
    """
    check_sequence(memory, state, xs, resets)

    def piece(state, inputs):
        return memory.unroll(state, *inputs)

    state, ys, last = _in_segments(piece, state, (xs, resets), segment)
    ys = ys.reshape(ys.shape[0] * ys.shape[1], *ys.shape[2:])
    return state, ys if last is None else jnp.concatenate([ys, last])


def checkpointed_loss(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    loss: Callable[[Array, PyTree], Array],
    targets: PyTree,
    segment: int,
) -> tuple[Float[Array, ""], Any]:
    """The sum over time of `loss(y_t, target_t)`, with no more than one segment of outputs ever in memory.

    Differentiate it with `eqx.filter_value_and_grad(..., has_aux=True)`.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        loss: from an output `[B, O]` and a target to a scalar, as `rtrl_gradient` takes it.
        targets: a tree of arrays `[T, ...]`.
        segment: as for `unroll_checkpointed`.

    Returns:
        The loss, and the state after `xs[T-1]`.

    Raises:
        ConfigError: `segment` is below 1, or arrays that do not fit each other.
    """
    check_sequence(memory, state, xs, resets)
    check_targets(targets, xs.shape[0])

    def piece(state, inputs):
        xs, resets, targets = inputs
        state, ys = memory.unroll(state, xs, resets)
        return state, jnp.sum(jax.vmap(loss)(ys, targets))

    state, sums, last = _in_segments(piece, state, (xs, resets, targets), segment)
    return jnp.sum(sums) if last is None else jnp.sum(sums) + last, state


def checkpointed_bytes(memory: Memory, batch_size: int, T: int, segment: int, *, outputs: bool = False) -> int:
    """An estimate of the memory that the gradient of a checkpointed unroll needs, in bytes.

    Counted: the states at the borders of the segments; what the memory keeps of each step of one segment (and of the
    T mod `segment` steps that are left) for its backward pass, such as states, projected inputs and outputs: three
    times, for their cotangents and the rows that are multiplied into the weights' gradient lie beside them. With
    `outputs`, all outputs and their cotangents too. Not counted: parameters and their gradients; `xs`, `resets` and
    `targets`, and a copy of them where T is not divisible by `segment`; what the loss itself keeps.

    Args:
        memory: any memory; nothing is computed with it.
        batch_size: B.
        T: steps.
        segment: steps that are computed again together.
        outputs: whether the outputs of all steps are kept (`unroll_checkpointed`) or not (`checkpointed_loss`).
    """
    return int(_bytes(memory, batch_size, T, np.array([segment]), outputs)[0])


def segment_for_budget(memory: Memory, batch_size: int, T: int, budget_bytes: int, *, outputs: bool = False) -> int:
    """The longest segment whose `checkpointed_bytes` are within a budget.

    Args:
        memory: any memory.
        batch_size: B, at least 1.
        T: steps, at least 1.
        budget_bytes: bytes to spend; `checkpointed_bytes` says on what.
        outputs: True for `unroll_checkpointed`, which returns all outputs; False for `checkpointed_loss`.

    Returns:
        The segment, 1 … T. T means that nothing has to be computed again.

    Raises:
        ConfigError: `batch_size` or T is below 1, or no segment is small enough: the message names the least budget.
    """
    for name, size in (("batch_size", batch_size), ("T", T)):
        if size < 1:
            raise ConfigError(f"{name} is {size}", "There would be nothing to keep.", f"Set {name} to 1 or more.")
    needed = _bytes(memory, batch_size, T, np.arange(1, T + 1), outputs)
    fits = np.flatnonzero(needed <= budget_bytes)
    if not len(fits):
        best = int(np.argmin(needed))
        raise ConfigError(
            f"budget_bytes is {budget_bytes}",
            f"{T} steps of {batch_size} sequences need at least {needed[best]} bytes, in segments of {best + 1} steps.",
            f"Raise it to {needed[best]}, or lower batch_size or T."
            + (" checkpointed_loss keeps no outputs (outputs=False) and needs less." if outputs else ""),
        )
    return int(fits[-1]) + 1


Piece = Callable[[Any, PyTree], tuple[Any, PyTree]]


def _in_segments(piece: Piece, state: Any, inputs: PyTree, segment: int) -> tuple[Any, PyTree, PyTree]:
    """Whole segments in a scan, each computed again when it is differentiated; then what is left.

    What is left is not computed again: its backward pass comes first, right after its forward pass.

    Returns:
        The final state, what `piece` gave for the segments of the scan (stacked), and for the rest.
    """
    if segment < 1:
        raise ConfigError(f"segment is {segment}", "A segment has at least one step.", "Set segment to 1 or more.")
    T = jax.tree.leaves(inputs)[0].shape[0]
    whole = T // segment if segment < T else 0
    cut = whole * segment
    stacked = jax.tree.map(lambda a: a[:cut].reshape(whole, segment, *a.shape[1:]), inputs)
    # In a scan XLA cannot merge the two computations of a segment, so that no barrier is needed.
    state, outs = jax.lax.scan(jax.checkpoint(piece, prevent_cse=False), state, stacked)
    if cut == T > 0:
        return state, outs, None
    state, last = piece(state, jax.tree.map(lambda a: a[cut:], inputs))
    return state, outs, last


def _bytes(memory: Memory, batch_size: int, T: int, segments: np.ndarray, outputs: bool) -> np.ndarray:
    arrays, static = eqx.partition(memory, eqx.is_inexact_array)
    state = eqx.filter_eval_shape(memory.initial_state, batch_size)
    dtype = next((a.dtype for a in jax.tree.leaves(arrays)), jnp.float32)

    def kept(steps: int) -> int:
        def residuals(arrays, state, xs, resets):
            _, vjp = jax.vjp(lambda m, s, x: eqx.combine(m, static).unroll(s, x, resets), arrays, state, xs)
            return jax.tree.leaves(vjp)

        xs = jax.ShapeDtypeStruct((steps, batch_size, memory.input_size), dtype)
        resets = jax.ShapeDtypeStruct((steps, batch_size), bool)
        program = jax.make_jaxpr(residuals)(arrays, state, xs, resets).jaxpr
        given = [*program.invars, *program.constvars]
        return sum(_size(v.aval) for v in {v for v in program.outvars if isinstance(v, Var)}.difference(given))

    borders = sum(map(_size, jax.tree.leaves(state))) * -(-T // segments)
    steps = np.where(segments < T, segments + T % segments, T)  # XLA has a place of its own for the rest
    segment = 3 * (kept(3) - kept(2)) * steps  # the difference: without what a segment keeps once
    ys = 2 * T * batch_size * memory.output_size * jnp.dtype(dtype).itemsize if outputs else 0
    return borders + segment + ys


def _size(array: Any) -> int:
    return array.size * array.dtype.itemsize
