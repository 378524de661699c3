"""The lessons that a return predictor learns from: episodes, drawn by how wrong it was about them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.credit.episodes import Episodes, paid
from throughtime.credit.predictor import spread_of


class Lessons(NamedTuple):
    """At most C episodes, the first `held` columns of the arrays."""

    episodes: Episodes  # [.., C]
    errors: Float[Array, " C"]  # |ĝ_L − G| when it was last looked at, in the return's units
    held: Int[Array, ""]

    @property
    def stored(self) -> Bool[Array, " C"]:
        """Which columns hold a lesson."""
        return jnp.arange(self.errors.shape[0], dtype=jnp.int32) < self.held

    @property
    def spread(self) -> Float[Array, ""]:
        """The standard deviation of the stored returns; 0 for none."""
        return spread_of(self.episodes.returns, self.stored)

    @property
    def spread_of_rest(self) -> Float[Array, ""]:
        """How much of the returns is still open at each step, beyond what the clock tells: root mean square over all.

        It is the error of predicting, at each step t, the stored episodes' mean of what they were still paid from t on.
        """
        now = jnp.arange(len(self.episodes.observations), dtype=jnp.int32)[:, None]
        seen = (now <= self.episodes.lengths[None]) & self.stored[None]
        rest = jnp.where(seen, self.episodes.returns[None] - paid(self.episodes), 0.0)
        count = jnp.maximum(jnp.sum(seen, axis=1, keepdims=True), 1).astype(jnp.float32)
        mean = jnp.sum(rest, axis=1, keepdims=True) / count
        squares = jnp.sum(jnp.where(seen, jnp.square(rest - mean), 0.0), axis=0)
        each = squares / (self.episodes.lengths + 1).astype(jnp.float32)
        return jnp.sqrt(jnp.sum(each) / jnp.maximum(self.held, 1).astype(jnp.float32))


def no_lessons(capacity: int, steps: int, features: int, actions: int) -> Lessons:
    """Room for C = `capacity` episodes of at most T = `steps` steps, F features and A action features."""
    return Lessons(
        Episodes(
            jnp.zeros((steps + 1, capacity, features)),
            jnp.zeros((steps, capacity, actions)),
            jnp.zeros((steps, capacity)),
            jnp.zeros(capacity, jnp.int32),
        ),
        jnp.zeros(capacity),
        jnp.zeros((), jnp.int32),
    )


def worth(lessons: Lessons) -> Float[Array, " C"]:
    """What keeps a lesson: its error plus its novelty, the distance of its return to the nearest other stored one.

    Where many episodes end alike, as where most earn nothing, those few that do not are so kept.
    """
    returns, stored = lessons.episodes.returns, lessons.stored
    apart = jnp.abs(returns[:, None] - returns[None, :])
    other = stored[None, :] & ~jnp.eye(len(returns), dtype=bool)
    nearest = jnp.min(jnp.where(other, apart, jnp.inf), axis=1)
    return jnp.where(stored, lessons.errors + jnp.where(jnp.isfinite(nearest), nearest, 0.0), -1.0)


def add_lessons(lessons: Lessons, episodes: Episodes, errors: Float[Array, " N"]) -> Lessons:
    """Stores episodes; once there is no room, each takes the place of the least worthy lesson.

    Args:
        lessons: what is stored.
        episodes: N new ones, of the same sizes; empty columns are passed over.
        errors: |ĝ_L − G| of each by the predictor that has not learned from it.
    """

    def store(i: Array, lessons: Lessons) -> Lessons:
        full = lessons.held >= lessons.errors.shape[0]
        place = jax.lax.cond(full, lambda: jnp.argmin(worth(lessons)).astype(jnp.int32), lambda: lessons.held)
        stored = jax.tree.map(
            lambda all, new: all.at[..., place].set(new[..., i]) if all.ndim < 3 else all.at[:, place].set(new[:, i]),
            lessons.episodes,
            episodes,
        )
        return Lessons(stored, lessons.errors.at[place].set(errors[i]), lessons.held + (~full).astype(jnp.int32))

    def body(i: Array, lessons: Lessons) -> Lessons:
        return jax.lax.cond(episodes.lengths[i] > 0, lambda: store(i, lessons), lambda: lessons)

    return jax.lax.fori_loop(0, len(errors), body, lessons)


def add_latest(lessons: Lessons, episodes: Episodes, errors: Float[Array, " N"], before: Int[Array, ""]) -> Lessons:
    """Stores episodes in the place of the oldest ones: for returns that change with the policy that earns them.

    Args:
        lessons: what is stored.
        episodes: N new ones; empty columns are passed over.
        errors: of each, as for `add_lessons`.
        before: how many episodes were ever stored.
    """
    C = lessons.errors.shape[0]
    present = episodes.lengths > 0
    places = ring(present, before, C)
    stored = jax.tree.map(
        lambda all, new: (
            all.at[..., places].set(new, mode="drop") if all.ndim < 3 else all.at[:, places].set(new, mode="drop")
        ),
        lessons.episodes,
        episodes,
    )
    held = jnp.minimum(lessons.held + jnp.sum(present, dtype=jnp.int32), C)
    return Lessons(stored, lessons.errors.at[places].set(errors, mode="drop"), held)


def ring(present: Bool[Array, " N"], before: Int[Array, ""], size: int) -> Int[Array, " N"]:
    """The places, in turn, of what is there of N new things; `size`, out of range, for what is not or finds no room.

    Args:
        present: which are there.
        before: how many came before them.
        size: places in all; of more things than that the latest stay.
    """
    number = jnp.cumsum(present, dtype=jnp.int32)  # 1, 2, … of those that are there
    return jnp.where(present & (number > number[-1] - size), (before + number - 1) % size, size)


def draw_lessons(
    lessons: Lessons, key: PRNGKeyArray, count: int, focus: float
) -> tuple[Int[Array, " N"], Float[Array, " N"]]:
    """Draws N lessons: a share `focus` in proportion to their errors, the others all alike.

    Args:
        lessons: at least one.
        key: for the draw.
        count: N.
        focus: in [0, 1).

    Returns:
        Their columns, and the weights 1 / (n p_i) that make the weighted mean of a loss the plain mean over all n
        stored lessons, in expectation: the predictor is not drawn towards the outliers, it only meets them more often.
    """
    stored, n = lessons.stored, jnp.maximum(lessons.held, 1).astype(jnp.float32)
    errors = jnp.where(stored, lessons.errors, 0.0)
    total = jnp.sum(errors)
    by_error = jnp.where(total > 0, errors / jnp.where(total > 0, total, 1.0), 1.0 / n)
    chance = jnp.where(stored, focus * by_error + (1.0 - focus) / n, 0.0)
    edges = jnp.cumsum(chance)
    # Upwards of zero and below the last edge, so that no column without a chance is ever drawn.
    at = jax.random.uniform(key, (count,)) * edges[-1]
    columns = jnp.minimum(jnp.searchsorted(edges, at, side="right"), jnp.maximum(lessons.held - 1, 0))
    columns = columns.astype(jnp.int32)
    return columns, 1.0 / (n * chance[columns])


def take(episodes: Episodes, columns: Int[Array, " N"]) -> Episodes:
    """Some of the episodes."""
    return Episodes(
        episodes.observations[:, columns],
        episodes.actions[:, columns],
        episodes.rewards[:, columns],
        episodes.lengths[columns],
    )
