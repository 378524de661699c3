"""The way from a memory to the fused kernels, for those that have one."""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError
from throughtime.kernels import DTYPES, VARIABLE, Kind, Layer, chosen, fused_layer, native_here
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
    if not possible or 0 in xs.shape:
        return None
    dtype = xs.dtype
    inner = jnp.dtype(jnp.float32) if dtype == jnp.bfloat16 else dtype
    dtypes = {str(a.dtype) for a in jax.tree.leaves((memory, state, taps, xs)) if eqx.is_array(a)}
    if kind is None:
        return _refuse(f"this {type(memory).__name__}'s options")
    if inner not in DTYPES or len(dtypes) > 1:
        return _refuse(f"{' and '.join(sorted(dtypes))}")
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
    h, c, ys = fused_layer(jax.tree.map(lambda a: jnp.asarray(a, inner), layer), resets, kind)
    last = (h,) if c is None else (h, c)
    return type(state)(*(a.astype(dtype) for a in last)), ys.astype(dtype)


def _refuse(what: str) -> None:
    """Warns that pure XLA runs instead; an error where native kernels were asked for."""
    said = f"The native kernels do not take {what}"
    if chosen() == "native":
        raise ConfigError(f"{said}.", "They were asked for.", f"Set {VARIABLE}=auto: pure XLA then runs instead.")
    warnings.warn(f"{said}; pure XLA runs instead.", KernelWarning, stacklevel=5)
