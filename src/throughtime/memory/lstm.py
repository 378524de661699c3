"""Long short-term memory (Hochreiter & Schmidhuber 1997), with a forget gate and, as an option, peepholes."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import affine, sigmoid
from throughtime.kernels import Kind
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sizes
from throughtime.memory._fused import unroll_fused
from throughtime.memory.base import broadcast_rows, initial_rows
from throughtime.memory.gated import Gated


class LSTMState(NamedTuple):
    """What an LSTM remembers."""

    h: Float[Array, "B H"]  # hidden state, which is also the output
    c: Float[Array, "B H"]  # cell state


class LSTM(Gated):
    r"""An LSTM.

        i = σ(x W_xi + h W_hi + b_i [+ w_ci ∘ c])          input gate
        f = σ(x W_xf + h W_hf + b_f [+ w_cf ∘ c])          forget gate
        n = tanh(x W_xn + h W_hn + b_n)                    candidate
        c' = f ∘ c + i ∘ n
        o = σ(x W_xo + h W_ho + b_o [+ w_co ∘ c'])         output gate
        h' = o ∘ tanh(c')

    The terms in brackets are the peepholes: the input and forget gates see the cell state before the step,
    the output gate the one after it. The output is the hidden state. `gate("forget")` returns a gate's own
    weights by name.

    References: Hochreiter & Schmidhuber 1997, "Long short-term memory"; Gers, Schmidhuber & Cummins 2000,
    "Learning to forget" (forget gate); Gers & Schmidhuber 2000, "Recurrent nets that time and count"
    (peepholes); Jozefowicz, Zaremba & Sutskever 2015, "An empirical exploration of recurrent network
    architectures" (forget bias of 1).
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "output", "candidate")

    weight_xh: Float[Array, "I GH"]
    weight_hh: Float[Array, "H GH"]
    bias_h: Float[Array, " GH"]
    weight_ch: Float[Array, " PH"] | None
    initial_h: Float[Array, " H"] | None
    initial_c: Float[Array, " H"] | None
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        peepholes: bool = False,
        forget_bias: float = 1.0,
        chrono: float | None = None,
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds an LSTM with Glorot input weights and orthogonal recurrent weights; peepholes start at zero.

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units; also the output size.
            peepholes: whether the gates see the cell state.
            forget_bias: the forget gate's bias at the start; the other biases are zero.
            chrono: T_max in steps of the chrono initialisation (b_f = log u, b_i = −b_f; Tallec & Ollivier
                2018), which takes the place of `forget_bias`, or None.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, or a `chrono` below 2.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.output_size = input_size, hidden_size
        key_xh, key_hh, key_bias = jax.random.split(key, 3)
        self.weight_xh = initialisers.gatewise(initialisers.glorot, key_xh, (input_size, hidden_size), 4, dtype)
        self.weight_hh = initialisers.gatewise(initialisers.orthogonal, key_hh, (hidden_size, hidden_size), 4, dtype)
        zeros = jnp.zeros(hidden_size, dtype)
        if chrono is None:
            bias_i, bias_f = zeros, jnp.full(hidden_size, forget_bias, dtype)
        else:
            bias_f = initialisers.chrono(key_bias, hidden_size, chrono, dtype)
            bias_i = -bias_f
        self.bias_h = jnp.concatenate([bias_i, bias_f, zeros, zeros])
        self.weight_ch = jnp.zeros(3 * hidden_size, dtype) if peepholes else None
        self.initial_h = jnp.zeros(hidden_size, dtype) if learn_initial_state else None
        self.initial_c = jnp.zeros(hidden_size, dtype) if learn_initial_state else None

    def initial_state(self, batch_size: int) -> LSTMState:
        """Zeros, or the learned rows, for each of `batch_size` sequences."""
        shape, dtype = (self.output_size,), self.weight_hh.dtype
        return LSTMState(
            h=initial_rows(self.initial_h, batch_size, shape, dtype),
            c=initial_rows(self.initial_c, batch_size, shape, dtype),
        )

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch GH"]:
        """`x W_xh + b_h` for the four gates."""
        return affine(x, self.weight_xh, self.bias_h)

    def advance(self, state: LSTMState, projected: Float[Array, "B GH"]) -> tuple[LSTMState, Float[Array, "B H"]]:
        """One time step; see the class for the equations."""
        state, _ = self._gated(state, projected)
        return state, state.h

    def unroll(
        self, state: LSTMState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: LSTMState | None = None
    ) -> tuple[LSTMState, Float[Array, "T B H"]]:
        """All time steps in one native call where that is possible."""
        fused = unroll_fused(self, Kind("lstm"), state, xs, resets, taps)
        return super().unroll(state, xs, resets, taps) if fused is None else fused

    def gate_activations(self, state: LSTMState, projected: Float[Array, "B GH"]) -> dict[str, Float[Array, "B H"]]:
        """i, f and o."""
        return self._gated(state, projected)[1]

    def _gated(self, state: LSTMState, projected: Array) -> tuple[LSTMState, dict[str, Array]]:
        """The next state, and the gates on the way to it."""
        h, c = state
        i, f, o, n = jnp.split(projected + h @ self.weight_hh, 4, axis=1)
        if self.weight_ch is None:
            i, f = sigmoid(i), sigmoid(f)
            c = f * c + i * jnp.tanh(n)
        else:
            w_ci, w_cf, w_co = jnp.split(broadcast_rows(self.weight_ch, h.shape[0]), 3, axis=1)
            i, f = sigmoid(i + w_ci * c), sigmoid(f + w_cf * c)
            c = f * c + i * jnp.tanh(n)
            o = o + w_co * c
        o = sigmoid(o)
        return LSTMState(o * jnp.tanh(c), c), {"input": i, "forget": f, "output": o}

    def gate(self, name: str) -> dict[str, Array]:
        """As for every gated memory; with peepholes `weight_ch [H]` too (the candidate has none)."""
        weights = super().gate(name)
        if self.weight_ch is not None and name != "candidate":
            weights["weight_ch"] = self.weight_ch.reshape(3, -1)[self.gates.index(name)]
        return weights
