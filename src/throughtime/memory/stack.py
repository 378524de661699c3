"""Memories on top of each other."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError
from throughtime.memory.base import Memory


class StackState(NamedTuple):
    """What a stack remembers."""

    layers: tuple[Any, ...]  # the state of each layer, the lowest first


class Stack(Memory):
    """A stack: the output of each layer is the input of the next.

        y^0 = x;   y^l = layer_l(y^{l−1}) [+ y^{l−1}]

    The term in brackets is the residual connection (He et al. 2016); a layer that changes the width has none.
    """

    layers: tuple[Memory, ...]
    residual: bool = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, layers: Sequence[Memory], *, residual: bool = False):
        """Puts memories on top of each other.

        Args:
            layers: at least one memory, the lowest first; each takes what the one below puts out.
            residual: whether a layer's input is added to its output wherever both have the same size.

        Raises:
            ConfigError: no layers, or two that do not fit.
        """
        if not layers:
            raise ConfigError("a stack of no layers", "A stack needs at least one.", "Set num_layers to 1 or more.")
        for below, above in pairwise(layers):
            if below.output_size != above.input_size:
                raise ConfigError(
                    f"a layer with {below.output_size} outputs lies under one with {above.input_size} inputs",
                    "Each layer takes what the one below puts out.",
                    f"Give the upper layer an input_size of {below.output_size}.",
                )
        self.layers, self.residual = tuple(layers), residual
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size

    def initial_state(self, batch_size: int) -> StackState:
        """The initial states of all layers."""
        return StackState(tuple(layer.initial_state(batch_size) for layer in self.layers))

    def advance(self, state: StackState, projected: Float[Array, "B I"]) -> tuple[StackState, Float[Array, "B O"]]:
        """One time step through all layers; `projected` is the input itself."""
        states, y = [], projected
        for layer, layer_state in zip(self.layers, state.layers, strict=True):
            layer_state, out = layer.step(layer_state, y)
            states.append(layer_state)
            y = self._join(layer, y, out)
        return StackState(tuple(states)), y

    def gate_activations(self, state: StackState, projected: Float[Array, "B I"]) -> dict[str, Float[Array, "B H"]]:
        """Those of all layers, as `layers.0.forget` and so on."""
        gates, y = {}, projected
        for n, (layer, layer_state) in enumerate(zip(self.layers, state.layers, strict=True)):
            own = layer.gate_activations(layer_state, layer.project(y))
            gates |= {f"layers.{n}.{name}": activation for name, activation in own.items()}
            y = self._join(layer, y, layer.step(layer_state, y)[1])
        return gates

    def unroll(
        self, state: StackState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: StackState | None = None
    ) -> tuple[StackState, Float[Array, "T B O"]]:
        """Layer by layer, each with its own unroll: all time steps of one before the first of the next."""
        states, ys = [], xs
        layer_taps = [None] * len(self.layers) if taps is None else taps.layers
        for layer, layer_state, tap in zip(self.layers, state.layers, layer_taps, strict=True):
            layer_state, out = layer.unroll(layer_state, ys, resets, tap)
            states.append(layer_state)
            ys = self._join(layer, ys, out)
        return StackState(tuple(states)), ys

    def _join(self, layer: Memory, below: Array, out: Array) -> Array:
        return out + below if self.residual and layer.input_size == layer.output_size else out
