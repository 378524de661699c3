r"""What each time step adds to the gradient of the shared weights.

A weight that is used at every step gets one gradient from each of them,

    ∂L/∂W_hh = Σ_t ∂L/∂W_hh^{(t)},

where W^{(t)} is the copy that step t uses (the unfolded network has T of them). Where gradients vanish, only the last
few terms of a loss at the end count; where they explode, the first ones drown the rest.

Reference: Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063, equations 3 to 5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import named_arrays, select_rows
from throughtime.gradients.flow._states import check_shapes, states_between
from throughtime.memory import Memory


@eqx.filter_jit
def step_gradients(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    d_ys: Float[Array, "T B O"],
) -> Memory:
    """Each time step's contribution to the gradient of every parameter: they sum to ∂L/∂memory over axis 0.

    Takes T times the memory of a gradient; `contributions` gives what figures need without it.

    Args:
        memory: any memory.
        state: the state before `xs[0]`, taken as a constant.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`; a learned initial state gets its gradient in the steps that begin with it.
        d_ys: `[T, B, O]`, ∂L/∂y_t.

    Returns:
        A memory of the same structure, leaves `[T, ...]` (None where a leaf is no parameter).

    Raises:
        ConfigError: shapes that do not belong together.
    """
    check_shapes(memory, state, xs, resets, d_ys)
    return _over_time(memory, state, xs, resets, d_ys, lambda gradient: gradient)


@dataclass(frozen=True, eq=False)
class Contributions:
    """Each time step's share of a gradient, parameter by parameter.

    Args:
        norms: name to `[T]`, the norm of what step t adds.
        shares: name to `[T]`, ⟨g_t, g⟩ / ‖g‖² with g the whole gradient: signed, and they sum to 1. NaN for a gradient
            of zero.
    """

    norms: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]


def contributions(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    d_ys: Float[Array, "T B O"],
) -> Contributions:
    """The norms and the shares of `step_gradients`, parameter by parameter; takes the memory of one gradient.

    Args:
        memory: any memory.
        state: the state before `xs[0]`, taken as a constant.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        d_ys: `[T, B, O]`, ∂L/∂y_t.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    check_shapes(memory, state, xs, resets, d_ys)
    norms, along, squares = jax.device_get(_reduced(memory, state, xs, resets, d_ys))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = {name: values.astype(np.float64) / squares[name].astype(np.float64) for name, values in along.items()}
    return Contributions(norms, shares)


@eqx.filter_jit
def _reduced(memory, state, xs, resets, d_ys):
    whole = jax.grad(_linear_loss, argnums=2)(state, None, *_parts(memory), xs, resets, d_ys)
    whole = named_arrays(whole)

    def reduce(gradient):
        named = named_arrays(gradient)
        return (
            {name: jnp.sqrt(jnp.sum(jnp.square(g))) for name, g in named.items()},
            {name: jnp.sum(g * whole[name]) for name, g in named.items()},
        )

    norms, along = _over_time(memory, state, xs, resets, d_ys, reduce)
    return norms, along, {name: jnp.sum(jnp.square(g)) for name, g in whole.items()}


def _parts(memory: Memory) -> tuple[Memory, Memory]:
    return eqx.partition(memory, eqx.is_inexact_array)


def _linear_loss(state, taps, params, static, xs, resets, d_ys):
    """⟨y, d_ys⟩, whose gradient with respect to anything before y is that of the loss that d_ys came from."""
    _, ys = eqx.combine(params, static).unroll(state, xs, resets, taps)
    return jnp.sum(ys * d_ys)


def _over_time(memory, state, xs, resets, d_ys, reduce: Callable[[Memory], PyTree]) -> PyTree:
    """`reduce` of each step's gradient: the state's cotangents come from taps, then each step goes by itself."""
    params, static = _parts(memory)
    zeros = jax.tree.map(lambda a: jnp.zeros((xs.shape[0], *a.shape), a.dtype), state)
    d_states = jax.grad(_linear_loss, argnums=1)(state, zeros, params, static, xs, resets, d_ys)
    before, _, _ = states_between(memory, state, xs, resets)

    def one(inputs):
        before, x, reset, d_state, d_y = inputs

        def step(params):
            memory = eqx.combine(params, static)
            after, y = memory.step(select_rows(reset, memory.initial_state(x.shape[0]), before), x)
            return after, y

        _, vjp = jax.vjp(step, params)
        return reduce(vjp((d_state, d_y))[0])

    return jax.lax.map(one, (before, xs, resets, d_states, d_ys))
