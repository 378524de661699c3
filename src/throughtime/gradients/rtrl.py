"""Real-time recurrent learning: the exact gradient, forwards in time.

The derivative of the state with respect to every parameter (P of them) is carried along with the state, so
nothing of the past has to be kept: memory does not grow with T, but is P times that of a state, and each step
costs P forward-mode derivatives. Too dear for training any but small networks; an oracle for every other
gradient method, with which it shares no code: it goes through `Memory.step` in forward mode, they through
`Memory.unroll` in reverse.

Reference: Williams & Zipser 1989, "A learning algorithm for continually running fully recurrent neural
networks", Neural Computation 1(2).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import select_rows
from throughtime.memory import Memory


def rtrl_gradient(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    loss: Callable[[Array, PyTree], Array],
    targets: PyTree,
) -> tuple[Float[Array, ""], Memory]:
    """The sum over time of `loss(y_t, target_t)`, and its gradient with respect to the memory's parameters.

    Args:
        memory: any memory; its parameters are its floating-point arrays, all of one dtype.
        state: the state before `xs[0]`, taken as a constant.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`; a learned initial state gets its gradient through them.
        loss: from an output `[B, O]` and a target to a scalar.
        targets: a tree of arrays `[T, ...]`.

    Returns:
        The loss, and the gradient as a memory of the same structure (None where a leaf is no parameter).
    """
    params, static = eqx.partition(memory, eqx.is_inexact_array)
    theta, unravel = ravel_pytree(params)
    directions = jnp.eye(theta.size, dtype=theta.dtype)

    def step(theta, state, x, reset, target):
        memory = eqx.combine(unravel(theta), static)
        state = select_rows(reset, memory.initial_state(x.shape[0]), state)
        state, y = memory.step(state, x)
        return state, loss(y, target)

    def body(carry, inputs):
        state, sensitivity, total, gradient = carry

        def along(direction, d_state):
            return jax.jvp(lambda p, s: step(p, s, *inputs), (theta, state), (direction, d_state))

        (state, value), (sensitivity, d_loss) = jax.vmap(along, out_axes=((None, None), (0, 0)))(
            directions, sensitivity
        )
        return (state, sensitivity, total + value, gradient + d_loss), None

    sensitivity = jax.tree.map(lambda a: jnp.zeros((theta.size, *a.shape), a.dtype), state)
    carry = (state, sensitivity, jnp.zeros((), theta.dtype), jnp.zeros_like(theta))
    (_, _, total, gradient), _ = jax.lax.scan(body, carry, (xs, resets, targets))
    return total, unravel(gradient)
