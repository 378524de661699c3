"""What the agent with a world model measures in each iteration."""

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
    observation_loss: Array  # negative log-likelihood of what was seen next, nats
    reward_loss: Array
    continuation_loss: Array  # cross-entropy, nats, weighted by `end_weight`
    dynamics_loss: Array  # KL of the latents, nats; 0 where there are none
    value_loss: Array  # mean squared error, in the value's units
    value_mean: Array  # of the searches that the value was fitted to, as a return
    planned_value: Array  # mean return that plans promised in acting
    gradient_norm: Array  # before clipping
    updates: Array  # gradient steps taken
    skipped_updates: Array  # gradient steps left out because their gradient was not finite
    learning_rate: Array
    replay_error: Array  # of the preflight; 0 in iterations without one


def metrics_of(played: Played, infos: dict[str, Array], learning_rate: Array, replay_error: Array) -> Metrics:
    """The metrics of one iteration.

    Args:
        played: what was acted.
        infos: of each gradient step `[updates]`; those that were not "taken" are left out of the means.
        learning_rate: `[]`.
        replay_error: `[]`.
    """
    mean = partial(mean_of_steps, infos)
    return Metrics(
        **episode_figures(played.steps.terminated | played.steps.truncated, played.ended_returns, played.ended_lengths),
        observation_loss=mean("observation"),
        reward_loss=mean("reward"),
        continuation_loss=mean("continuation"),
        dynamics_loss=mean("dynamics"),
        value_loss=mean("value"),
        value_mean=mean("value_mean"),
        planned_value=jnp.mean(played.said[1]),
        gradient_norm=mean("gradient_norm"),
        updates=jnp.sum(infos["taken"], dtype=jnp.float32),
        skipped_updates=jnp.sum(infos["skipped"], dtype=jnp.int32),
        learning_rate=learning_rate,
        replay_error=replay_error,
    )
