"""From streams of steps, as an agent collects them, to complete episodes, and back: the hook for PPO and its like."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from throughtime.credit.episodes import Episodes


class Places(NamedTuple):
    """Where in a rollout each of N episodes lies; of no meaning where its length is 0."""

    start: Int[Array, " N"]
    row: Int[Array, " N"]


def complete_episodes(
    observations: Float[Array, "S B F"],
    finals: Float[Array, "S B F"],
    actions: Float[Array, "S B A"],
    rewards: Float[Array, "S B"],
    resets: Bool[Array, "S B"],
    ended: Bool[Array, "S B"],
    count: int,
    steps: int,
) -> tuple[Episodes, Places]:
    """The episodes that both begin and end within a rollout of S steps in B environments.

    Args:
        observations: obs_t.
        finals: the true successor of step t; read where it ended an episode.
        actions: as `action_features` gives them.
        rewards: r_t.
        resets: obs_t is an episode's first.
        ended: step t terminated or truncated it.
        count: N, columns of the result; what does not find room is left out, earliest environments first served.
        steps: T, of the longest episode.

    Returns:
        N columns, empty ones (length 0) behind those that hold an episode; and where they lie.
    """
    S, B = rewards.shape
    when = jnp.arange(S, dtype=jnp.int32)[:, None]
    first = jax.lax.cummax(jnp.where(resets, when, -1), axis=0)  # of the episode that step t is in; −1: before
    whole = ended & (first >= 0) & (when - first < steps)
    flat = jnp.flatnonzero(whole.T.reshape(-1), size=count, fill_value=S * B).astype(jnp.int32)
    there = flat < S * B
    row, end = jnp.where(there, flat // S, 0), jnp.where(there, flat % S, 0)
    start = first[end, row]
    lengths = jnp.where(there, end - start + 1, 0)
    after = jnp.arange(steps + 1, dtype=jnp.int32)[:, None]
    at = jnp.clip(start[None] + after, 0, S - 1)
    seen = jnp.where((after == lengths[None])[..., None], finals[end, row][None], observations[at, row[None]])
    episodes = Episodes(seen, actions[at[:-1], row[None]], rewards[at[:-1], row[None]], lengths)
    return episodes, Places(start, row)


def put_back(
    rewards: Float[Array, "S B"], episodes: Episodes, places: Places, moved: Float[Array, "T N"]
) -> Float[Array, "S B"]:
    """The rollout's rewards with those of the complete episodes replaced; all others stay.

    Args:
        rewards: as collected.
        episodes: as `complete_episodes` found them.
        places: where.
        moved: their new rewards.
    """
    at = jnp.where(episodes.inside, places.start[None] + jnp.arange(len(moved), dtype=jnp.int32)[:, None], len(rewards))
    return rewards.at[at, places.row[None]].set(moved, mode="drop")
