"""What recurrent PPO measures in each iteration."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from throughtime.agents.figures import episode_figures, mean_of_steps
from throughtime.agents.rollout import Rollout


class Metrics(NamedTuple):
    """Of one iteration. Losses are means over its gradient steps."""

    episodes: Array
    episode_return: Array  # mean over the episodes that ended in this iteration; NaN where none did
    episode_length: Array
    policy_loss: Array
    value_loss: Array
    entropy: Array
    approximate_kl: Array
    clip_fraction: Array
    gradient_norm: Array  # before clipping
    updates: Array  # gradient steps taken (fewer than epochs · minibatches after a KL stop or a skipped one)
    skipped_updates: Array  # gradient steps left out because their gradient was not finite
    learning_rate: Array
    first_ratio_error: Array  # max |ρ − 1| before the first update: 0 up to rounding, or the state boundary is broken
    redistributed: Array | None = None  # of an agent that decomposes returns: whether it redistributed rewards, 1 or 0
    decomposition_error: Array | None = None  # what `DecompositionConfig.bound` is a bound of
    lessons: Array | None = None  # complete episodes stored


def metrics_of(rollout: Rollout, losses: dict[str, Array], learning_rate: Array) -> Metrics:
    """The metrics of one iteration.

    Args:
        rollout: what was acted.
        losses: of each gradient step `[epochs · minibatches]`; those that were not "taken" are left out of the means.
        learning_rate: `[]`.
    """
    mean = partial(mean_of_steps, losses)
    return Metrics(
        **episode_figures(rollout.terminated | rollout.truncated, rollout.ended_returns, rollout.ended_lengths),
        policy_loss=mean("policy_loss"),
        value_loss=mean("value_loss"),
        entropy=mean("entropy"),
        approximate_kl=mean("approximate_kl"),
        clip_fraction=mean("clip_fraction"),
        gradient_norm=mean("gradient_norm"),
        updates=jnp.sum(losses["taken"], dtype=jnp.float32),
        skipped_updates=jnp.sum(losses["skipped"], dtype=jnp.int32),
        learning_rate=learning_rate,
        first_ratio_error=losses["ratio_error"][0],
    )
