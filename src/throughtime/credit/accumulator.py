"""RUDDER's own LSTM: it can only add up, so what a step contributes stays where it was added."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import affine, sigmoid
from throughtime.memory import Memory


class AccumulatorState(NamedTuple):
    """What it has added up."""

    c: Float[Array, "B H"]  # the cell state, which is also the output


class Accumulator(Memory):
    r"""An LSTM without forget gate and output gate.

        i = σ(c W_hi + b_i)         input gate: of what was added up alone
        n = tanh(x W_xn + b_n)      candidate: of the present input alone
        c' = c + i ∘ n

    The output is c'. Nothing is ever forgotten, so that the prediction's change at step t is what step t brought,
    weighted by what was known before. Gate and candidate begin as in the published code: normal weights (0.1), the
    gate nearly closed (bias −3), the candidate's biases standard normal.

    Reference: Arjona-Medina et al. 2019, supplement S4.2.1; ml-jku/rudder-demonstration-code.
    """

    weight_xn: Float[Array, "I H"]
    weight_hi: Float[Array, "H H"]
    bias_n: Float[Array, " H"]
    bias_i: Float[Array, " H"]
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, key: PRNGKeyArray):
        """Random weights.

        Args:
            input_size: I.
            hidden_size: H, also the output size.
            key: for the weights.
        """
        keys = jax.random.split(key, 4)
        self.weight_xn = 0.1 * jax.random.normal(keys[0], (input_size, hidden_size))
        self.weight_hi = 0.1 * jax.random.normal(keys[1], (hidden_size, hidden_size))
        self.bias_n = jax.random.normal(keys[2], (hidden_size,))
        self.bias_i = jax.random.normal(keys[3], (hidden_size,)) - 3.0
        self.input_size, self.output_size = input_size, hidden_size

    def initial_state(self, batch_size: int) -> AccumulatorState:
        """Zero."""
        return AccumulatorState(jnp.zeros((batch_size, self.output_size), self.bias_i.dtype))

    def project(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch H"]:
        """The candidate."""
        return jnp.tanh(affine(x, self.weight_xn, self.bias_n))

    def advance(
        self, state: AccumulatorState, projected: Float[Array, "B H"]
    ) -> tuple[AccumulatorState, Float[Array, "B H"]]:
        """Adds the candidate, as far as the gate lets it."""
        c = state.c + sigmoid(affine(state.c, self.weight_hi, self.bias_i)) * projected
        return AccumulatorState(c), c
