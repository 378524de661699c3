"""No memory: the twin with the same interface that shows what memory is worth."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import affine
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sequence, check_sizes
from throughtime.memory.activations import Activation, activation
from throughtime.memory.base import Memory, NoState
from throughtime.memory.unroll import per_row


class Memoryless(Memory):
    """A feed-forward layer of a memory's width, y = f(x W_xh + b_h): it knows the present input alone."""

    weight_xh: Float[Array, "I H"]
    bias_h: Float[Array, " H"]
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    f: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        f: Activation = "tanh",
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a layer with Glorot weights and a zero bias.

        Args:
            input_size: I, features of an input.
            hidden_size: H, units; also the output size.
            f: activation, by name or as a callable on `[..., H]`.
            dtype: dtype of all parameters.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, or no function of that name.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.f = activation(f, "f")
        self.input_size, self.output_size = input_size, hidden_size
        self.weight_xh = initialisers.glorot(key, (input_size, hidden_size), dtype)
        self.bias_h = jnp.zeros(hidden_size, dtype)

    def initial_state(self, batch_size: int) -> NoState:
        """Nothing."""
        del batch_size
        return NoState()

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch H"]:
        """The whole layer: no part of it needs a state."""
        return self.f(affine(x, self.weight_xh, self.bias_h))

    def advance(self, state: NoState, projected: Float[Array, "B H"]) -> tuple[NoState, Float[Array, "B H"]]:
        """Passes the output of `project` on."""
        return state, projected

    def unroll(
        self, state: NoState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: NoState | None = None
    ) -> tuple[NoState, Float[Array, "T B H"]]:
        """All time steps at once; there is nothing to reset, and no state to tap."""
        check_sequence(self, state, xs, resets)
        del resets, taps
        return state, per_row((self, xs), Memoryless.project)
