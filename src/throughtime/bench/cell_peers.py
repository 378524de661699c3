"""The same recurrent layers in other libraries, as each of them documents its fastest use on a CPU.

Every peer is a function `(cell, T, B, I, H) -> (forward, both)`: the outputs of a layer over a whole sequence, and
these with the gradient of Σ w·y with respect to all parameters and the input. Inputs are float32, in the layout that
the peer prefers.
"""
# pyright: reportMissingImports=false

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.bench.timing import Work
from throughtime.memory import make_memory

Sizes = tuple[int, int, int, int]  # T, B, I, H
CELLS = ("elman", "lstm", "gru")


def ours(cell: str, sizes: Sizes) -> tuple[Work, Work]:
    """This library's."""
    T, B, I, H = sizes  # noqa: E741
    memory = make_memory(cell, I, H, key=jax.random.key(0))
    resets = jnp.zeros((T, B), bool)

    def unroll(memory: Any, xs: Any) -> Any:
        return memory.unroll(memory.initial_state(B), xs, resets)[1]

    return _jax_works(unroll, memory, (T, B, I), (T, B, H))


def torch_nn(cell: str, sizes: Sizes) -> tuple[Work, Work]:
    """torch.nn.RNN, LSTM or GRU, eager, as it is used (torch.compile leaves them as they are)."""
    import torch

    T, B, I, H = sizes  # noqa: E741
    torch.manual_seed(0)
    layer = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](I, H)
    xs, w = torch.randn(T, B, I, requires_grad=True), torch.randn(T, B, H)

    def forward() -> None:
        with torch.inference_mode():
            layer(xs)

    def both() -> None:
        layer.zero_grad()
        xs.grad = None
        (layer(xs)[0] * w).sum().backward()

    return forward, both


def flax_nnx(cell: str, sizes: Sizes) -> tuple[Work, Work]:
    """flax.nnx.RNN, under jit."""
    from flax import nnx

    T, B, I, H = sizes  # noqa: E741
    kind = {"elman": nnx.SimpleCell, "lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}[cell]
    graph, parameters, rest = nnx.split(nnx.RNN(kind(I, H, rngs=nnx.Rngs(0)), time_major=True), nnx.Param, ...)

    def unroll(parameters: Any, xs: Any) -> Any:
        zeros = jnp.zeros((B, H))
        return nnx.merge(graph, parameters, rest)(xs, initial_carry=(zeros, zeros) if cell == "lstm" else zeros)

    return _jax_works(unroll, parameters, (T, B, I), (T, B, H))


class _EquinoxElman(eqx.Module):
    """Equinox has no simple recurrent cell; this is one as its users write it."""

    x: eqx.nn.Linear
    h: eqx.nn.Linear

    def __call__(self, x: Any, h: Any) -> Any:
        return jnp.tanh(self.x(x) + self.h(h))


def equinox_scan(cell: str, sizes: Sizes) -> tuple[Work, Work]:
    """An Equinox cell, vmapped over the batch, in a lax.scan."""
    T, B, I, H = sizes  # noqa: E741
    key_x, key_h = jax.random.split(jax.random.key(0))
    if cell == "elman":
        module = _EquinoxElman(eqx.nn.Linear(I, H, key=key_x), eqx.nn.Linear(H, H, use_bias=False, key=key_h))
    else:
        module = {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}[cell](I, H, key=key_x)

    def unroll(module: Any, xs: Any) -> Any:
        zeros = jnp.zeros((B, H))

        def body(state: Any, x: Any) -> Any:
            state = jax.vmap(module)(x, state)
            return state, state[0] if cell == "lstm" else state

        return jax.lax.scan(body, (zeros, zeros) if cell == "lstm" else zeros, xs)[1]

    return _jax_works(unroll, module, (T, B, I), (T, B, H))


def keras_jax(cell: str, sizes: Sizes) -> tuple[Work, Work]:
    """A Keras 3 layer on its JAX backend, stateless, under jit; batch-major, as Keras is."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    T, B, I, H = sizes  # noqa: E741
    kind = {"elman": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    layer = kind(H, return_sequences=True)
    layer.build((B, T, I))
    others = [variable.value for variable in layer.non_trainable_variables]

    def unroll(parameters: Any, xs: Any) -> Any:
        return layer.stateless_call(parameters, others, xs)[0]

    return _jax_works(unroll, [variable.value for variable in layer.trainable_variables], (B, T, I), (B, T, H))


PEERS: dict[str, tuple[str, Callable[[str, Sizes], tuple[Work, Work]]]] = {
    "torch.nn": ("torch", torch_nn),
    "flax.nnx.RNN": ("flax", flax_nnx),
    "equinox scan": ("equinox", equinox_scan),
    "keras on JAX": ("keras", keras_jax),
}


def installed() -> list[str]:
    """The peers that can be imported here."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is not None]


def missing() -> dict[str, str]:
    """The other peers, each with the command that installs it."""
    here = installed()
    return {name: f"pip install {package}" for name, (package, _) in PEERS.items() if name not in here}


def _jax_works(unroll: Callable, parameters: Any, x_shape: tuple, y_shape: tuple) -> tuple[Work, Work]:
    xs, w = jax.random.normal(jax.random.key(1), x_shape), jax.random.normal(jax.random.key(2), y_shape)
    arrays, rest = eqx.partition(parameters, eqx.is_array)
    forward = jax.jit(lambda arrays, xs: unroll(eqx.combine(arrays, rest), xs))
    gradient = jax.jit(jax.value_and_grad(lambda *diff: jnp.sum(forward(*diff) * w), argnums=(0, 1)))
    return (
        lambda: jax.block_until_ready(forward(arrays, xs)),
        lambda: jax.block_until_ready(gradient(arrays, xs)),
    )
