"""Backpropagation through time in pieces: truncated, and checkpointed in time.

Truncated BPTT (Williams & Peng 1990, here BPTT(k; k): the gradient is cut every k steps) costs memory for k
steps and is biased: nothing that lies before a cut is learned from what comes after it. Checkpointed BPTT
(Chen et al. 2016) is exact: it keeps the states at the segment borders and computes the rest again in the
backward pass, which needs the least memory with segments of about √T steps; a recursive scheme would need
less still, and is not implemented. Both give the outputs of `Memory.unroll`; truncation gives its gradient
where k ≥ T.

References: Werbos 1990, "Backpropagation through time: what it does and how to do it"; Williams & Peng 1990,
"An efficient gradient-based algorithm for on-line training of recurrent network trajectories"; Chen et al.
2016, "Training deep nets with sublinear memory cost", arXiv 1604.06174.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError
from throughtime.memory import Memory

Unroll = Callable[[Any, Array, Array], tuple[Any, Array]]


def unroll_truncated(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], k: int
) -> tuple[Any, Float[Array, "T B O"]]:
    """`memory.unroll`, with the gradient cut every k steps; the state itself is carried on.

    Args:
        memory: any memory.
        state: the state before `xs[0]`; the first piece's gradient reaches it.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        k: steps between two cuts, at least 1; T need not be divisible by it.

    Returns:
        The state after `xs[T-1]`, and all outputs `[T, B, O]`.

    Raises:
        ConfigError: `k` is below 1.
    """

    def piece(state, xs, resets):
        state, ys = memory.unroll(state, xs, resets)
        return jax.lax.stop_gradient(state), ys

    _check_length("k", k)
    if k >= xs.shape[0]:
        return memory.unroll(state, xs, resets)
    return _in_pieces(piece, memory.unroll, state, xs, resets, k)


def unroll_checkpointed(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], segment: int
) -> tuple[Any, Float[Array, "T B O"]]:
    """`memory.unroll`, with the same gradient and the memory of T/segment states and one segment.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        segment: steps that are computed again together, at least 1, about √T; T need not be divisible by it.

    Returns:
        The state after `xs[T-1]`, and all outputs `[T, B, O]`.

    Raises:
        ConfigError: `segment` is below 1.
    """
    _check_length("segment", segment)

    @jax.checkpoint
    def piece(state, xs, resets):
        return memory.unroll(state, xs, resets)

    return _in_pieces(piece, piece, state, xs, resets, segment)


def _in_pieces(piece: Unroll, rest: Unroll, state: Any, xs: Array, resets: Array, length: int) -> tuple[Any, Array]:
    """A scan over the whole pieces of `length` steps, then `rest` over what is left."""
    whole, T = xs.shape[0] // length, xs.shape[0]
    cut = whole * length

    def body(state, inputs):
        return piece(state, *inputs)

    pieces = jax.tree.map(lambda a: a[:cut].reshape(whole, length, *a.shape[1:]), (xs, resets))
    state, ys = jax.lax.scan(body, state, pieces)
    ys = ys.reshape(cut, *ys.shape[2:])
    if cut < T:
        state, last = rest(state, xs[cut:], resets[cut:])
        ys = jnp.concatenate([ys, last])
    return state, ys


def _check_length(name: str, length: int) -> None:
    if length < 1:
        raise ConfigError(
            f"{name} is {length}", "A piece of a sequence has at least one step.", f"Set {name} to 1 or more."
        )
