"""Distributions over a whole observation, in standardised units where it is continuous."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.rl import Categorical, DiagonalGaussian


class OneHot(NamedTuple):
    """One of O classes, as a one-hot vector."""

    logits: Float[Array, "*batch O"]

    def log_prob(self, x: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """Log-probability of a one-hot vector."""
        return jnp.sum(x * jax.nn.log_softmax(self.logits), axis=-1)

    def draw(self, key: PRNGKeyArray | None) -> Float[Array, "*batch O"]:
        """A one-hot vector: drawn, or that of the greatest logit where there is no key."""
        distribution, size = Categorical(self.logits), self.logits.shape[-1]
        if key is None:
            return jax.nn.one_hot(distribution.mode(), size, dtype=self.logits.dtype)
        noise = Categorical.noise(key, self.logits.shape[:-1], size)
        return jax.nn.one_hot(distribution.sample(noise), size, dtype=self.logits.dtype)


class Bits(NamedTuple):
    """O independent numbers that are 0 or 1."""

    logits: Float[Array, "*batch O"]

    def log_prob(self, x: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """Log-probability of a vector of zeros and ones."""
        return -jnp.sum(x * jax.nn.softplus(-self.logits) + (1.0 - x) * jax.nn.softplus(self.logits), axis=-1)

    def draw(self, key: PRNGKeyArray | None) -> Float[Array, "*batch O"]:
        """Zeros and ones: drawn, or the more probable ones where there is no key."""
        p = jax.nn.sigmoid(self.logits)
        threshold = jnp.full_like(p, 0.5) if key is None else jax.random.uniform(key, p.shape)
        return (threshold < p).astype(p.dtype)


class GaussianMixture(NamedTuple):
    """K diagonal normals over O numbers, mixed as wholes (Bishop 1994, "Mixture density networks")."""

    logits: Float[Array, "*batch K"]  # of the weights
    mean: Float[Array, "*batch K O"]
    log_std: Float[Array, "*batch K O"]

    def log_prob(self, x: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """Log-density: log Σ_k w_k N(x | μ_k, σ_k)."""
        each = DiagonalGaussian(self.mean, self.log_std).log_prob(jnp.broadcast_to(x[..., None, :], self.mean.shape))
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each, axis=-1)

    def draw(self, key: PRNGKeyArray | None) -> Float[Array, "*batch O"]:
        """Drawn: a component, then its normal. Without a key the mean of the mixture, Σ_k w_k μ_k."""
        K = self.logits.shape[-1]
        if key is None:
            return jnp.sum(jax.nn.softmax(self.logits)[..., None] * self.mean, axis=-2)
        key_component, key_noise = jax.random.split(key)
        component = Categorical(self.logits).sample(Categorical.noise(key_component, self.logits.shape[:-1], K))
        chosen = jax.nn.one_hot(component, K, dtype=self.mean.dtype)[..., None]
        mean, log_std = (jnp.sum(chosen * x, axis=-2) for x in (self.mean, self.log_std))
        return mean + jnp.exp(log_std) * jax.random.normal(key_noise, mean.shape)


Likelihood = OneHot | Bits | GaussianMixture
