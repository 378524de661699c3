"""What both world models do alike."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.rl import Moments


def standardise(moments: Moments, x: Float[Array, "*batch O"]) -> Float[Array, "*batch O"]:
    """In units of the data's mean and spread, never clipped: a density's target."""
    moments = jax.lax.stop_gradient(moments)
    return (x - jnp.broadcast_to(moments.mean, x.shape)) * jnp.broadcast_to(moments.scale(), x.shape)


def restore(moments: Moments, x: Float[Array, "*batch O"]) -> Float[Array, "*batch O"]:
    """The inverse of `standardise`."""
    moments = jax.lax.stop_gradient(moments)
    return jnp.broadcast_to(moments.mean, x.shape) + x / jnp.broadcast_to(moments.scale(), x.shape)


def mean_where(flag: Bool[Array, " B"], values: Float[Array, " B"]) -> Float[Array, ""]:
    """Σ of the chosen values over the number of *all*: what is not chosen counts as 0, even NaN."""
    return jnp.mean(jnp.where(flag, values, 0.0))
