"""Real-time recurrent learning: the exact gradient, forwards in time.

The derivative of the state with respect to every parameter (P of them) is carried along with the state, so
nothing of the past has to be kept: memory does not grow with T, but is P times that of a state, and each step
costs P forward-mode derivatives. Too dear for training any but small networks; an oracle for every other
gradient method, with which it shares no code: it goes through `Memory.step` in forward mode, they through
`Memory.unroll` in reverse.

In a `LinearMemory` unit i depends on its own parameters alone, so that most of the P·H derivatives of a state
are zero. One forward-mode derivative in the direction of one parameter of every unit at once then gives that
derivative for all H units: P/H of them are exact, and what is carried is one number for each row, parameter and
part of the state. This is the trace that makes RTRL cheap enough to learn online (Zucchet et al. 2023).

References: Williams & Zipser 1989, "A learning algorithm for continually running fully recurrent neural
networks", Neural Computation 1(2); Curtis, Powell & Reid 1974, "On the estimation of sparse Jacobian matrices";
Zucchet et al. 2023, "Online learning of long-range dependencies", arXiv 2305.15947.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import select_rows
from throughtime.memory import LinearMemory, Memory, WithReadout, check_sequence, check_targets

Loss = Callable[[Array, PyTree], Array]


def rtrl_gradient(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    loss: Loss,
    targets: PyTree,
    *,
    diagonal: bool = True,
) -> tuple[Float[Array, ""], Memory]:
    """The sum over time of `loss(y_t, target_t)`, and its gradient with respect to the memory's parameters.

    Args:
        memory: any memory; its parameters are its floating-point arrays, all of one dtype.
        state: the state before `xs[0]`, taken as a constant.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`; a learned initial state gets its gradient through them.
        loss: from an output `[B, O]` and a target to a scalar.
        targets: a tree of arrays `[T, ...]`.
        diagonal: whether a `LinearMemory`, by itself or under a readout, takes the path for diagonal recurrences:
            the same gradient for P/H derivatives a step instead of P. Other memories have one path.

    Returns:
        The loss, and the gradient as a memory of the same structure (None where a leaf is no parameter).

    Raises:
        ConfigError: arrays that do not fit each other.
    """
    check_sequence(memory, state, xs, resets)
    check_targets(targets, xs.shape[0])
    if diagonal and isinstance(_core(memory), LinearMemory):
        return _unit_by_unit(memory, state, (xs, resets, targets), loss)
    return _all_parameters(memory, state, (xs, resets, targets), loss)


def _all_parameters(memory: Memory, state: Any, sequence: PyTree, loss: Loss) -> tuple[Array, Memory]:
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
    (_, _, total, gradient), _ = jax.lax.scan(body, carry, sequence)
    return total, unravel(gradient)


def _unit_by_unit(memory: Memory, state: Any, sequence: PyTree, loss: Loss) -> tuple[Array, Memory]:
    """With K = P/H shared directions: the k-th moves one parameter of each unit by the same amount."""
    core, H, dtype = _core(memory), state[0].shape[1], state[0].dtype
    names = [name for name in core.per_unit if getattr(core, name) is not None]
    shapes = [getattr(core, name).shape for name in names]
    borders = np.cumsum([0, *(int(np.prod(shape)) // H for shape in shapes)]).tolist()
    directions = jnp.eye(borders[-1], dtype=dtype)

    def pick(memory):
        return [getattr(_core(memory), name) for name in names]

    def by_parameter(rows: Array) -> list[Array]:
        """`[K, H]` (or `[K, 1]` for all units alike) in the shapes of the parameters."""
        parts = [rows[first:last] for first, last in pairwise(borders)]
        full = [jnp.broadcast_to(part, (part.shape[0], H)) for part in parts]
        return [part.reshape(shape) for part, shape in zip(full, shapes, strict=True)]

    def next_state(shift, state, x, reset):
        moved = [p + d for p, d in zip(pick(memory), by_parameter(shift[:, None]), strict=True)]
        core = _core(eqx.tree_at(pick, memory, moved))
        state = select_rows(reset, core.initial_state(x.shape[0]), state)
        return core.advance(state, core.project(x))[0]

    def value(at, x, target):
        memory, state = at
        core = _core(memory)
        return loss(memory.read_out(core.hidden(state, core.project(x))), target)

    def body(carry, inputs):
        state, traces, total, direct, by_unit = carry
        x, reset, target = inputs

        def along(direction, d_state):
            zero = jnp.zeros_like(direction)
            return jax.jvp(lambda v, s: next_state(v, s, x, reset), (zero, state), (direction, d_state))

        state, traces = jax.vmap(along, out_axes=(None, 0))(directions, traces)
        term, (d_memory, d_state) = eqx.filter_value_and_grad(value)((memory, state), x, target)
        direct = jax.tree.map(jnp.add, direct, d_memory)
        for d, trace in zip(d_state, traces, strict=True):
            by_unit = by_unit + jnp.einsum("bh,kbh->kh", d, trace)
        return (state, traces, total + term, direct, by_unit), None

    traces = jax.tree.map(lambda a: jnp.zeros((borders[-1], *a.shape), a.dtype), state)
    direct = jax.tree.map(jnp.zeros_like, eqx.filter(memory, eqx.is_inexact_array))
    carry = (state, traces, jnp.zeros((), dtype), direct, jnp.zeros((borders[-1], H), dtype))
    (_, _, total, direct, by_unit), _ = jax.lax.scan(body, carry, sequence)
    gradient = [d + u for d, u in zip(pick(direct), by_parameter(by_unit), strict=True)]
    return total, eqx.tree_at(pick, direct, gradient)


def _core(memory: Memory) -> Any:
    return memory.memory if isinstance(memory, WithReadout) else memory
