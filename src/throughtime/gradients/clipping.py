"""Gradient clipping: by norm, which keeps the direction, and by value, which does not.

References: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", arXiv
1211.5063 (norm); Mikolov 2012, "Statistical language models based on neural networks" (value).
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from throughtime.core import ConfigError

Grads = TypeVar("Grads", bound=PyTree)


def global_norm(grads: PyTree) -> Float[Array, ""]:
    """The Euclidean norm of all leaves taken as one vector, at least in float32; 0 for no leaves."""
    leaves = jax.tree.leaves(grads)
    wide = jnp.float64 if any(g.dtype == jnp.float64 for g in leaves) else jnp.float32
    return jnp.sqrt(sum((jnp.sum(jnp.square(g.astype(wide))) for g in leaves), jnp.zeros((), wide)))


def clip_by_value(grads: Grads, c: float) -> tuple[Grads, Float[Array, ""]]:
    """Each element limited to [−c, c]: the direction may change.

    Args:
        grads: a tree of floating-point arrays.
        c: the limit, above 0.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `c` is not above 0.
    """
    _check_limit("c", c)
    return jax.tree.map(lambda g: jnp.clip(g, -c, c), grads), global_norm(grads)


def clip_by_global_norm(grads: Grads, max_norm: float) -> tuple[Grads, Float[Array, ""]]:
    """All elements scaled by one factor so that the global norm is at most `max_norm`: the direction stays.

    Gradients within the limit come back bit for bit. A NaN or an infinity stays visible in the norm that is
    returned.

    Args:
        grads: a tree of floating-point arrays.
        max_norm: the limit, above 0.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `max_norm` is not above 0.
    """
    _check_limit("max_norm", max_norm)
    norm = global_norm(grads)
    scale = jnp.where(norm > max_norm, max_norm / norm, 1.0)
    return jax.tree.map(lambda g: g * scale.astype(g.dtype), grads), norm


def _check_limit(name: str, limit: float) -> None:
    if not limit > 0:
        raise ConfigError(
            f"{name} is {limit}",
            "A limit of 0 or less would stop all learning.",
            f"Set {name} above 0, for example 0.5.",
        )
