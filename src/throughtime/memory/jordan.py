"""The Jordan network (Jordan 1986): the output is fed back."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import affine
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory.activations import Activation, activation
from throughtime.memory.base import Memory, initial_rows
from throughtime.memory.readout import Readout


class JordanState(NamedTuple):
    """What a Jordan network remembers."""

    y: Float[Array, "B O"]  # the last output


class Jordan(Memory):
    """A Jordan network.

        h_t = f(x_t W_xh + y_{t-1} W_yh + b_h)
        y_t = g(h_t W_hy + b_y)

    Reference: Jordan 1986, "Serial order: a parallel distributed processing approach", ICS Report 8604, UC
    San Diego.
    """

    weight_xh: Float[Array, "I H"]
    weight_yh: Float[Array, "O H"]
    bias_h: Float[Array, " H"]
    readout: Readout
    initial_y: Float[Array, " O"] | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    f: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        f: Activation = "tanh",
        g: Activation = "identity",
        output_size: int | None = None,
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a Jordan network with Glorot weights and an orthogonal feedback matrix.

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units.
            f: hidden activation, by name or as a callable on `[..., H]`.
            g: output activation, by name or as a callable on `[..., O]`.
            output_size: O, outputs and so the size of the memory, or None for H.
            learn_initial_state: whether the initial output is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, or no function of that name.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        self.f = activation(f, "f")
        self.input_size, self.hidden_size, self.output_size = (
            input_size,
            hidden_size,
            output_size or hidden_size,
        )
        key_xh, key_yh, key_hy = jax.random.split(key, 3)
        self.weight_xh = initialisers.glorot(key_xh, (input_size, hidden_size), dtype)
        self.weight_yh = initialisers.orthogonal(key_yh, (self.output_size, hidden_size), dtype)
        self.bias_h = jnp.zeros(hidden_size, dtype)
        self.readout = Readout(hidden_size, self.output_size, g, dtype=dtype, key=key_hy)
        self.initial_y = jnp.zeros(self.output_size, dtype) if learn_initial_state else None

    def initial_state(self, batch_size: int) -> JordanState:
        """Zeros, or the learned row, for each of `batch_size` sequences."""
        return JordanState(initial_rows(self.initial_y, batch_size, (self.output_size,), self.weight_yh.dtype))

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch H"]:
        """`x W_xh + b_h`."""
        return affine(x, self.weight_xh, self.bias_h)

    def advance(self, state: JordanState, projected: Float[Array, "B H"]) -> tuple[JordanState, Float[Array, "B O"]]:
        """One time step; the readout is inside it, for its output is what is remembered."""
        y = self.readout(self.f(projected + state.y @ self.weight_yh))
        return JordanState(y), y
