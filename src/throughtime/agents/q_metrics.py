"""What recurrent Q-learning measures in each iteration."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from throughtime.agents.figures import episode_figures, mean_of_steps
from throughtime.agents.off_policy import Played


class Metrics(NamedTuple):
    """Of one iteration. Learning figures are means over its gradient steps; 0 where none was taken."""

    episodes: Array
    episode_return: Array  # mean over the episodes that ended in this iteration, exploration included; NaN where none
    episode_length: Array
    loss: Array
    td_error: Array  # mean |δ|, of rescaled values where they are rescaled
    q_mean: Array  # of the actions taken in what was replayed, as a return
    epsilon: Array  # mean over the environments
    priority: Array  # mean over what is stored
    gradient_norm: Array  # before clipping
    updates: Array  # gradient steps taken
    skipped_updates: Array  # gradient steps left out because their gradient was not finite
    learning_rate: Array
    replay_error: Array  # of the preflight; 0 in iterations without one


def metrics_of(
    played: Played, infos: dict[str, Array], epsilon: Array, priority: Array, learning_rate: Array, replay_error: Array
) -> Metrics:
    """The metrics of one iteration.

    Args:
        played: what was acted.
        infos: of each gradient step `[updates]`; those that were not "taken" are left out of the means.
        epsilon: `[]`.
        priority: `[]`.
        learning_rate: `[]`.
        replay_error: `[]`.
    """
    mean = partial(mean_of_steps, infos)
    return Metrics(
        **episode_figures(played.steps.terminated | played.steps.truncated, played.ended_returns, played.ended_lengths),
        loss=mean("loss"),
        td_error=mean("td_error"),
        q_mean=mean("q_mean"),
        epsilon=epsilon,
        priority=priority,
        gradient_norm=mean("gradient_norm"),
        updates=jnp.sum(infos["taken"], dtype=jnp.float32),
        skipped_updates=jnp.sum(infos["skipped"], dtype=jnp.int32),
        learning_rate=learning_rate,
        replay_error=replay_error,
    )
