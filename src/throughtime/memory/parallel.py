"""The linear recurrence h_t = a_t ∘ h_{t−1} + b_t, one step after the other or all at once.

Two neighbouring steps are one step of the same kind, (a, b) then (a', b') being (a'a, a'b + b'), and this joining
is associative: evaluated as a tree it takes O(log T) rounds instead of T steps, at two to three times the
arithmetic (Blelloch 1990; Martin & Cundy 2018). A flag in each element says that a sequence begins in it, and then
what lies to its left is not selected: by `where`, so that not even a NaN crosses a reset.

The gradient is the same recurrence run backwards, λ_t = ∂L/∂h_t + ā_{t+1} ∘ λ_{t+1}, so that both directions take
the same form. As in `memory/unroll.py`, a row on which the loss does not depend is dead and adds nothing, even
where it holds NaN.

A number is a tuple of real arrays, `(x,)`, or `(re, im)` for a complex one: parameters, states and files then
hold real arrays of the dtype asked for.

References: Blelloch 1990, "Prefix sums and their applications", CMU-CS-90-190; Martin & Cundy 2018,
"Parallelizing linear recurrent neural nets over sequence length", arXiv 1709.04057.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool

from throughtime.core import pad_right

Number = tuple[Array, ...]


def times(a: Number, b: Number) -> Number:
    """The product of two numbers, element by element."""
    if len(a) == 1:
        return (a[0] * b[0],)
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def plus(a: Number, b: Number) -> Number:
    """The sum of two numbers, element by element."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


@eqx.filter_custom_vjp
def linear_recurrence(
    vjp_arg: tuple[Number, Number, Number, Number | None, Number | None], resets: Bool[Array, "T B"], parallel: bool
) -> tuple[Number, Number]:
    """All states of h_t = a_t ∘ h_{t−1} + b_t.

    Args:
        vjp_arg: `(a, b, state, fresh, taps)`: the decay a, `[T, B, H]` or constant `[1, 1, H]`; the drive b,
            `[T, B, H]`; the state before the first step, `[B, H]`, and the one that a reset puts in its place,
            or None for zero; what is added to the state after each step (`Memory.unroll`), `[T, B, H]`, or None.
        resets: `[T, B]`.
        parallel: whether all steps are taken at once; otherwise one after the other.

    Returns:
        The state after the last step, and the states h_0 … h_{T−1}, `[T, B, H]`.
    """
    final, h, _ = _forward(vjp_arg, resets, parallel)
    return final, h


@linear_recurrence.def_fwd
def _linear_recurrence_fwd(perturbed, vjp_arg, resets, parallel):
    del perturbed
    final, h, handed = _forward(vjp_arg, resets, parallel)
    return (final, h), ((final, h), handed)


@linear_recurrence.def_bwd
def _linear_recurrence_bwd(residuals, cotangents, perturbed, vjp_arg, resets, parallel):
    del perturbed
    a, _, state, fresh, taps = vjp_arg
    out, handed = residuals
    d_final, d_h = jax.tree.map(
        lambda c, x: jnp.zeros_like(x) if c is None else c, cotangents, out, is_leaf=lambda c: c is None
    )
    if resets.shape[0] == 0:
        d_a, d_b, _, d_fresh, d_taps = jax.tree.map(jnp.zeros_like, vjp_arg)
        return d_a, d_b, d_final, d_fresh, d_taps

    constant = a[0].shape[:2] != resets.shape
    live, conjugate = _live(d_final, d_h, resets), _conjugate(a)
    if not constant:
        conjugate = _keep(live, conjugate)
    # What step t hands on is read by step t+1: backwards it decays by the next step's a.
    following = conjugate if constant else tuple(jnp.roll(x, -1, axis=0) for x in conjugate)
    last = jnp.roll(resets, -1, axis=0).at[-1].set(True)
    ends = tuple(x.at[-1].add(d) for x, d in zip(d_h, d_final, strict=True))
    d_b = _solve(following, ends, last, jax.tree.map(jnp.zeros_like, state), parallel, reverse=True)

    before = _keep(live & ~resets, _shift(state, handed))
    if fresh is not None:
        before = plus(before, _keep(live & resets, _rows(fresh, resets)))
    d_a, d_before = times(_conjugate(before), d_b), times(conjugate, d_b)
    if constant:
        d_a = tuple(jnp.sum(x, axis=(0, 1), keepdims=True) for x in d_a)
    carried = _keep(~resets, d_before)
    d_fresh = None if fresh is None else tuple(jnp.sum(x, axis=0) for x in _keep(resets, d_before))
    d_taps = None if taps is None else _shift(d_final, carried, back=True)
    return d_a, d_b, tuple(x[0] for x in carried), d_fresh, d_taps


def _forward(vjp_arg, resets, parallel):
    """The final state, all states, and all states with their taps: what each step hands on."""
    a, b, state, fresh, taps = vjp_arg
    if resets.shape[0] == 0:
        return state, b, b
    drive = b if fresh is None else plus(b, _keep(resets, times(a, _rows(fresh, resets))))
    handed = _solve(a, drive if taps is None else plus(drive, taps), resets, state, parallel)
    h = handed if taps is None else plus(drive, _keep(~resets, times(a, _shift(state, handed))))
    return tuple(x[-1] for x in handed), h, handed


def _solve(a: Number, drive: Number, begins: Array, init: Number, parallel: bool, reverse: bool = False) -> Number:
    """h_t = drive_t where a sequence begins, else a_t ∘ h_{t−1} + drive_t; backwards in time with `reverse`."""
    constant = a[0].shape[:2] != begins.shape
    if not parallel:

        def body(h, inputs):
            a_t, drive_t, begin = inputs
            a_t = tuple(x[0] for x in a) if constant else a_t
            h = _choose(begin, drive_t, plus(times(a_t, h), drive_t))
            return h, h

        return jax.lax.scan(body, init, (None if constant else a, drive, begins), reverse=reverse)[1]

    first = -1 if reverse else 0
    carried = _keep(~begins[first], times(tuple(x[first] for x in a), init))
    drive = tuple(x.at[first].add(c) for x, c in zip(drive, carried, strict=True))
    if constant:
        a = tuple(jnp.broadcast_to(x, (begins.shape[0], *x.shape[1:])) for x in a)

    def join(left, right):
        (a_1, h_1, begun_1), (a_2, h_2, begun_2) = left, right
        # Where the right part begins a sequence its a is not used, so a needs no choice.
        return a_2 * a_1, jnp.where(begun_2[..., None], h_2, a_2 * h_1 + h_2), begun_1 | begun_2

    h = jax.lax.associative_scan(join, (_packed(a), _packed(drive), begins), reverse=reverse)[1]
    return _unpacked(h, len(a), drive[0].dtype)


def _packed(number: Number) -> Array:
    """One array for a number: XLA takes six times as long to compile the tree of sums in pairs of real arrays."""
    if len(number) == 1:
        return number[0]
    dtype = number[0].dtype
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32  # no complex number has parts of 16 bits
    return jax.lax.complex(number[0].astype(wide), number[1].astype(wide))


def _unpacked(array: Array, parts: int, dtype: DTypeLike) -> Number:
    return (array,) if parts == 1 else (array.real.astype(dtype), array.imag.astype(dtype))


def _live(d_final: Number, d_h: Number, resets: Array) -> Array:
    """`[T, B]`: whether the loss depends on a step, through its own output or a later one of its sequence."""
    T = resets.shape[0]
    index = jnp.arange(T)[:, None]

    def next_where(flags, otherwise):
        return jax.lax.cummin(jnp.where(flags, index, otherwise), axis=0, reverse=True)

    def any_of(number):
        return jnp.any(jnp.stack([jnp.any(x != 0, axis=-1) for x in number]), axis=0)

    use = next_where(any_of(d_h), jnp.where(any_of(d_final), T, T + 1)[None])
    reset = next_where(jnp.roll(resets, -1, axis=0).at[-1].set(False), T)
    return use <= reset


def _conjugate(a: Number) -> Number:
    return a if len(a) == 1 else (a[0], -a[1])


def _shift(end: Number, number: Number, back: bool = False) -> Number:
    """Each step's predecessor, `end` before the first; or with `back` its successor, `end` after the last."""
    if back:
        return tuple(jnp.concatenate([x[1:], e[None]]) for e, x in zip(end, number, strict=True))
    return tuple(jnp.concatenate([e[None], x[:-1]]) for e, x in zip(end, number, strict=True))


def _rows(fresh: Number, resets: Array) -> Number:
    return tuple(jnp.broadcast_to(x[None], (*resets.shape, *x.shape[1:])) for x in fresh)


def _choose(flag: Array, on_true: Number, on_false: Number) -> Number:
    return tuple(jnp.where(pad_right(flag, y.ndim), x, y) for x, y in zip(on_true, on_false, strict=True))


def _keep(flag: Array, number: Number) -> Number:
    return tuple(jnp.where(pad_right(flag, x.ndim), x, jnp.zeros_like(x)) for x in number)
