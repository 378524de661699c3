"""What a memory knows of each step's true successor."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.core import select_rows
from throughtime.memory import Memory


def successor_features(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    next_xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
) -> Float[Array, "T B O"]:
    """What the memory puts out when it reads each step's successor, with the state carried into it.

    Inside an episode that is its output at the next step. Where the next step begins another episode, and at the last
    step, the successor is not a part of the sequence: a fork of the state reads `next_xs` there, and the sequence itself
    goes on without it. Costs a forked step only in the time steps in which some row needs one.

    Args:
        memory: any.
        state: before `xs[0]`, leaves `[B, ...]`.
        xs: inputs, `[T, B, I]`, T at least 1.
        next_xs: the input that each step's true successor would be, `[T, B, I]`; read where a fork is needed only.
        resets: as for `Memory.unroll`.

    Returns:
        `[T, B, O]`, at the final observation too where an episode ended.
    """
    fresh = memory.initial_state(resets.shape[1])
    forks = jnp.concatenate([resets[1:], jnp.ones_like(resets[:1])])
    projected, next_projected = memory.project(xs), memory.project(next_xs)

    def body(state, inputs):
        x, next_x, reset, fork = inputs
        state, hidden = memory.advance(select_rows(reset, fresh, state), x)
        forked = jax.lax.cond(
            jnp.any(fork), lambda: memory.advance(state, next_x)[1], lambda: jax.tree.map(jnp.zeros_like, hidden)
        )
        return state, (hidden, forked)

    _, (hidden, forked) = jax.lax.scan(body, state, (projected, next_projected, resets, forks))
    ys, forked_ys = memory.read_out(hidden), memory.read_out(forked)
    following = jnp.concatenate([ys[1:], ys[-1:]])
    return jnp.where(forks[..., None], forked_ys, following)
