"""Running mean and variance, for the normalisation of observations and returns."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LEAST_WEIGHT = 1e-4  # of what moments begin with


class Moments(NamedTuple):
    """Count, mean and variance of all that was seen."""

    weight: Float[Array, ""]
    mean: Float[Array, "*shape"]
    var: Float[Array, "*shape"]

    @classmethod
    def create(cls, shape: tuple[int, ...]) -> "Moments":
        """Mean 0 and variance 1, with next to no weight: the identity until something was seen."""
        return cls(jnp.asarray(LEAST_WEIGHT, jnp.float32), jnp.zeros(shape), jnp.ones(shape))

    def update(self, batch: Float[Array, "*n"]) -> "Moments":
        """Adds a batch with any leading axes (Chan, Golub & LeVeque 1979, the pairwise update)."""
        axes = tuple(range(batch.ndim - self.mean.ndim))
        size = 1
        for axis in axes:
            size *= batch.shape[axis]
        if size == 0:
            return self
        mean, var = jnp.mean(batch, axes), jnp.var(batch, axes)
        total = self.weight + size
        delta = mean - self.mean
        square = self.var * self.weight + var * size + delta * delta * (self.weight * size / total)
        return Moments(total, self.mean + delta * (size / total), square / total)

    def standardise(self, x: Float[Array, "*n"], limit: float = 10.0) -> Float[Array, "*n"]:
        """(x − mean) / √(var + 1e-8), clipped to ± `limit`."""
        mean, scale = jnp.broadcast_to(self.mean, x.shape), jnp.broadcast_to(self.scale(), x.shape)
        return jnp.clip((x - mean) * scale, -limit, limit)

    def varies(self) -> Bool[Array, "*shape"]:
        """False where one and the same number was seen again and again; true before anything was seen.

        False, too, of what varied by less than about 0.003 · √(1 + mean²) / √n in n numbers.
        """
        # Of a constant, the sum of squares is what the beginning (mean 0, variance 1) leaves of it, up to rounding.
        left = LEAST_WEIGHT * (1.0 + jnp.square(self.mean))
        return (self.weight < 1.0) | (self.var * self.weight > 1.1 * left)

    def scale(self) -> Float[Array, "*shape"]:
        """1 / √(var + 1e-8)."""
        return 1.0 / jnp.sqrt(self.var + 1e-8)
