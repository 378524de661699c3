"""What the metrics of all algorithms have in common: episodes that ended, and means over gradient steps."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def episode_figures(
    ended: Bool[Array, "T B"], returns: Float[Array, "T B"], lengths: Int[Array, "T B"]
) -> dict[str, Array]:
    """`episodes`, how many ended, and their mean `episode_return` and `episode_length`, NaN where none did.

    Args:
        ended: terminated or truncated with this step.
        returns: of the episode that ended with this step, else 0.
        lengths: likewise.
    """
    episodes = jnp.sum(ended, dtype=jnp.int32)
    count = episodes.astype(jnp.float32)
    return {
        "episodes": episodes,
        "episode_return": jnp.sum(returns) / count,
        "episode_length": jnp.sum(lengths).astype(jnp.float32) / count,
    }


def mean_of_steps(infos: dict[str, Array], name: str, over: str = "taken") -> Float[Array, ""]:
    """The mean of `infos[name]` over the gradient steps for which `infos[over]` is true; 0 where none is."""
    chosen = infos[over]
    return jnp.sum(jnp.where(chosen, infos[name], 0.0)) / jnp.maximum(jnp.sum(chosen, dtype=jnp.float32), 1.0)
