"""The gated recurrent unit (Cho et al. 2014)."""

from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import affine, sigmoid
from throughtime.kernels import Kind
from throughtime.memory import initialisers
from throughtime.memory._checks import check_choice, check_sizes
from throughtime.memory._fused import unroll_fused
from throughtime.memory.base import broadcast_rows, initial_rows
from throughtime.memory.gated import Gated


class GRUState(NamedTuple):
    """What a GRU remembers."""

    h: Float[Array, "B H"]  # hidden state


class GRU(Gated):
    r"""A GRU.

        r = σ(x W_xr + h W_hr + b_r)                      reset gate
        z = σ(x W_xz + h W_hz + b_z)                      update gate
        n = tanh(x W_xn + b_n + r ∘ (h W_hn + b_hn))      candidate, `reset="after"` (cuDNN, PyTorch, Keras)
        n = tanh(x W_xn + b_n + (r ∘ h) W_hn)             candidate, `reset="before"` (Cho et al. 2014, v1)
        h' = (1 − z) ∘ n + z ∘ h

    The output is the hidden state. The weights of the three gates lie side by side in one matrix, so that one
    product serves all; `gate("update")` returns a gate's own weights by name.

    Reference: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder", arXiv 1406.1078.
    """

    gates: ClassVar[tuple[str, ...]] = ("reset", "update", "candidate")

    weight_xh: Float[Array, "I GH"]
    weight_hh: Float[Array, "H GH"]
    bias_h: Float[Array, " GH"]
    bias_hn: Float[Array, " H"] | None
    initial_h: Float[Array, " H"] | None
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    reset: Literal["after", "before"] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["after", "before"] = "after",
        chrono: float | None = None,
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a GRU with Glorot input weights and orthogonal recurrent weights.

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units; also the output size.
            reset: whether the reset gate applies "after" the recurrent product (cuDNN's variant) or "before"
                it (the original).
            chrono: T_max in steps of the chrono initialisation of the update gate's bias (Tallec & Ollivier
                2018), or None for zero biases.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, a `chrono` below 2, or a `reset` that is neither.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        check_choice("reset", reset, ("after", "before"))
        self.input_size, self.output_size, self.reset = input_size, hidden_size, reset
        key_xh, key_hh, key_bias = jax.random.split(key, 3)
        self.weight_xh = initialisers.gatewise(initialisers.glorot, key_xh, (input_size, hidden_size), 3, dtype)
        self.weight_hh = initialisers.gatewise(initialisers.orthogonal, key_hh, (hidden_size, hidden_size), 3, dtype)
        zeros = jnp.zeros(hidden_size, dtype)
        update = zeros if chrono is None else initialisers.chrono(key_bias, hidden_size, chrono, dtype)
        self.bias_h = jnp.concatenate([zeros, update, zeros])
        self.bias_hn = jnp.zeros(hidden_size, dtype) if reset == "after" else None
        self.initial_h = jnp.zeros(hidden_size, dtype) if learn_initial_state else None

    def initial_state(self, batch_size: int) -> GRUState:
        """Zeros, or the learned row, for each of `batch_size` sequences."""
        return GRUState(initial_rows(self.initial_h, batch_size, (self.output_size,), self.weight_hh.dtype))

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch GH"]:
        """`x W_xh + b_h` for the three gates."""
        return affine(x, self.weight_xh, self.bias_h)

    def advance(self, state: GRUState, projected: Float[Array, "B GH"]) -> tuple[GRUState, Float[Array, "B H"]]:
        """One time step; see the class for the equations."""
        h, _ = self._gated(state, projected)
        return GRUState(h), h

    def unroll(
        self, state: GRUState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: GRUState | None = None
    ) -> tuple[GRUState, Float[Array, "T B H"]]:
        """All time steps in one native call where that is possible."""
        kind = Kind("gru-after") if self.reset == "after" else Kind("gru-before")
        fused = unroll_fused(self, kind, state, xs, resets, taps)
        return super().unroll(state, xs, resets, taps) if fused is None else fused

    def gate_activations(self, state: GRUState, projected: Float[Array, "B GH"]) -> dict[str, Float[Array, "B H"]]:
        """The reset gate r and the update gate z."""
        return self._gated(state, projected)[1]

    def _gated(self, state: GRUState, projected: Array) -> tuple[Array, dict[str, Array]]:
        """The next hidden state, and the gates on the way to it."""
        h, H = state.h, self.output_size
        x_rz, x_n = projected[:, : 2 * H], projected[:, 2 * H :]
        if self.reset == "after":
            product = h @ self.weight_hh
            r, z = jnp.split(sigmoid(x_rz + product[:, : 2 * H]), 2, axis=1)
            assert self.bias_hn is not None
            n = jnp.tanh(x_n + r * (product[:, 2 * H :] + broadcast_rows(self.bias_hn, h.shape[0])))
        else:
            r, z = jnp.split(sigmoid(x_rz + h @ self.weight_hh[:, : 2 * H]), 2, axis=1)
            n = jnp.tanh(x_n + (r * h) @ self.weight_hh[:, 2 * H :])
        return n + z * (h - n), {"reset": r, "update": z}

    def gate(self, name: str) -> dict[str, Array]:
        """As for every gated memory; the candidate of `reset="after"` has a `bias_hn [H]` too."""
        weights = super().gate(name)
        if self.bias_hn is not None and name == "candidate":
            weights["bias_hn"] = self.bias_hn
        return weights
