"""How much of a loss reaches back how far: ‖∂L_t/∂h_{t−k}‖ for every time t and lag k, in one backward pass.

The gradient of L_t *at lag k* is its gradient with respect to what step t − k put out: the output of `advance` for k =
0, the state it handed on for k ≥ 1. For an Elman network or a GRU both are h, so that it is ∂L_t/∂h_{t−k} throughout;
for an LSTM the state is (h, c).

Algorithm: one reverse scan over the steps, in which the cotangents of S losses travel side by side (`vmap` over the
vector-Jacobian product of one step). The norm of each is divided out at every step and kept as a logarithm: nothing
underflows or overflows, however far it vanishes or explodes. Time: about S·P backward steps for each time step, S
losses and P paths (see `LagNorms.by_path`). Memory: the states, and T·S·P·B numbers.

References: Hochreiter 1991, "Untersuchungen zu dynamischen neuronalen Netzen"; Bengio, Simard & Frasconi 1994,
"Learning long-term dependencies with gradient descent is difficult"; Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import named_arrays, pad_right
from throughtime.gradients.flow._states import check_shapes, states_between
from throughtime.memory import Memory

MAX_SOURCES = 64


@dataclass(frozen=True, eq=False)
class LagNorms:
    """Natural logarithms of gradient norms by source t, lag k and batch row, `[S, K, B]`, K = T lags from 0.

    NaN where step t − k does not belong to the episode of step t, or lies before the data; −inf where the gradient is
    exactly zero; +inf where it is not finite (infinite or NaN), and at all lags behind such a one.

    Args:
        sources: `[S]`, the times t of the losses, ascending.
        total: the gradient with respect to the whole state (lag 0: the output).
        by_leaf: its part in each array of the state, by name; lag 0 is that of `total`. Empty for a state of one array.
        by_path: the gradient that has travelled through this array of the state alone, all others held fixed: the
            cell-state path of an LSTM (`"c"`) apart from its hidden path (`"h"`). Empty for a state of one array.
    """

    sources: np.ndarray
    total: np.ndarray
    by_leaf: Mapping[str, np.ndarray]
    by_path: Mapping[str, np.ndarray]


def lag_norms(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    d_ys: Float[Array, "T B O"],
    *,
    max_sources: int = MAX_SOURCES,
) -> LagNorms:
    """The norms of ∂L_t/∂h_{t−k}, row by row.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`; a lag that crosses one does not exist.
        d_ys: `[T, B, O]`, the cotangents ∂L_t/∂y_t of a loss L = Σ_t L_t whose term t depends on y_t alone: one
            `jax.grad` with respect to the outputs gives all of them.
        max_sources: at most so many losses L_t are followed back, spread evenly over the times at which `d_ys` is not
            zero; up to half of them over times at which an episode ends, for these have the longest lags.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    check_shapes(memory, state, xs, resets, d_ys)
    sources = _sources(np.asarray(jnp.any(d_ys != 0, axis=(1, 2))), np.asarray(resets), max_sources)
    records = jax.device_get(_backward(memory, state, xs, resets, d_ys, jnp.asarray(sources)))
    T = xs.shape[0]
    starts = np.maximum.accumulate(np.where(np.asarray(resets), np.arange(T)[:, None], 0), axis=0)[sources]  # [S, B]
    times = sources[:, None] - np.arange(T)  # [S, K]
    exists = times[..., None] >= starts[:, None]

    def by_lag(record: np.ndarray) -> np.ndarray:  # [T, S, B] -> [S, K, B]
        rows = record[np.maximum(times, 0), np.arange(len(sources))[:, None]].astype(np.float64)
        return np.where(exists, np.where(np.isnan(rows), np.inf, rows), np.nan)

    total, leaves, paths = records
    total = by_lag(total)

    def beside(named: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([total[:, :1], by_lag(record)[:, 1:]], axis=1) for name, record in named.items()}

    return LagNorms(sources, total, beside(leaves), beside(paths))


def _sources(losses: np.ndarray, resets: np.ndarray, most: int) -> np.ndarray:
    times = np.flatnonzero(losses) if losses.any() else np.arange(len(losses))
    ends = np.append(resets[1:].any(axis=1), True)
    last = _spread(times[ends[times]], max(1, most // 2))
    others = np.setdiff1d(times, last)
    return np.union1d(last, _spread(others, most - len(last)))


def _spread(times: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the times, evenly, from the last one back."""
    return times[np.unique(np.linspace(len(times) - 1, 0, min(most, len(times))).round().astype(int))]


@eqx.filter_jit
def _backward(memory, state, xs, resets, d_ys, sources):
    """Log norms as the scan meets them, `[T, S, B]`: of the whole state, of its arrays, and path by path."""
    before, hidden, projected = states_between(memory, state, xs, resets)
    _, read_out_vjp = eqx.filter_vjp(memory.read_out, hidden)
    unit_hidden, log_hidden = _normalise(read_out_vjp(d_ys)[0], 2)
    names = list(named_arrays(eqx.filter(state, eqx.is_inexact_array)))
    S, (T, B) = sources.size, resets.shape
    if not names:  # nothing is handed on
        here = (jnp.arange(T)[:, None] == sources[None])[..., None]
        return jnp.where(here, log_hidden[:, None], -jnp.inf), {}, {}
    apart = len(names) if len(names) > 1 else 0
    P = 1 + apart

    def body(carry, inputs):
        d_state, log_scale = carry  # leaves [P, S, B, ...], each row of norm 1 (or zero); [P, S, B]
        before, projected, reset, unit_hidden, log_hidden, time = inputs
        here = sources == time
        parts = [_normalise(leaf[0], 2)[1] + log_scale[0] for leaf in jax.tree.leaves(d_state)] if apart else []
        log_scale = jnp.where(here[None, :, None], log_hidden[None, None], log_scale)
        d_hidden = jax.tree.map(
            lambda h: jnp.where(pad_right(here, h.ndim + 1), h[None], jnp.zeros_like(h)[None]), unit_hidden
        )
        inexact, rest = eqx.partition(before, eqx.is_inexact_array)

        def advance(inexact):
            after, hidden = memory.advance(eqx.combine(inexact, rest), projected)
            return eqx.filter(after, eqx.is_inexact_array), hidden

        _, vjp = jax.vjp(advance, inexact)
        (d_before,) = jax.vmap(jax.vmap(lambda a, h: vjp((a, h))), (0, None))(d_state, d_hidden)
        # Exactly zero across a reset and before a source is met: 0 · ∞, of a Jacobian that is not finite, would be NaN.
        none = reset[None, None] | (sources < time)[None, :, None]
        d_before = jax.tree.map(lambda a: jnp.where(pad_right(none, a.ndim), jnp.zeros_like(a), a), d_before)
        unit, log_norm = _normalise(_separate(d_before, P), 3)
        return (unit, log_scale + log_norm), (log_scale, parts)

    zeros = jax.tree.map(lambda a: jnp.zeros((P, S, *a.shape), a.dtype), eqx.filter(state, eqx.is_inexact_array))
    carry = (zeros, jnp.full((P, S, B), -jnp.inf, log_hidden.dtype))
    inputs = (before, projected, resets, unit_hidden, log_hidden, jnp.arange(T))
    _, (log_norms, parts) = jax.lax.scan(body, carry, inputs, reverse=True)
    paths = {name: log_norms[:, 1 + n] for n, name in enumerate(names[:apart])}
    return log_norms[:, 0], dict(zip(names[:apart], parts, strict=True)), paths


def _separate(d_state: PyTree, paths: int) -> PyTree:
    """Path 0 keeps all arrays of the state, path n ≥ 1 the nth alone."""
    leaves, structure = jax.tree.flatten(d_state)
    index = jnp.arange(paths)
    kept = [
        jnp.where(pad_right((index == 0) | (index == n), leaf.ndim), leaf, jnp.zeros_like(leaf))
        for n, leaf in enumerate(leaves, 1)
    ]
    return jax.tree.unflatten(structure, kept)


def _normalise(tree: PyTree, lead: int) -> tuple[PyTree, Float[Array, "..."]]:
    """Rows (the leading `lead` axes) divided by their norm over all leaves, and its logarithm; zero rows stay zero."""
    leaves = jax.tree.leaves(tree)
    if not leaves:
        return tree, jnp.asarray(-jnp.inf)

    def over(reduce, values):  # reduces all but the leading axes of each leaf, then over the leaves
        flat = [reduce(v.reshape(*v.shape[:lead], -1), axis=lead) for v in values]
        return reduce(jnp.stack(flat), axis=0)

    wide = jnp.float64 if leaves[0].dtype in (jnp.float64, jnp.complex128) else jnp.float32
    sizes = [jnp.abs(leaf).astype(wide) for leaf in leaves]
    largest = over(lambda a, axis: jnp.max(a, axis=axis, initial=0.0), sizes)
    divisor = jnp.where(largest > 0, largest, 1.0)  # so that no square underflows
    norm = divisor * jnp.sqrt(over(jnp.sum, [jnp.square(s / pad_right(divisor, s.ndim)) for s in sizes]))
    safe = jnp.where(norm > 0, norm, 1.0)

    def unit(leaf):
        full = leaf if jnp.iscomplexobj(leaf) else leaf.astype(wide)
        return (full / pad_right(safe, leaf.ndim).astype(full.dtype)).astype(leaf.dtype)

    return jax.tree.map(unit, tree), jnp.log(norm)
