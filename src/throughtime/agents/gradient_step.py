"""One gradient step: guarded, clipped, taken or not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from throughtime.core import select_rows
from throughtime.gradients import Clipping, Guard, clip


def annealed(config: Any, iteration: Int[Array, ""], total: Int[Array, ""]) -> Float[Array, ""]:
    """`config.learning_rate` in an iteration; with `config.anneal` it falls to zero over `total` of them in a line."""
    learning_rate = jnp.asarray(config.learning_rate, jnp.float32)
    if config.anneal:
        learning_rate = learning_rate * (1.0 - iteration / total).astype(jnp.float32)
    return learning_rate


class Updated(NamedTuple):
    """What a gradient step changes."""

    params: Any
    optimiser: optax.OptState
    guard: Guard


class GradientStep(NamedTuple):
    """A step, taken or not."""

    updated: Updated
    taken: Bool[Array, ""]
    skipped: Bool[Array, ""]  # for its gradient was not finite
    norm: Float[Array, ""]  # of the gradient, before clipping


def gradient_step(
    transform: optax.GradientTransformation,
    before: Updated,
    grads: Any,
    *,
    forward: Sequence[Array],
    iteration: Int[Array, ""],
    allowed: Bool[Array, ""],
    learning_rate: Float[Array, ""],
    clip_by: Clipping,
    limit: float | None,
) -> GradientStep:
    """θ ← θ − learning rate · update(gradient), where the gradient is finite and a step is allowed.

    Args:
        transform: makes updates of gradients, without the learning rate.
        before: parameters, the transform's state and the guard.
        grads: a tree like the parameters.
        forward: what the guard watches of the forward pass.
        iteration: for the guard's account.
        allowed: else nothing changes, the guard's count included.
        learning_rate: of this step.
        clip_by: the way of clipping.
        limit: its threshold; None for none.
    """
    params, optimiser, guard = before
    ok, checked = guard.check(grads, forward, iteration)
    guard = select_rows(allowed, checked, guard)
    grads, norm = clip(grads, params, clip_by, limit)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
        updates, next_optimiser = transform.update(grads, optimiser)
    next_params = jax.tree.map(lambda p, u: p - learning_rate.astype(p.dtype) * u, params, updates)
    taken = ok & allowed
    params, optimiser = select_rows(taken, (next_params, next_optimiser), (params, optimiser))
    return GradientStep(Updated(params, optimiser, guard), taken, ~ok & allowed, norm)
