"""A program for each length of targets, of which one runs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.tasks.scan.data import Commands


def by_bucket(
    loss: Callable[..., Float[Array, ""]],
    edges: tuple[int, ...],
    bucket: Int[Array, ""],
    model: Any,
    commands: Commands,
    key: PRNGKeyArray,
    progress: Float[Array, ""],
) -> Float[Array, ""]:
    """`loss(model, commands, key, progress)` with the targets cut at the bucket's edge.

    Only the bucket's own program runs, forwards and backwards. It computes the gradient on the way, for a switch that
    is differentiated keeps what the backward passes of all its branches need.

    Args:
        loss: to be differentiated with respect to the model.
        edges: steps of each bucket's targets.
        bucket: whose turn it is.
        model: any module.
        commands: `[B, ...]`, with no target longer than the bucket's edge.
        key: handed on.
        progress: handed on.
    """
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def branch(steps: int) -> Callable[..., Any]:
        def run(params, commands, key, progress):
            cut = commands._replace(actions=commands.actions[:, :steps])
            return jax.value_and_grad(lambda p: loss(eqx.combine(p, static), cut, key, progress))(params)

        return run

    fixed = jax.lax.stop_gradient(params)
    value, grads = jax.lax.switch(bucket, [branch(edge) for edge in edges], fixed, commands, key, progress)
    # Each term is worth nothing, and its derivative is the gradient.
    terms = jax.tree.map(lambda p, q, g: jnp.sum((p - q) * g), params, fixed, jax.lax.stop_gradient(grads))
    return jax.lax.stop_gradient(value) + jax.tree.reduce(jnp.add, terms)
