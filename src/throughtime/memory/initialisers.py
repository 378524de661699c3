"""Initial weights that let a recurrent network learn from its first update."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError

Shape = tuple[int, int]


def glorot(key: PRNGKeyArray, shape: Shape, dtype: DTypeLike = jnp.float32) -> Float[Array, "I O"]:
    """Uniform in ±√(6/(I+O)) (Glorot & Bengio 2010)."""
    limit = (6.0 / (shape[0] + shape[1])) ** 0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def orthogonal(
    key: PRNGKeyArray, shape: Shape, dtype: DTypeLike = jnp.float32, gain: float = 1.0
) -> Float[Array, "I O"]:
    """A random matrix with orthonormal columns (rows, where there are fewer) times `gain` (Saxe et al. 2014).

    As a recurrent matrix it keeps the norm of what it multiplies: neither vanishing nor exploding at the
    start.
    """
    # The QR decomposition behind it knows no 16-bit floats.
    wide = dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32
    return jax.nn.initializers.orthogonal(gain)(key, shape, wide).astype(dtype)


def identity(key: PRNGKeyArray, shape: Shape, dtype: DTypeLike = jnp.float32) -> Float[Array, "H H"]:
    """The identity; with relu units it makes the IRNN (Le, Jaitly & Hinton 2015). `key` is not used."""
    del key
    return jnp.eye(*shape, dtype=dtype)


def chrono(key: PRNGKeyArray, size: int, max_steps: float, dtype: DTypeLike = jnp.float32) -> Float[Array, " H"]:
    """Biases log(u), u uniform in [1, T_max − 1]: units remember for spread times of up to `max_steps` steps.

    For an LSTM's forget gate (its input gate takes the negative) or a GRU's update gate.
    Reference: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?", arXiv 1804.11188.

    Args:
        key: for the draws.
        size: H.
        max_steps: T_max, at least 2.
        dtype: of the result.

    Raises:
        ConfigError: `max_steps` is below 2.
    """
    if not 2 <= max_steps < math.inf:
        raise ConfigError(
            f"chrono is {max_steps}",
            "It is the longest time in steps that a unit is to remember: u is drawn from [1, chrono − 1].",
            "Set chrono to 2 or more, about the length of the longest dependency, or leave it out.",
        )
    return jnp.log(jax.random.uniform(key, (size,), dtype, 1.0, max_steps - 1.0))


def gatewise(
    initialiser: Callable[..., Array], key: PRNGKeyArray, shape: Shape, gates: int, dtype: DTypeLike
) -> Float[Array, "I GO"]:
    """`gates` matrices drawn one by one and laid side by side: `[I, gates·O]`."""
    return jnp.concatenate([initialiser(k, shape, dtype) for k in jax.random.split(key, gates)], axis=1)
