"""The readout y = g(h W_hy + b_y), as a layer and around any memory."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from throughtime.core import affine
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory.activations import Activation, activation
from throughtime.memory.base import Memory
from throughtime.memory.unroll import per_row


class Readout(eqx.Module):
    """The layer y = g(h W_hy + b_y)."""

    weight_hy: Float[Array, "H O"]
    bias_y: Float[Array, " O"]
    g: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        hidden_size: int,
        output_size: int,
        g: Activation = "identity",
        *,
        initialiser: Callable[..., Array] = initialisers.glorot,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a layer with a zero bias.

        Args:
            hidden_size: H.
            output_size: O.
            g: output function, by name or as a callable on `[..., O]`.
            initialiser: of the weight, called with (key, shape, dtype); Glorot by default.
            dtype: dtype of the parameters.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, or no function of that name.
        """
        check_sizes(hidden_size=hidden_size, output_size=output_size)
        self.g = activation(g, "g")
        self.weight_hy = initialiser(key, (hidden_size, output_size), dtype)
        self.bias_y = jnp.zeros(output_size, dtype)

    def __call__(self, h: Float[Array, "*batch H"]) -> Float[Array, "*batch O"]:
        """`g(h W_hy + b_y)` over any leading axes."""
        return self.g(affine(h, self.weight_hy, self.bias_y))


class WithReadout(Memory):
    """Any memory, and a readout of its output: y = g(h W_hy + b_y). The state is the memory's."""

    memory: Memory
    readout: Readout
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, memory: Memory, output_size: int, g: Activation = "identity", *, key: PRNGKeyArray):
        """Puts a readout on a memory.

        Args:
            memory: any memory with parameters; the readout takes their dtype.
            output_size: O.
            g: output function, by name or as a callable on `[..., O]`.
            key: for the readout's weights.

        Raises:
            ConfigError: a size below 1, or no function of that name.
        """
        dtype = jax.tree.leaves(eqx.filter(memory, eqx.is_inexact_array))[0].dtype
        self.memory = memory
        self.readout = Readout(memory.output_size, output_size, g, dtype=dtype, key=key)
        self.input_size, self.output_size = memory.input_size, output_size

    def initial_state(self, batch_size: int) -> Any:
        """The memory's."""
        return self.memory.initial_state(batch_size)

    def project(self, x: Float[Array, "*batch I"]) -> PyTree:
        """The memory's."""
        return self.memory.project(x)

    def advance(self, state: Any, projected: PyTree) -> tuple[Any, PyTree]:
        """The memory's."""
        return self.memory.advance(state, projected)

    def read_out(self, hidden: PyTree) -> Float[Array, "*batch O"]:
        """The memory's own, then `g(h W_hy + b_y)`."""
        return self.readout(self.memory.read_out(hidden))

    def gate_activations(self, state: Any, projected: PyTree) -> dict[str, Float[Array, "B H"]]:
        """The memory's."""
        return self.memory.gate_activations(state, projected)

    def unroll(
        self, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[Any, Float[Array, "T B O"]]:
        """The memory's own unroll, then one product for all time steps."""
        state, hs = self.memory.unroll(state, xs, resets, taps)
        return state, per_row((self.readout, hs), Readout.__call__)
