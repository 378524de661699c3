"""Action distributions: what a policy head emits, drawn with noise that was made beforehand.

Noise comes in from outside (`noise_like`), so that one call can draw it for a whole rollout: random bits are among
the larger costs of acting on a CPU.
"""

import functools
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.rl.masks import forbid, is_allowed

LOG_2PI = 1.8378770664093453
LOG_2 = 0.6931471805599453
# Nodes and weights of Gauss-Hermite quadrature: E f(x) ≈ Σ w f(node) for a standard normal x.
NODES, WEIGHTS = (np.asarray(a, np.float32) for a in np.polynomial.hermite_e.hermegauss(32))
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Distribution(Protocol):
    """Over the last axis; all methods keep the leading axes."""

    def sample(self, noise: Array) -> Array:
        """One action an entry, a deterministic function of `noise` (see `noise`)."""
        ...

    def mode(self) -> Array:
        """The most probable action."""
        ...

    def log_prob(self, action: Array) -> Array:
        """The log-probability (density) of `action`."""
        ...

    def entropy(self) -> Array:
        """In nats."""
        ...

    def kl(self, other: Any) -> Array:
        """KL(self ‖ other) to another one of the same kind, in nats."""
        ...


class Categorical(NamedTuple):
    """Over the integers 0 … A−1."""

    logits: Float[Array, "*batch A"]

    @staticmethod
    def noise(key: PRNGKeyArray, shape: tuple[int, ...], size: int) -> Float[Array, "*batch"]:
        """Uniform noise for `sample`: one number an action. `size` is not used."""
        del size
        return jax.random.uniform(key, shape)

    def sample(self, noise: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
        """By the inverse of the cumulative distribution: one uniform number an action, where Gumbel noise takes A."""
        p = jax.nn.softmax(self.logits)
        cumulative = jnp.cumsum(p, axis=-1)
        # The last entry is 1 up to rounding and is left out: no draw can fall beyond it.
        drawn = jnp.sum(noise[..., None] >= cumulative[..., :-1], axis=-1, dtype=jnp.int32)
        # At an edge, rounding may lead to an action of probability zero.
        possible = jnp.any(jax.nn.one_hot(drawn, p.shape[-1], dtype=bool) & (p > 0), axis=-1)
        return jnp.where(possible, drawn, self.mode())

    def mode(self) -> Int[Array, "*batch"]:
        """The action of the greatest logit."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Log-probability."""
        # A one-hot sum, where a gather's backward pass would be a scatter.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0), axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """−Σ p log p."""
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    def kl(self, other: "Categorical") -> Float[Array, "*batch"]:
        """Σ p (log p − log q)."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)

    def restricted(self, allowed: Bool[Array, "*batch A"]) -> "Categorical":
        """The same over the allowed actions alone: the others have probability 0."""
        return Categorical(forbid(self.logits, allowed))

    def levelled(self) -> "Categorical":
        """Every allowed action as likely as any other."""
        return Categorical(forbid(jnp.zeros_like(self.logits), is_allowed(self.logits)))


class MultiCategorical(eqx.Module):
    """K independent categorical actions; the k-th over the integers 0 … sizes[k]−1."""

    logits: Float[Array, "*batch A"]  # those of all K side by side: A = Σ sizes
    sizes: tuple[int, ...] = eqx.field(static=True)

    @staticmethod
    def noise(key: PRNGKeyArray, shape: tuple[int, ...], size: int) -> Float[Array, "*batch K"]:
        """Uniform noise for `sample`: `size` = K numbers an action."""
        return jax.random.uniform(key, (*shape, size))

    @property
    def parts(self) -> tuple[Categorical, ...]:
        """The K distributions."""
        ends = list(accumulate(self.sizes))[:-1]
        return tuple(Categorical(logits) for logits in jnp.split(self.logits, ends, axis=-1))

    def sample(self, noise: Float[Array, "*batch K"]) -> Int[Array, "*batch K"]:
        """Each by the inverse of its cumulative distribution."""
        return jnp.stack([part.sample(noise[..., k]) for k, part in enumerate(self.parts)], axis=-1)

    def mode(self) -> Int[Array, "*batch K"]:
        """The action of the greatest logit in each."""
        return jnp.stack([part.mode() for part in self.parts], axis=-1)

    def log_prob(self, action: Int[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """Log-probability, summed over the K."""
        return _sum(part.log_prob(action[..., k]) for k, part in enumerate(self.parts))

    def entropy(self) -> Float[Array, "*batch"]:
        """Summed over the K."""
        return _sum(part.entropy() for part in self.parts)

    def kl(self, other: "MultiCategorical") -> Float[Array, "*batch"]:
        """Summed over the K."""
        return _sum(p.kl(q) for p, q in zip(self.parts, other.parts, strict=True))

    def restricted(self, allowed: Bool[Array, "*batch A"]) -> "MultiCategorical":
        """The same over the allowed choices alone, those of all K side by side."""
        return MultiCategorical(forbid(self.logits, allowed), self.sizes)

    def levelled(self) -> "MultiCategorical":
        """Every allowed action as likely as any other."""
        return MultiCategorical(forbid(jnp.zeros_like(self.logits), is_allowed(self.logits)), self.sizes)


def _sum(terms: Iterable[Array]) -> Array:
    """The sum of at least one array, without a Python 0 at its head."""
    return functools.reduce(jnp.add, terms)


class DiagonalGaussian(NamedTuple):
    """Independent normals over the last axis."""

    mean: Float[Array, "*batch A"]
    log_std: Float[Array, "*batch A"]

    @staticmethod
    def noise(key: PRNGKeyArray, shape: tuple[int, ...], size: int) -> Float[Array, "*batch A"]:
        """Standard normal noise for `sample`."""
        return jax.random.normal(key, (*shape, size))

    def sample(self, noise: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """Mean + std · noise."""
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Float[Array, "*batch A"]:
        """The mean."""
        return self.mean

    def log_prob(self, action: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
        """Log-density, summed over the last axis."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * z * z - self.log_std - 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """Σ (log std + ½ log 2πe)."""
        return jnp.sum(self.log_std + 0.5 * (1.0 + LOG_2PI), axis=-1)

    def kl(self, other: "DiagonalGaussian") -> Float[Array, "*batch"]:
        """Closed form, summed over the last axis."""
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        shift = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return jnp.sum(0.5 * (ratio + shift * shift - 1.0) - self.log_std + other.log_std, axis=-1)


class ClippedGaussian(DiagonalGaussian):
    """Independent normals whose draws are clipped to [-1, 1]: exploration around a deterministic action (TD3).

    Densities and divergences are those of the normals before clipping.
    """

    def sample(self, noise: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """Mean + std · noise, clipped to [-1, 1]."""
        return jnp.clip(super().sample(noise), -1.0, 1.0)


class SquashedGaussian(NamedTuple):
    """tanh of independent normals over the last axis: actions in (-1, 1) with a smooth density (SAC).

    Reference: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications" (arXiv 1812.05905), appendix C.
    """

    mean: Float[Array, "*batch A"]  # of the normals
    log_std: Float[Array, "*batch A"]

    @staticmethod
    def noise(key: PRNGKeyArray, shape: tuple[int, ...], size: int) -> Float[Array, "*batch A"]:
        """Standard normal noise for `sample`."""
        return jax.random.normal(key, (*shape, size))

    @property
    def normal(self) -> DiagonalGaussian:
        """What is squashed."""
        return DiagonalGaussian(self.mean, self.log_std)

    def sample(self, noise: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """tanh(mean + std · noise)."""
        return jnp.tanh(self.normal.sample(noise))

    def sample_with_log_prob(
        self, noise: Float[Array, "*batch A"]
    ) -> tuple[Float[Array, "*batch A"], Float[Array, "*batch"]]:
        """An action and its log-density, exact however close to ±1 the action is; both can be differentiated."""
        u = self.normal.sample(noise)
        return jnp.tanh(u), self.normal.log_prob(u) - jnp.sum(log_slope_of_tanh(u), axis=-1)

    def mode(self) -> Float[Array, "*batch A"]:
        """tanh(mean): the median, the field's deterministic action; the density may peak elsewhere, even at ±1."""
        return jnp.tanh(self.mean)

    def log_prob(self, action: Float[Array, "*batch A"]) -> Float[Array, "*batch"]:
        """Log-density. Actions are taken as at most 1 − 1e-6 in size, where float32 has lost what was squashed."""
        u = jnp.arctanh(jnp.clip(action, -1.0 + 1e-6, 1.0 - 1e-6))
        return self.normal.log_prob(u) - jnp.sum(log_slope_of_tanh(u), axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """That of the normals + E Σ log tanh'(u), by Gauss-Hermite quadrature with 32 nodes: it has no closed form."""
        u = self.mean[..., None] + jnp.exp(self.log_std)[..., None] * NODES.reshape((1,) * self.mean.ndim + (-1,))
        return self.normal.entropy() + jnp.sum(log_slope_of_tanh(u) @ WEIGHTS, axis=-1)

    def kl(self, other: "SquashedGaussian") -> Float[Array, "*batch"]:
        """That of the normals: one bijection for both changes no divergence."""
        return self.normal.kl(other.normal)


def log_slope_of_tanh(u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u)), without the difference that rounds to zero."""
    return 2.0 * (LOG_2 - u - jax.nn.softplus(-2.0 * u))


ActionDistribution = Categorical | MultiCategorical | DiagonalGaussian | SquashedGaussian
"""What a policy head may emit: over one integer, over several side by side, over real numbers."""
