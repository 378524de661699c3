"""What every measurement of the flow starts from: the states between the steps."""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.core import ConfigError, select_rows
from throughtime.memory import Memory, check_sequence


def states_between(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
) -> tuple[PyTree, PyTree, PyTree]:
    """The states that the steps begin with (resets applied), what `advance` puts out, and the projected inputs.

    All `[T, B, ...]`. A plain loop over `advance`, whatever the memory's own `unroll` does.
    """
    projected, fresh = memory.project(xs), memory.initial_state(resets.shape[1])

    def body(state, inputs):
        reset, projected = inputs
        before = select_rows(reset, fresh, state)
        after, hidden = memory.advance(before, projected)
        return after, (before, hidden)

    _, (before, hidden) = jax.lax.scan(body, state, (resets, projected))
    return before, hidden, projected


def check_shapes(memory: Memory, state: Any, xs: Any, resets: Any, d_ys: Any = None) -> None:
    """Refuses arrays that do not belong together.

    Raises:
        ConfigError: what was expected, and what was given.
    """
    T_B = tuple(xs.shape[:2])
    wrong = xs.ndim != 3 or xs.shape[2] != memory.input_size or tuple(resets.shape) != T_B
    if wrong or 0 in T_B or (d_ys is not None and tuple(d_ys.shape) != (*T_B, memory.output_size)):
        given = f"xs {tuple(xs.shape)}, resets {tuple(resets.shape)}"
        given += "" if d_ys is None else f", d_ys {tuple(d_ys.shape)}"
        I, O = memory.input_size, memory.output_size  # noqa: E741
        raise ConfigError(
            f"The gradient flow of {given} cannot be measured.",
            f"This memory takes inputs xs [T, B, {I}], resets [T, B]"
            + f" and cotangents d_ys [T, B, {O}]" * (d_ys is not None)
            + ".",
            "Give time-major arrays with T and B of at least 1.",
        )
    check_sequence(memory, state, xs, resets)
