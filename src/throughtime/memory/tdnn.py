"""The time-delay neural network (Waibel et al. 1989): a window of past inputs instead of a recurrence."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import affine
from throughtime.memory import initialisers
from throughtime.memory._checks import check_sequence, check_sizes
from throughtime.memory.activations import Activation, activation
from throughtime.memory.base import Memory, initial_rows
from throughtime.memory.unroll import per_row


class TDNNState(NamedTuple):
    """What a TDNN remembers."""

    window: Float[Array, "B D I"]  # the last D = (taps − 1)·dilation inputs, the oldest first


class TDNN(Memory):
    r"""A time-delay layer.

        y_t = f(Σ_k x_{t − k·dilation} W_k + b),   k = 0 … taps − 1

    It remembers exactly (taps − 1)·dilation steps and not one more. Before the first input the window holds
    zeros, or what it learned.

    Reference: Waibel et al. 1989, "Phoneme recognition using time-delay neural networks", IEEE Trans. ASSP
    37(3).
    """

    weight_xh: Float[Array, "K I H"]
    bias_h: Float[Array, " H"]
    initial_window: Float[Array, "D I"] | None
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    taps: int = eqx.field(static=True)
    dilation: int = eqx.field(static=True)
    f: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        taps: int = 4,
        dilation: int = 1,
        f: Activation = "tanh",
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a time-delay layer with Glorot weights (over all taps) and a zero bias.

        Args:
            input_size: I, features of an input.
            hidden_size: H, units; also the output size.
            taps: K, how many inputs each output sees, the present one included.
            dilation: steps from one tap to the next.
            f: activation, by name or as a callable on `[..., H]`.
            learn_initial_state: whether the window before the first input is a parameter; otherwise it is
                zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, or no function of that name.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size, taps=taps, dilation=dilation)
        self.f = activation(f, "f")
        self.input_size, self.output_size, self.taps, self.dilation = input_size, hidden_size, taps, dilation
        weight = initialisers.glorot(key, (taps * input_size, hidden_size), dtype)
        self.weight_xh = weight.reshape(taps, input_size, hidden_size)
        self.bias_h = jnp.zeros(hidden_size, dtype)
        self.initial_window = jnp.zeros((self.delay, input_size), dtype) if learn_initial_state else None

    @property
    def delay(self) -> int:
        """D, how many steps back the oldest tap sees: (taps − 1)·dilation."""
        return (self.taps - 1) * self.dilation

    def initial_state(self, batch_size: int) -> TDNNState:
        """A window of zeros, or the learned one, for each of `batch_size` sequences."""
        shape = (self.delay, self.input_size)
        return TDNNState(initial_rows(self.initial_window, batch_size, shape, self.weight_xh.dtype))

    def advance(self, state: TDNNState, projected: Float[Array, "B I"]) -> tuple[TDNNState, Float[Array, "B H"]]:
        """One time step; `projected` is the input itself."""
        line = jnp.concatenate([state.window, projected[:, None]], axis=1)  # [B, D+1, I]
        taps = line[:, :: -self.dilation]  # [B, K, I], the present input first
        return TDNNState(line[:, 1:]), self._combine(taps.reshape(taps.shape[0], self.taps * self.input_size))

    def unroll(
        self, state: TDNNState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: TDNNState | None = None
    ) -> tuple[TDNNState, Float[Array, "T B H"]]:
        """All time steps in one product: no loop, for no step needs the one before it.

        Each tap looks up its input in the line (window, then `xs`). Where that lies before the last reset, it
        looks up the initial window instead, as far before the reset as the tap sees. (With `taps` on the state
        there is something to add between steps, and so a loop.)
        """
        if taps is not None:
            return super().unroll(state, xs, resets, taps)
        check_sequence(self, state, xs, resets)
        T, D = xs.shape[0], self.delay
        line = jnp.concatenate([jnp.swapaxes(state.window, 0, 1), xs])  # [D+T, B, I]; time t lies at D+t
        marks = jnp.where(resets, jnp.arange(T)[:, None], -D)
        starts = jax.lax.associative_scan(jnp.maximum, marks)  # [T, B], the last reset up to time t, or -D
        seen = [self._look(line, -k * self.dilation, starts) for k in range(self.taps)]
        ys = per_row((self, jnp.concatenate(seen, axis=-1)), TDNN._combine)
        last = jnp.max(marks, axis=0, initial=-D, keepdims=True)
        window = self._look(line, T - D, jnp.broadcast_to(last, (D, xs.shape[1])))
        return TDNNState(jnp.swapaxes(window, 0, 1)), ys

    def _combine(self, taps: Float[Array, "*batch KI"]) -> Float[Array, "*batch H"]:
        return self.f(affine(taps, self.weight_xh.reshape(-1, self.output_size), self.bias_h))

    def _look(self, line: Float[Array, "S B I"], first: int, starts: Int[Array, "N B"]) -> Float[Array, "N B I"]:
        """What sequences that began at `starts` hold at the N times from `first` on."""
        N, D = starts.shape[0], self.delay
        since = jnp.arange(first, first + N)[:, None] - starts  # [N, B], negative before the sequence began
        seen = line[D + first : D + first + N]
        if self.initial_window is None:
            before = jnp.zeros_like(seen)
        else:
            before = self.initial_window[jnp.clip(D + since, 0, D - 1)]
        return jnp.where((since < 0)[..., None], before, seen)
