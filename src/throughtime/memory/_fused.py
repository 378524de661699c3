"""The way from a memory to the fused kernels, for those that have one."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.kernels import DTYPES, Kind, Layer, chosen, fused_layer, native_here
from throughtime.memory._checks import check_sequence


class KernelWarning(UserWarning):
    """Something that the native kernels do not take runs on the pure XLA path, which is slower."""


def unroll_fused(
    memory: Any, kind: Kind | None, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any
) -> tuple[Any, Float[Array, "T B H"]] | None:
    """`Memory.unroll` in one native call, before any readout; None where the pure XLA path has to run.

    bfloat16 is widened to float32 on the way in and rounded on the way out: inside a sequence the state is float32.

    Args:
        memory: has `weight_xh`, `weight_hh`, `bias_h`, perhaps `bias_hn` or `weight_ch`; its state has `h`, perhaps
            `c`.
        kind: which recurrence; None where the kernels do not have this one.
        state: as for `Memory.unroll`.
        xs: as for `Memory.unroll`.
        resets: as for `Memory.unroll`.
        taps: as for `Memory.unroll`.
    """
    check_sequence(memory, state, xs, resets, taps)
    possible, _ = native_here()
    arrays = [memory.weight_xh, *jax.tree.leaves((state, taps))]
    if not possible or 0 in xs.shape or any(a.dtype != xs.dtype for a in arrays):
        return None
    dtype = xs.dtype
    inner = jnp.dtype(jnp.float32) if dtype == jnp.bfloat16 else dtype
    if kind is None or inner not in DTYPES:
        what = f"the dtype {dtype}" if kind is not None else f"this {type(memory).__name__}'s options"
        if chosen() == "native":
            what = f"{what}, although THROUGHTIME_KERNELS asks for native ones"
        warnings.warn(f"The native kernels do not take {what}; pure XLA runs instead.", KernelWarning, stacklevel=4)
        return None
    fresh = memory.initial_state(xs.shape[1])
    weights = (
        memory.weight_xh,
        memory.weight_hh,
        memory.bias_h,
        *(getattr(memory, name, None) for name in ("bias_hn", "weight_ch")),
    )
    pairs = [(tree.h, getattr(tree, "c", None)) for tree in (state, fresh)]
    tapped = (None, None) if taps is None else (taps.h, getattr(taps, "c", None))
    layer = Layer._make((xs, *weights, *pairs[0], *pairs[1], *tapped))
    h, c, ys = fused_layer(jax.tree.map(lambda a: a.astype(inner), layer), resets, kind)
    last = (h,) if c is None else (h, c)
    return type(state)(*(a.astype(dtype) for a in last)), ys.astype(dtype)
