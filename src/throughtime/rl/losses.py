"""PPO's losses (Schulman et al. 2017, arXiv 1707.06347), pure functions on arrays of any shape."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def standardise(advantages: Float[Array, "*n"], epsilon: float = 1e-8) -> Float[Array, "*n"]:
    """Zero mean, unit standard deviation over all entries."""
    return (advantages - jnp.mean(advantages)) / (jnp.std(advantages) + epsilon)


def clipped_policy_loss(log_ratio: Float[Array, "*n"], advantages: Float[Array, "*n"], clip: float) -> Float[Array, ""]:
    """−mean min(ρ A, clip(ρ, 1−ε, 1+ε) A), equation 7.

    Args:
        log_ratio: log π(a) − log π_old(a).
        advantages: A.
        clip: ε.
    """
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.mean(jnp.minimum(ratio * advantages, clipped * advantages))


def value_loss(
    values: Float[Array, "*n"],
    old_values: Float[Array, "*n"],
    targets: Float[Array, "*n"],
    clip: float | None,
) -> Float[Array, ""]:
    """½ mean squared error; with `clip`, the larger of it and the error of the value clipped to V_old ± clip."""
    squared = jnp.square(values - targets)
    if clip is not None:
        near = old_values + jnp.clip(values - old_values, -clip, clip)
        squared = jnp.maximum(squared, jnp.square(near - targets))
    return 0.5 * jnp.mean(squared)


def approximate_kl(log_ratio: Float[Array, "*n"]) -> Float[Array, ""]:
    """KL(π_old ‖ π) from samples of π_old: mean (ρ − 1 − log ρ), unbiased and never negative (Schulman 2020, k3)."""
    return jnp.mean(jnp.expm1(log_ratio) - log_ratio)
