"""The default unroll: a scan with a backward pass of its own, which no NaN can cross.

Algorithm: backpropagation through time (Werbos 1990). The backward scan carries only the cotangent of the
state and recomputes each step from the stored states, as checkpointing does; the gradient of the parameters,
which plain autodiff would add up inside the loop, is one product over all T·B rows after it. Memory: the
states, T·B·H; gates are not kept.

Why not plain autodiff: a cotangent of zero times a NaN is NaN, so a NaN that a reset (or a mask in the loss)
keeps out of every output would still reach the gradient of the weights. Here a row whose cotangent is all
zero is dead: its inputs are replaced before they are multiplied, so that it adds exactly nothing.

Reverse mode only: forward-mode derivatives go through `Memory.step`.

Reference: Werbos 1990, "Backpropagation through time: what it does and how to do it", Proc. IEEE 78(10).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from throughtime.core import select_rows


@eqx.filter_custom_vjp
def scan_steps(vjp_arg: tuple[Any, PyTree, PyTree, PyTree], resets: Bool[Array, "T B"]) -> tuple[PyTree, PyTree]:
    """A scan over `memory.advance` with resets.

    Args:
        vjp_arg: `(memory, state, projected, taps)`: the memory, its state `[B, ...]`, inputs `[T, B, ...]` that
            went through `memory.project`, and what is added to the state after each step, `[T, B, ...]`, or None.
        resets: `[T, B]`.

    Returns:
        The state after the last step, and what `advance` put out, `[T, B, ...]`.
    """
    memory, state, projected, taps = vjp_arg
    final, (_, hidden) = _forward(memory, state, projected, taps, resets)
    return final, hidden


@scan_steps.def_fwd
def _scan_fwd(perturbed, vjp_arg, resets):
    del perturbed
    memory, state, projected, taps = vjp_arg
    final, (before, hidden) = _forward(memory, state, projected, taps, resets)
    return (final, hidden), (before, final, hidden)


@scan_steps.def_bwd
def _scan_bwd(residuals, cotangents, perturbed, vjp_arg, resets):
    del perturbed
    memory, _, projected, taps = vjp_arg
    before, *outputs = residuals
    d_final, d_hidden = _materialise(cotangents, tuple(outputs))

    def body(carry, inputs):
        d_state, d_fresh = carry
        state, projected, reset, d_out = inputs
        d_outputs = (d_state, d_out)
        _, vjp = eqx.filter_vjp(lambda s, p: memory.advance(s, p), state, projected)
        d_state, d_projected = _keep(_live(d_outputs, 1), vjp(d_outputs))
        d_fresh = jax.tree.map(jnp.add, d_fresh, _keep(reset, d_state))
        return (_keep(~reset, d_state), d_fresh), (d_projected, d_outputs)

    carry = (d_final, jax.tree.map(jnp.zeros_like, d_final))
    (d_state, d_fresh), (d_projected, d_outputs) = jax.lax.scan(
        body, carry, (before, projected, resets, d_hidden), reverse=True
    )

    def flat(tree):
        return jax.tree.map(lambda a: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), tree)

    rows = flat(_keep(_live(d_outputs, 2), (before, projected)))
    _, vjp = eqx.filter_vjp(lambda m: m.advance(*rows), memory)
    _, vjp_fresh = eqx.filter_vjp(lambda m: m.initial_state(resets.shape[1]), memory)
    d_memory = jax.tree.map(jnp.add, vjp(flat(d_outputs))[0], vjp_fresh(d_fresh)[0])
    # A tap is added to what its step hands on, so their gradients are one and the same.
    return d_memory, d_state, d_projected, None if taps is None else d_outputs[0]


@eqx.filter_custom_vjp
def per_row(vjp_arg: tuple[Any, PyTree], function: Callable[[Any, PyTree], PyTree]) -> PyTree:
    """`function(module, rows)`, where each row `[t, b]` of the result depends on that row of `rows` alone.

    Its gradient is the plain one, but dead rows add nothing to it even where they hold NaN.

    Args:
        vjp_arg: `(module, rows)`: what holds the parameters, and a tree of arrays `[T, B, ...]`.
        function: for example `Memory.project`.
    """
    return function(*vjp_arg)


@per_row.def_fwd
def _per_row_fwd(perturbed, vjp_arg, function):
    del perturbed
    out = function(*vjp_arg)
    return out, out


@per_row.def_bwd
def _per_row_bwd(out, cotangents, perturbed, vjp_arg, function):
    del perturbed
    module, rows = vjp_arg
    cotangents = _materialise(cotangents, out)
    _, vjp = eqx.filter_vjp(function, module, _keep(_live(cotangents, 2), rows))
    return vjp(cotangents)


def _forward(memory, state, projected, taps, resets):
    fresh = memory.initial_state(resets.shape[1])

    def body(state, inputs):
        projected, tap, reset = inputs
        before = select_rows(reset, fresh, state)
        after, hidden = memory.advance(before, projected)
        return after if tap is None else jax.tree.map(jnp.add, after, tap), (before, hidden)

    return jax.lax.scan(body, state, (projected, taps, resets))


def _live(cotangents: PyTree, lead: int) -> Array:
    """Whether any element of a row (the leading `lead` axes) is not zero in any leaf."""
    flags = [jnp.any(c != 0, axis=tuple(range(lead, c.ndim))) for c in jax.tree.leaves(cotangents)]
    return jnp.any(jnp.stack(flags), axis=0)


def _keep(rows: Array, tree: PyTree) -> PyTree:
    return select_rows(rows, tree, jax.tree.map(jnp.zeros_like, tree))


def _materialise(cotangents: PyTree, like: PyTree) -> PyTree:
    """Zeros for the cotangents that are None because nothing depends on that output."""
    return jax.tree.map(
        lambda c, a: jnp.zeros_like(a) if c is None and eqx.is_inexact_array(a) else c,
        cotangents,
        like,
        is_leaf=lambda c: c is None,
    )
