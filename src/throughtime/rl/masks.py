"""Action masks: values and logits of actions that are forbidden, and what is chosen among the others."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Far below any logit or value, so that its probability is exactly 0 in floating point; and far enough above the lowest
# float32 that dividing it by a temperature, or weighting it in a gradient, overflows to no infinity: 0 · ∞ is NaN in
# entropies and divergences.
FORBIDDEN = -1e30


def forbid(values: Float[Array, "*batch A"], allowed: Bool[Array, "*batch A"]) -> Float[Array, "*batch A"]:
    """Logits or action values with `FORBIDDEN` in place of those that are not allowed; they get no gradient.

    Reference: Huang & Ontañón 2022, "A closer look at invalid action masking in policy gradient algorithms" (arXiv
    2006.14171).
    """
    return jnp.where(allowed, values, FORBIDDEN)


def is_allowed(values: Float[Array, "*batch A"]) -> Bool[Array, "*batch A"]:
    """Which actions `forbid` left as they were, also where all of them were divided by a temperature since."""
    return values > 1e-10 * FORBIDDEN  # with a temperature of 100 what is forbidden stands at 1% of it


def uniform_choice(noise: Float[Array, "*batch"], allowed: Bool[Array, "*batch A"]) -> Int[Array, "*batch"]:
    """One of the allowed actions, each as likely.

    Args:
        noise: uniform in [0, 1).
        allowed: at least one in each row; the first action where there is none.
    """
    count = jnp.sum(allowed, axis=-1, dtype=jnp.int32)
    place = jnp.minimum((noise * count.astype(noise.dtype)).astype(jnp.int32), count - 1)  # the how-manieth of them
    return jnp.argmax(jnp.cumsum(allowed, axis=-1, dtype=jnp.int32) > place[..., None], axis=-1).astype(jnp.int32)
