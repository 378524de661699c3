"""What SAC and TD3 measure in each iteration."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from throughtime.agents.figures import episode_figures, mean_of_steps
from throughtime.agents.off_policy import Played


class ContinuousMetrics(NamedTuple):
    """Of one iteration. Losses are means over its gradient steps, 0 before the first."""

    episodes: Array
    episode_return: Array  # mean over the episodes that ended in this iteration; NaN where none did
    episode_length: Array
    critic_loss: Array
    actor_loss: Array
    q_value: Array  # mean of both critics on what was stored, in scaled rewards
    entropy: Array  # of the policy (SAC), from its own actions; 0 for a deterministic one
    temperature: Array  # α (SAC), else 0
    actor_gradient_norm: Array  # before clipping
    critic_gradient_norm: Array
    updates: Array  # gradient steps of the critics
    skipped_updates: Array  # gradient steps left out because their gradient was not finite
    replay_error: Array  # the preflight's, where it ran; else 0


def metrics_of(played: Played, infos: dict[str, Array], error: Array) -> ContinuousMetrics:
    """The metrics of one iteration.

    Args:
        played: what was acted.
        infos: of each gradient step `[updates]`; those that were not "taken" are left out of the means.
        error: the preflight's.
    """
    mean = partial(mean_of_steps, infos)
    return ContinuousMetrics(
        **episode_figures(played.steps.terminated | played.steps.truncated, played.ended_returns, played.ended_lengths),
        critic_loss=mean("critic_loss"),
        actor_loss=mean("actor_loss", "actor_taken"),
        q_value=mean("q_value"),
        entropy=mean("entropy", "actor_taken"),
        temperature=mean("temperature"),
        actor_gradient_norm=mean("actor_gradient_norm", "actor_taken"),
        critic_gradient_norm=mean("critic_gradient_norm"),
        updates=jnp.sum(infos["taken"], dtype=jnp.float32),
        skipped_updates=jnp.sum(infos["skipped"], dtype=jnp.int32),
        replay_error=error,
    )
