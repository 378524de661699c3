"""A whole recurrent layer, all time steps, forwards and backwards (BPTT) in one native call each.

The call does the input projection, the recurrence and the gates; backwards the gradients of inputs, weights, initial
states and of each state handed on (taps). The batch is split over XLA's threads once for the whole sequence; a worker
never waits for another inside it. native/layer.h has the layout, native/product.h the arithmetic.

It keeps the gates of all steps for the backward pass, `[T, B, G·H]`, where the pure XLA path (memory/unroll.py) keeps
states and computes gates again; `unroll_checkpointed` bounds either.
"""

import os
from functools import cache
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.kernels.library import library

Cell = Literal["elman", "lstm", "gru-after", "gru-before"]
CELLS = ("elman", "lstm", "gru-after", "gru-before")
ACTIVATIONS = ("tanh", "identity", "relu", "sigmoid")
GATES = {"elman": 1, "lstm": 4, "gru-after": 3, "gru-before": 3}
SAVED_PARTS = {"elman": 0, "lstm": 4, "gru-after": 4, "gru-before": 3}
PAD = 32  # kPad of native/layer.h
DTYPES = (jnp.float32, jnp.float64)


class Layer(NamedTuple):
    """What a fused layer reads and can be differentiated by. Gates lie side by side in the columns of the weights."""

    xs: Float[Array, "T B I"]
    weight_xh: Float[Array, "I GH"]
    weight_hh: Float[Array, "H GH"]
    bias_h: Float[Array, " GH"]
    bias_hn: Float[Array, " H"] | None  # GRU with its reset gate after the product only
    weight_ch: Float[Array, " 3H"] | None  # an LSTM's peepholes
    h: Float[Array, "B H"]  # before xs[0]
    c: Float[Array, "B H"] | None  # LSTM only
    fresh_h: Float[Array, "B H"]  # what a reset puts in the state's place
    fresh_c: Float[Array, "B H"] | None
    tap_h: Float[Array, "T B H"] | None  # added to what each step hands on
    tap_c: Float[Array, "T B H"] | None


class Kind(NamedTuple):
    """Which recurrence."""

    cell: Cell
    activation: str = "tanh"  # Elman's f


@eqx.filter_custom_vjp
def fused_layer(
    vjp_arg: Layer, resets: Bool[Array, "T B"], kind: Kind
) -> tuple[Float[Array, "B H"], Float[Array, "B H"] | None, Float[Array, "T B H"]]:
    """All time steps of a layer.

    Args:
        vjp_arg: arrays of one dtype, float32 or float64; T, B, I and H at least 1.
        resets: `[T, B]`; the state is replaced before `xs[t]` is read.
        kind: the recurrence.

    Returns:
        The last h, the last c (LSTM; else None), and all outputs.
    """
    return _forward(vjp_arg, resets, kind, save=False)[0]


@fused_layer.def_fwd
def _fused_fwd(perturbed, vjp_arg, resets, kind):
    del perturbed
    out, saved = _forward(vjp_arg, resets, kind, save=True)
    return out, (out[2], *saved)


@fused_layer.def_bwd
def _fused_bwd(residuals, cotangents, perturbed, vjp_arg, resets, kind):
    layer, (ys, gates, cells) = vjp_arg, residuals
    d_last_h, d_last_c, d_ys = cotangents
    T, B, H = ys.shape
    none, like = jnp.zeros(0, ys.dtype), jax.ShapeDtypeStruct
    lstm = kind.cell == "lstm"

    def dense(cotangent, shape):
        return jnp.zeros(shape, ys.dtype) if cotangent is None else cotangent

    def wanted(*flags):  # whether any array among them is differentiated by
        return any(flag is not False for flag in jax.tree.leaves(flags))

    wants_xs = wanted(perturbed.xs)
    wants_taps = layer.tap_h is not None
    taps = [like((T, B, H) if wants_taps and on else (0,), ys.dtype) for on in (True, lstm)]
    off = like((0,), ys.dtype)
    wants_states = wanted(perturbed.h, perturbed.c, perturbed.fresh_h, perturbed.fresh_c)
    rows = like((B, H), ys.dtype) if wants_states else off
    results = (
        like(layer.xs.shape if wants_xs else (0,), ys.dtype),
        like(layer.weight_xh.shape, ys.dtype),
        like(layer.weight_hh.shape, ys.dtype),
        like(layer.bias_h.shape, ys.dtype),
        off if layer.bias_hn is None else like((H,), ys.dtype),
        off if layer.weight_ch is None else like((3 * H,), ys.dtype),
        rows,
        rows if lstm else off,
        rows,
        rows if lstm else off,
        *taps,
    )
    passed = (layer.weight_ch, layer.h, layer.c, layer.fresh_h, layer.fresh_c, layer.tap_h, layer.tap_c)
    operands = (
        layer.xs,
        resets,
        layer.weight_xh,
        layer.weight_hh,
        *(none if a is None else a for a in passed),
        ys,
        gates,
        cells,
        dense(d_ys, ys.shape),
        dense(d_last_h, (B, H)),
        dense(d_last_c, (B, H)) if lstm else none,
    )
    gradient = _call("throughtime_backward", results, operands, kind, H)
    return Layer._make(d if d.size and a is not None else None for d, a in zip(gradient, layer, strict=True))


def _forward(layer: Layer, resets: Array, kind: Kind, *, save: bool) -> tuple[tuple, tuple]:
    T, B, _ = layer.xs.shape
    H, dtype, like = layer.weight_hh.shape[0], layer.xs.dtype, jax.ShapeDtypeStruct
    padded, lstm, none = -(-H // PAD) * PAD, kind.cell == "lstm", jnp.zeros(0, layer.xs.dtype)
    off = like((0,), dtype)
    parts = SAVED_PARTS[kind.cell] if save else 0
    results = (
        like((T, B, H), dtype),
        like((B, H), dtype),
        like((B, H), dtype) if lstm else off,
        like((T, B, parts * padded), dtype) if parts else off,
        like((T, B, padded), dtype) if lstm and save else off,
    )
    operands = (layer.xs, resets, *(none if a is None else a for a in layer[1:]))
    ys, h, c, gates, cells = _call("throughtime_forward", results, operands, kind, H)
    return (h, c if lstm else None, ys), (gates, cells)


def _call(target: str, results: tuple, operands: tuple, kind: Kind, hidden: int) -> Any:
    if library().instruction_set is None:
        raise RuntimeError(f"There are no native kernels in this process: {library().reason}.")
    return jax.ffi.ffi_call(target, results, vmap_method="broadcast_all")(
        *operands,
        cell=np.int64(CELLS.index(kind.cell)),
        activation=np.int64(ACTIVATIONS.index(kind.activation)),
        hidden=np.int64(hidden),
        workers=np.int64(_threads()),
    )


@cache
def _threads() -> int:
    """Cores that this process may use: among so many the batch is split, forwards and backwards alike."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
