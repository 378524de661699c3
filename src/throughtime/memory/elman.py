"""The simple recurrent network (Elman 1990): the hidden state is fed back."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import ConfigError, affine
from throughtime.kernels import ACTIVATIONS as FUSED_ACTIVATIONS
from throughtime.kernels import Kind
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory._fused import unroll_fused
from throughtime.memory.activations import ACTIVATIONS, Activation, activation
from throughtime.memory.base import Memory, initial_rows
from throughtime.memory.readout import Readout
from throughtime.memory.unroll import per_row


class ElmanState(NamedTuple):
    """What an Elman network remembers."""

    h: Float[Array, "B H"]  # hidden state


class Elman(Memory):
    """An Elman network.

        h_t = f(x_t W_xh + h_{t-1} W_hh + b_h)
        y_t = g(h_t W_hy + b_y)                   (without an `output_size`: y_t = h_t)

    Reference: Elman 1990, "Finding structure in time", Cognitive Science 14(2). With relu and the identity as
    recurrent matrix it is the IRNN (Le, Jaitly & Hinton 2015, arXiv 1504.00941).
    """

    weight_xh: Float[Array, "I H"]
    weight_hh: Float[Array, "H H"]
    bias_h: Float[Array, " H"]
    readout: Readout | None
    initial_h: Float[Array, " H"] | None
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
        spectral_radius: float | None = None,
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds an Elman network: Glorot input weights, orthogonal recurrent matrix (identity for relu).

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units.
            f: hidden activation, by name or as a callable on `[..., H]`.
            g: output activation, by name or as a callable on `[..., O]`; used where there is an
                `output_size`.
            output_size: O, outputs of the readout, or None for no readout: the output is the hidden state.
            spectral_radius: ρ makes gradients to order: the recurrent matrix is ρ times an orthogonal one
                (whatever f is), so that a linear network's gradient changes by exactly ρ from step to step,
                in every direction. None for the default above.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, no function of that name, or a `spectral_radius` that is not above 0.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        _check_radius(spectral_radius)
        self.f = activation(f, "f")
        self.input_size, self.hidden_size, self.output_size = (
            input_size,
            hidden_size,
            output_size or hidden_size,
        )
        key_xh, key_hh, key_hy = jax.random.split(key, 3)
        self.weight_xh = initialisers.glorot(key_xh, (input_size, hidden_size), dtype)
        if spectral_radius is not None:
            self.weight_hh = initialisers.orthogonal(key_hh, (hidden_size, hidden_size), dtype, spectral_radius)
        else:
            recurrent = initialisers.identity if self.f is jax.nn.relu else initialisers.orthogonal
            self.weight_hh = recurrent(key_hh, (hidden_size, hidden_size), dtype)
        self.bias_h = jnp.zeros(hidden_size, dtype)
        self.readout = None if output_size is None else Readout(hidden_size, output_size, g, dtype=dtype, key=key_hy)
        self.initial_h = jnp.zeros(hidden_size, dtype) if learn_initial_state else None

    def initial_state(self, batch_size: int) -> ElmanState:
        """Zeros, or the learned row, for each of `batch_size` sequences."""
        return ElmanState(initial_rows(self.initial_h, batch_size, (self.hidden_size,), self.weight_hh.dtype))

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch H"]:
        """`x W_xh + b_h`."""
        return affine(x, self.weight_xh, self.bias_h)

    def advance(self, state: ElmanState, projected: Float[Array, "B H"]) -> tuple[ElmanState, Float[Array, "B H"]]:
        """One step of the hidden state."""
        h = self.f(projected + state.h @ self.weight_hh)
        return ElmanState(h), h

    def read_out(self, hidden: Float[Array, "*batch H"]) -> Float[Array, "*batch O"]:
        """`g(h W_hy + b_y)`, or `h` itself without an `output_size`."""
        return hidden if self.readout is None else self.readout(hidden)

    def unroll(
        self, state: ElmanState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: ElmanState | None = None
    ) -> tuple[ElmanState, Float[Array, "T B O"]]:
        """All time steps in one native call where that is possible."""
        names = [name for name in FUSED_ACTIVATIONS if ACTIVATIONS[name] is self.f]
        fused = unroll_fused(self, Kind("elman", names[0]) if names else None, state, xs, resets, taps)
        if fused is None:
            return super().unroll(state, xs, resets, taps)
        state, hs = fused
        return state, hs if self.readout is None else per_row((self.readout, hs), Readout.__call__)


def _check_radius(spectral_radius: float | None) -> None:
    if spectral_radius is not None and not 0 < spectral_radius < math.inf:
        raise ConfigError(
            f"spectral_radius is {spectral_radius}",
            "It is the largest |eigenvalue| of the recurrent matrix.",
            "Set it above 0: below 1 gradients vanish, above 1 they explode; or leave it out.",
        )
