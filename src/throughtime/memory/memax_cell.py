"""Any cell or model of memax as a `Memory` (the extra `memax`)."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import ConfigError, select_rows
from throughtime.memory._checks import check_sequence, check_sizes
from throughtime.memory.base import Memory, broadcast_rows


class MemaxState(NamedTuple):
    """What a memax cell remembers."""

    carry: Any  # the cell's own tree, each leaf with a leading batch axis; flags, counters and complex numbers too


class MemaxMemory(Memory):
    """A memax cell behind this library's contract.

    memax reads one sequence, `[T, I]`, and a start flag for each step, which stands for what is called a reset
    here: the state is replaced before the step is read. The adapter adds the batch.

    What holds for every cell: batch rows are independent, T=0, T=1 and B=1 work, a state handed in does not
    matter (not even where it is NaN) if the first step is a reset, and taps. What depends on the cell:

    - `unroll` equals the step loop, and packed sequences equal the sequences run apart, up to rounding, for
      cells whose operator is associative where memax says so, and whose initial state is its identity.
    - memax resets by multiplying with 0, so that no gradient crosses a reset as long as all numbers are finite,
      but a NaN or an infinity *within* a sequence does. Give padding finite values.
    - The dtype is the cell's: float32, and complex64 within, whatever the input.

    So it has no place in `MEMORIES`, whose memories keep all laws. Its gradient is memax's own, through its scan.

    Reference: Morad et al. 2024, "Recurrent reinforcement learning with memoroids", arXiv 2402.09900.
    """

    cell: Any
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, cell: Any, input_size: int):
        """Wraps a cell.

        Args:
            cell: a `memax.equinox.groups.Module` that maps `[T, I]` to `[T, O]`, for example
                `memax.equinox.set_actions.gru.GRU(recurrent_size=64, key=key)`.
            input_size: I, features of an input. (Most cells take what they put out; models map their input.)

        Raises:
            ConfigError: memax is missing, the cell is none of its modules, or does not take inputs of this size.
        """
        check_sizes(input_size=input_size)
        module = _memax("memax.equinox.groups").Module
        if not isinstance(cell, module):
            raise ConfigError(
                f"the cell is a {type(cell).__name__}",
                "The adapter takes layers and models of memax.equinox, which carry their own state.",
                "Pass for example memax.equinox.set_actions.gru.GRU(recurrent_size=64, key=key).",
            )
        self.cell, self.input_size = cell, input_size
        try:
            shape = eqx.filter_eval_shape(
                self._row, cell.initialize_carry(), jnp.zeros((1, input_size)), jnp.zeros(1, bool)
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"the cell {type(cell).__name__} does not take inputs of {input_size} features",
                str(error).strip().splitlines()[0],
                "Set input_size to what the cell was made for: for a layer its hidden or recurrent size.",
            ) from error
        self.output_size = shape[1].shape[-1]

    @classmethod
    def named(
        cls, name: str, input_size: int, hidden_size: int, output_size: int, *, num_layers: int = 1, key: PRNGKeyArray
    ) -> "MemaxMemory":
        """A residual model of memax by the name of its layers.

        Args:
            name: of a layer as `memax.equinox.train_utils` has it, for example "FFM", "S6", "GDN" or "LRU".
            input_size: I, features of an input.
            hidden_size: H, width of the layers.
            output_size: O, features of an output.
            num_layers: how many.
            key: for the random weights.

        Raises:
            ConfigError: memax is missing, or has no layer of this name.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size, num_layers=num_layers)
        make = _memax("memax.equinox.train_utils").get_residual_memory_model
        sizes = {"input": input_size, "hidden": hidden_size, "output": output_size, "num_layers": num_layers}
        try:
            with _as_memax_promotes():
                model = make(name, key=key, **sizes)
        except KeyError as error:
            raise ConfigError(
                f"memax has no layer {name!r}", "", "Names are case-sensitive, for example FFM, S6, GDN, LRU or GRU."
            ) from error
        return cls(model, input_size)

    def initial_state(self, batch_size: int) -> MemaxState:
        """The cell's own, for each of `batch_size` sequences."""
        return MemaxState(jax.tree.map(lambda a: broadcast_rows(a, batch_size), self.cell.initialize_carry()))

    def advance(self, state: MemaxState, projected: Float[Array, "B I"]) -> tuple[MemaxState, Float[Array, "B O"]]:
        """A sequence of one step; `projected` is the input itself."""
        state, ys = self._all_rows(state, projected[None], jnp.zeros((1, projected.shape[0]), bool))
        return state, ys[0]

    def unroll(
        self, state: MemaxState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: MemaxState | None = None
    ) -> tuple[MemaxState, Float[Array, "T B O"]]:
        """Each row as a sequence of the cell's own; with `taps` step by step.

        (`taps` have a leaf for each of the state's, and count only where it is a floating-point one.)
        """
        check_sequence(self, state, xs, resets, taps)
        if xs.shape[0] == 0:
            return state, jnp.zeros((0, xs.shape[1], self.output_size), xs.dtype)
        fresh = self.initial_state(xs.shape[1])
        if taps is None:
            return self._all_rows(select_rows(resets[0], fresh, state), xs, resets)

        def body(state, inputs):
            x, reset, tap = inputs
            state, y = self.advance(select_rows(reset, fresh, state), x)
            return jax.tree.map(lambda s, a: s + a if eqx.is_inexact_array(s) else s, state, tap), y

        return jax.lax.scan(body, state, (xs, resets, taps))

    def _all_rows(self, state: MemaxState, xs: Array, resets: Array) -> tuple[MemaxState, Array]:
        carry, ys = jax.vmap(self._row, in_axes=(0, 1, 1), out_axes=(0, 1))(state.carry, xs, resets)
        return MemaxState(jax.tree.map(lambda new, old: new.astype(old.dtype), carry, state.carry)), ys

    def _row(self, carry: Any, xs: Array, starts: Array) -> tuple[Any, Array]:
        with _as_memax_promotes():
            carries, ys = self.cell(carry, (xs, starts))
            return self.cell.latest_recurrent_state(carries), ys


@contextmanager
def _as_memax_promotes() -> Iterator[None]:
    """Memax multiplies numbers with flags, and arrays of one rank with those of another."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _memax(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            "memax is not installed", "Its cells are an optional extra.", "Run: pip install 'throughtime[memax]'."
        ) from error
