"""Activation functions by name, so that a config can carry them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array

from throughtime.core import sigmoid
from throughtime.memory._checks import check_choice

Activation = str | Callable[[Array], Array]


def _identity(x: Array) -> Array:
    return x


def _softmax(x: Array) -> Array:
    return jax.nn.softmax(x, axis=-1)


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "identity": _identity,
        "relu": jax.nn.relu,
        "sigmoid": sigmoid,
        "softmax": _softmax,
        "softplus": jax.nn.softplus,
        "tanh": jnp.tanh,
    }
)


def activation(function: Activation, name: str) -> Callable[[Array], Array]:
    """The function that a name stands for; a callable is returned as it is.

    Args:
        function: a name in `ACTIVATIONS`, or a function on arrays `[..., features]` without parameters of its
            own.
        name: the option's name, for the error.

    Raises:
        ConfigError: no activation has this name.
    """
    if callable(function):
        return function
    check_choice(name, function, ACTIVATIONS)
    return ACTIVATIONS[function]
