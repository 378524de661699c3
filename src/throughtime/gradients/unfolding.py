"""Unfolding: the recurrent network as the deep feed-forward network that it is.

T copies of one step lie above each other; copy t hands its state to copy t+1. Outputs and gradients are those of
the folded network, `Memory.unroll`. Made for looking: what `untied` gives each copy is that time step's own
share of ∂L/∂W. For training use `Memory.unroll`: the program of an unfolded network grows with T.

References: Rumelhart, Hinton & Williams 1986, "Learning internal representations by error propagation", section
"Recurrent nets"; Werbos 1990, "Backpropagation through time: what it does and how to do it".
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError, select_rows
from throughtime.memory import Memory, check_sequence


class Unfolded(eqx.Module):
    """T copies of a memory's step, one above the other: a feed-forward network without a loop.

    As `unfold` makes it, all copies share one set of parameters, `copies[0]`: its gradient is the sum over time.
    """

    copies: tuple[Memory, ...]  # one that all time steps share, or one for each
    T: int = eqx.field(static=True)

    def __call__(
        self, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
    ) -> tuple[Any, Float[Array, "T B O"]]:
        """As `Memory.unroll`, over exactly T steps.

        The gradient is the one of plain automatic differentiation: other than through `Memory.unroll`, a NaN in
        padding before a reset spoils it.

        Args:
            state: the state before `xs[0]`, leaves `[B, ...]`.
            xs: inputs, `[T, B, I]`.
            resets: `[T, B]`; where true the state is replaced with `initial_state` before `xs[t]` is read.

        Returns:
            The state after `xs[T-1]`, and all outputs `[T, B, O]`.

        Raises:
            ConfigError: `xs` has another number of steps than the network has copies, or arrays that do not fit each
                other.
        """
        check_sequence(self.layer(0), state, xs, resets)
        if xs.shape[0] != self.T:
            raise ConfigError(
                f"xs has {xs.shape[0]} steps, the unfolded network {self.T}",
                "Each step of a sequence has a layer of its own.",
                f"Give it xs of shape [{self.T}, B, I], or write unfold(memory, {xs.shape[0]}).",
            )
        ys = []
        for t in range(self.T):
            layer = self.layer(t)
            state = select_rows(resets[t], layer.initial_state(xs.shape[1]), state)
            state, y = layer.step(state, xs[t])
            ys.append(y)
        return state, jnp.stack(ys)

    def layer(self, t: int) -> Memory:
        """The copy that reads `xs[t]`."""
        return self.copies[t % len(self.copies)]

    def untied(self) -> "Unfolded":
        """The same network, each copy with parameters of its own.

        Its gradient has in `copies[t]` what time step t alone contributes to ∂L/∂W; their sum is the gradient of
        the network whose copies share.
        """
        return Unfolded(tuple(self.layer(t) for t in range(self.T)), self.T)


def unfold(memory: Memory, T: int) -> Unfolded:
    """The explicit feed-forward network of a memory that reads T steps, without a loop.

    Args:
        memory: any memory.
        T: steps, at least 1; the network has a layer for each.

    Returns:
        A module to call with `(state, xs, resets)`, whose gradient is a module of the same structure.

    Raises:
        ConfigError: no memory, or T is no whole number of 1 or more.
    """
    if not isinstance(memory, Memory):
        raise ConfigError(
            f"{memory!r} is no memory.",
            "What is unfolded is the step of a memory, with its weights.",
            'Write unfold(make_memory("gru", input_size, hidden_size, key=key), T).',
        )
    if isinstance(T, bool) or not isinstance(T, int | np.integer) or T < 1:
        raise ConfigError(
            f"T is {T}", "An unfolded network has a layer for each time step.", "Set T to a whole number of 1 or more."
        )
    return Unfolded((memory,), int(T))
