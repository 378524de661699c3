"""Rewards moved to the steps that earned them: differences of return predictions."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.core import ConfigError, did_you_mean
from throughtime.credit.episodes import Episodes

Correction = Literal["uniform", "last"]


def check_correction(correction: str) -> None:
    """Refuses a correction that is not known.

    Raises:
        ConfigError: it is none of `Correction`.
    """
    if correction not in get_args(Correction):
        raise ConfigError(
            f"correction = {correction!r}",
            "What the predictor missed is spread over the episode, or paid at its end.",
            did_you_mean(correction, get_args(Correction)),
        )


def redistribute(
    episodes: Episodes, predictions: Float[Array, "T1 N"], correction: str = "uniform"
) -> Float[Array, "T N"]:
    """r'_t = ĝ_t − ĝ_{t−1}, with ĝ_{−1} = 0, and the rest of the return besides.

    The last step gets the change that its outcome brought too, ĝ_L − ĝ_{L−1}. What then lacks of the return, the
    prediction's error G − ĝ_L, is spread evenly over the steps ("uniform", the paper's) or paid at the last one. So
    the redistributed rewards of an episode sum to its return, however bad the predictions are.

    Reference: Arjona-Medina et al. 2019, "RUDDER: Return decomposition for delayed rewards", equations 6 to 9.

    Args:
        episodes: N of them.
        predictions: ĝ_0 … ĝ_L, as a `ReturnPredictor` gives them; not read behind an episode's end.
        correction: one of `Correction`: where the prediction's error goes.

    Returns:
        `[T, N]`; 0 behind an episode's end.
    """
    check_correction(correction)
    inside = episodes.inside
    lengths = episodes.lengths[None]
    final = jnp.take_along_axis(predictions, lengths, axis=0)
    last = jnp.arange(inside.shape[0], dtype=jnp.int32)[:, None] == lengths - 1
    upto = jnp.where(last, final, jnp.where(inside, predictions[:-1], 0.0))  # the last step's outcome included
    before = jnp.concatenate([jnp.zeros_like(upto[:1]), upto[:-1]])
    rewards = jnp.where(inside, upto - before, 0.0)
    lacks = (episodes.returns - jnp.sum(rewards, axis=0))[None]
    share = (
        lacks / jnp.maximum(lengths, 1).astype(jnp.float32) if correction == "uniform" else jnp.where(last, lacks, 0.0)
    )
    return rewards + jnp.where(inside, share, 0.0)
