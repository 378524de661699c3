"""Distributions over a whole observation or over a reward, in standardised units where these are continuous."""

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


REACH = 5.0  # of `TwoHot`, in symmetric logarithms: e⁵ − 1 = 147 standard deviations


class TwoHot(NamedTuple):
    """One of K numbers, dense around 0 and sparse far out; what lies between two counts as a part of each.

    The numbers are sign(u) (e^|u| − 1) for K values of u spaced evenly from −5 to 5. The mean is that of what was
    learned from, however coarse they are; what lies beyond the outermost, 147 standard deviations, counts as these. Few
    and far outcomes are told by cross-entropy, which is as steep for a rare one as for a frequent one, where a squared
    error hardly sees the rare one.

    Reference: Hafner et al. 2023, "Mastering diverse domains through world models" (arXiv 2301.04104): symexp two-hot.
    """

    logits: Float[Array, "*batch K"]

    @property
    def support(self) -> Float[Array, " K"]:
        """The K numbers, ascending."""
        u = jnp.linspace(-REACH, REACH, self.logits.shape[-1])
        return jnp.sign(u) * jnp.expm1(jnp.abs(u))

    @property
    def mean(self) -> Float[Array, "*batch"]:
        """The expected number."""
        return jax.nn.softmax(self.logits) @ self.support

    def log_prob(self, x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Σ_k w_k log p_k, with the weights of the two numbers around x, whose weighted mean is x; clipped to them."""
        support, K = self.support, self.logits.shape[-1]
        x = jnp.clip(x, support[0], support[-1])
        low = jnp.clip(jnp.searchsorted(support, x, side="right") - 1, 0, K - 2)
        share = (x - support[low]) / (support[low + 1] - support[low])
        log_p = jax.nn.log_softmax(self.logits)
        below, above = (jnp.take_along_axis(log_p, i[..., None], axis=-1)[..., 0] for i in (low, low + 1))
        return (1.0 - share) * below + share * above


Likelihood = OneHot | Bits | GaussianMixture
