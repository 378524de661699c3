"""GRU and LSTM reduced to gates that do not read the state, and so linear in it (Feng et al. 2024)."""

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import affine, sigmoid
from throughtime.memory import initialisers
from throughtime.memory._checks import check_choice, check_sizes
from throughtime.memory.base import initial_rows
from throughtime.memory.linear import SCANS, LinearMemory, Scan
from throughtime.memory.parallel import Number


class MinimalState(NamedTuple):
    """What a minGRU or a minLSTM remembers."""

    h: Float[Array, "B H"]  # hidden state


class MinimalInput(NamedTuple):
    """What a minGRU or a minLSTM reads: how much it keeps, and what it adds."""

    a: Float[Array, "*batch H"]
    b: Float[Array, "*batch H"]


class Minimal(LinearMemory):
    """What minGRU and minLSTM share: gates of the input alone, side by side in one matrix."""

    gates: ClassVar[tuple[str, ...]]
    per_unit: ClassVar[tuple[str, ...]] = ("weight_xh", "bias_h", "initial_h")

    weight_xh: Float[Array, "I GH"]
    bias_h: Float[Array, " GH"]
    initial_h: Float[Array, " H"] | None
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    scan: Scan = eqx.field(static=True)
    learn_initial_state: bool = eqx.field(static=True)

    def initial_state(self, batch_size: int) -> MinimalState:
        """Zeros, or the learned row, for each of `batch_size` sequences."""
        return MinimalState(initial_rows(self.initial_h, batch_size, (self.output_size,), self.weight_xh.dtype))

    def coefficients(self, projected: MinimalInput) -> tuple[Number, Number]:
        """What `project` made."""
        return (projected.a,), (projected.b,)

    def hidden(self, state: MinimalState, projected: MinimalInput) -> Float[Array, "*batch H"]:
        """The hidden state is the output."""
        del projected
        return state.h

    def gate(self, name: str) -> dict[str, Array]:
        """The weights of one gate: `weight_xh [I, H]` and `bias_h [H]`.

        Args:
            name: one of `gates`.

        Raises:
            ConfigError: there is no such gate.
        """
        check_choice("gate", name, self.gates)
        H = self.output_size
        part = slice(self.gates.index(name) * H, (self.gates.index(name) + 1) * H)
        return {"weight_xh": self.weight_xh[:, part], "bias_h": self.bias_h[part]}


class MinGRU(Minimal):
    r"""A minGRU.

        z  = σ(x W_xz + b_z)               update gate
        n  = x W_xn + b_n                  candidate
        h' = (1 − z) ∘ h + z ∘ n

    A GRU without the reset gate, without the candidate's tanh, and with gates that do not read the state. (z is
    the share of what is new, as in the paper; in `GRU` it is the share of what is old.) The output is the hidden
    state. Gates lie between 0 and 1, and the recurrence is an average: it is computed as it stands, not in logarithms.

    Reference: Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201 (section 3.1).
    """

    gates: ClassVar[tuple[str, ...]] = ("update", "candidate")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        chrono: float | None = None,
        scan: Scan = "serial",
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a minGRU with Glorot input weights.

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units; also the output size.
            chrono: T_max in steps of the chrono initialisation of the update gate's bias (Tallec & Ollivier
                2018), or None for zero biases.
            scan: how `unroll` solves the recurrence, "serial" or "parallel" in time; see `LinearMemory`.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, a `chrono` below 2, or a `scan` that is neither.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        check_choice("scan", scan, SCANS)
        self.input_size, self.output_size = input_size, hidden_size
        self.scan, self.learn_initial_state = scan, learn_initial_state
        key_xh, key_bias = jax.random.split(key)
        self.weight_xh = initialisers.gatewise(initialisers.glorot, key_xh, (input_size, hidden_size), 2, dtype)
        zeros = jnp.zeros(hidden_size, dtype)
        update = zeros if chrono is None else -initialisers.chrono(key_bias, hidden_size, chrono, dtype)
        self.bias_h = jnp.concatenate([update, zeros])
        self.initial_h = zeros if learn_initial_state else None

    def project(self, x: Float[Array, "*batch I"]) -> MinimalInput:
        """The gates: a = 1 − z and b = z ∘ n."""
        update, n = jnp.split(affine(x, self.weight_xh, self.bias_h), 2, axis=-1)
        return MinimalInput(sigmoid(-update), sigmoid(update) * n)

    def gate_activations(self, state: MinimalState, projected: MinimalInput) -> dict[str, Float[Array, "B H"]]:
        """Z."""
        del state
        return {"update": 1.0 - projected.a}


class MinLSTM(Minimal):
    r"""A minLSTM.

        f = σ(x W_xf + b_f)                forget gate
        i = σ(x W_xi + b_i)                input gate
        n = x W_xn + b_n                   candidate
        h' = (f ∘ h + i ∘ n) / (f + i)

    An LSTM without the output gate, with one state in the place of two, and with gates that do not read the state
    and are scaled to sum to 1. The output is the hidden state. f/(f + i) is computed as σ(log f − log i), which
    has no 0/0 where both gates are shut.

    Reference: Feng et al. 2024, "Were RNNs all we needed?", arXiv 2410.01201 (section 3.2).
    """

    gates: ClassVar[tuple[str, ...]] = ("forget", "input", "candidate")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        chrono: float | None = None,
        scan: Scan = "serial",
        learn_initial_state: bool = False,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray,
    ):
        """Builds a minLSTM with Glorot input weights.

        Args:
            input_size: I, features of an input.
            hidden_size: H, hidden units; also the output size.
            forget_bias: the forget gate's bias at the start; the other biases start at zero.
            chrono: T_max in steps of the chrono initialisation (Tallec & Ollivier 2018) of the forget gate's bias
                and, with the opposite sign, the input gate's; it replaces `forget_bias`.
            scan: how `unroll` solves the recurrence, "serial" or "parallel" in time; see `LinearMemory`.
            learn_initial_state: whether the initial state is a parameter; otherwise it is zero.
            dtype: dtype of all parameters and of the state.
            key: for the random weights.

        Raises:
            ConfigError: a size below 1, a `chrono` below 2, or a `scan` that is neither.
        """
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        check_choice("scan", scan, SCANS)
        self.input_size, self.output_size = input_size, hidden_size
        self.scan, self.learn_initial_state = scan, learn_initial_state
        key_xh, key_bias = jax.random.split(key)
        self.weight_xh = initialisers.gatewise(initialisers.glorot, key_xh, (input_size, hidden_size), 3, dtype)
        zeros = jnp.zeros(hidden_size, dtype)
        forget, insert = jnp.full(hidden_size, forget_bias, dtype), zeros
        if chrono is not None:
            forget = initialisers.chrono(key_bias, hidden_size, chrono, dtype)
            insert = -forget
        self.bias_h = jnp.concatenate([forget, insert, zeros])
        self.initial_h = zeros if learn_initial_state else None

    def project(self, x: Float[Array, "*batch I"]) -> MinimalInput:
        """The gates: a = f / (f + i) and b = i / (f + i) ∘ n."""
        forget, insert, n = jnp.split(affine(x, self.weight_xh, self.bias_h), 3, axis=-1)
        log_ratio = jax.nn.softplus(-insert) - jax.nn.softplus(-forget)  # log f − log i
        return MinimalInput(sigmoid(log_ratio), sigmoid(-log_ratio) * n)

    def gate_activations(self, state: MinimalState, projected: MinimalInput) -> dict[str, Float[Array, "B H"]]:
        """Both gates as they act, scaled to sum to 1."""
        del state
        return {"forget": projected.a, "input": 1.0 - projected.a}
