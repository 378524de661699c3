"""The one contract of the library: Memory.

Everything with a state is a `Memory`: a cell, a stack of cells, a delay line, and "no memory" too.

    state     = memory.initial_state(batch_size)     # a NamedTuple of arrays [B, ...]
    state, y  = memory.step(state, x)                # x [B, I] -> y [B, O]
    state, ys = memory.unroll(state, xs, resets)     # xs [T, B, I], resets [T, B] -> ys [T, B, O]

`resets[t]` replaces the state with `initial_state` *before* `xs[t]` is read. It has this one meaning
everywhere.
"""

from abc import abstractmethod
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.memory._checks import check_sequence, check_step
from throughtime.memory.unroll import per_row, scan_steps

State = TypeVar("State", bound=PyTree)


class NoState(NamedTuple):
    """The state of a memory that has none."""


class Memory(eqx.Module):
    """A recurrence over time-major batches.

    A subclass sets `input_size` and `output_size`, and implements `initial_state` and `advance`. Where part
    of a step does not depend on the state, it belongs into `project` (for a cell: the input projection `x @
    weight_xh + bias_h`) or `read_out` (`h @ weight_hy + bias_y`): `unroll` then computes it for all time
    steps in one product, outside the loop. The rows of a batch are independent of each other: an output row
    depends on the same row of state and input alone.

    Laws, checked for every registered memory in `tests/laws/`: `unroll` equals the loop over `step`; packed
    sequences with resets equal the sequences run apart; nothing (not even NaN, no gradient) crosses a reset;
    T=0, T=1 and B=1 work.
    """

    input_size: eqx.AbstractVar[int]
    output_size: eqx.AbstractVar[int]

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """The state before the first input: a NamedTuple of arrays `[batch_size, ...]`."""

    @abstractmethod
    def advance(self, state: State, projected: PyTree) -> tuple[State, PyTree]:
        """One time step from a projected input; what it puts out goes to `read_out`."""

    def project(self, x: Float[Array, "*batch I"]) -> PyTree:
        """The part of a step before the state is read, over any leading axes. Default: the input itself."""
        return x

    def read_out(self, hidden: PyTree) -> Float[Array, "*batch O"]:
        """The part of a step after the state is written, over any leading axes. Default: `hidden` itself."""
        return hidden

    def gate_activations(self, state: Any, projected: PyTree) -> dict[str, Float[Array, "B H"]]:
        """What the gates of a step are set to, each in [0, 1], by name. Default: there are none.

        Args:
            state: the state that the step begins with.
            projected: its projected input.
        """
        del state, projected
        return {}

    def step(self, state: State, x: Float[Array, "B I"]) -> tuple[State, Float[Array, "B O"]]:
        """One time step.

        Args:
            state: as `initial_state` or the last call returned it, leaves `[B, ...]`.
            x: input, `[B, I]`.

        Returns:
            The next state and the output `[B, O]`.

        Raises:
            ConfigError: shapes or dtypes that do not fit.
        """
        check_step(self, state, x)
        state, hidden = self.advance(state, self.project(x))
        return state, self.read_out(hidden)

    def unroll(
        self, state: State, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: State | None = None
    ) -> tuple[State, Float[Array, "T B O"]]:
        """All time steps in one call.

        Args:
            state: the state before `xs[0]`, leaves `[B, ...]`.
            xs: inputs, `[T, B, I]`; T may be 0.
            resets: `[T, B]`; where true the state is replaced with `initial_state` before `xs[t]` is read.
            taps: a tree like the state, leaves `[T, B, ...]`: `taps[t]` is added to the state that step t hands
                on to step t+1 (not to its output). Zeros change nothing; their gradient is the loss's gradient
                with respect to that state, which the backward pass computes anyway. None: no taps.

        Returns:
            The state after `xs[T-1]`, and all outputs `[T, B, O]`.

        Raises:
            ConfigError: shapes or dtypes that do not fit.
        """
        check_sequence(self, state, xs, resets, taps)
        projected = per_row((self, xs), type(self).project)
        state, hidden = scan_steps((self, state, projected, taps), resets)
        return state, per_row((self, hidden), type(self).read_out)


def initial_rows(
    learned: Array | None, batch_size: int, shape: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, "B ..."]:
    """`batch_size` rows of an initial state: the learned row, or zeros where there is none.

    Args:
        learned: array of `shape`, or None.
        batch_size: B.
        shape: of one row.
        dtype: of the zeros.
    """
    if learned is None:
        return jnp.zeros((batch_size, *shape), dtype)
    return broadcast_rows(learned, batch_size)


def broadcast_rows(row: Array, batch_size: int) -> Array:
    """`[...]` repeated to `[batch_size, ...]`, without a copy under jit."""
    return jnp.broadcast_to(row[None], (batch_size, *row.shape))
