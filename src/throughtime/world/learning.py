"""Training a world model on sequences: compiled chunks of gradient steps, with a look at the losses between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, NonFiniteError, select_rows
from throughtime.gradients import Guard, clip_by_global_norm, parameter_names
from throughtime.world.data import Sequences
from throughtime.world.model import LearnedModel, Losses

Model = TypeVar("Model", bound=LearnedModel)
CHUNK = 100  # gradient steps between two looks


@dataclass(frozen=True)
class LearningConfig:
    """How a world model learns from sequences."""

    updates: int = 3_000
    """Gradient steps."""
    batch_size: int = 64
    """Sequences of each (rows of the data)."""
    learning_rate: float = 3e-3
    """Adam's, at the start; lowered to zero along a cosine."""
    gradient_clip: float = 1.0
    """Threshold of clipping by global norm."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the training."""

    def __post_init__(self):
        for name in ("updates", "batch_size", "max_skipped_updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It counts something.", "Give 1 or more.")
        for name in ("learning_rate", "gradient_clip"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} = {getattr(self, name)}", "It has to be positive.", "Give a number above 0.")


class Training(NamedTuple):
    """A training under way: arrays only."""

    learned: Any  # the model's trainable part
    optimiser: optax.OptState
    guard: Guard


def trainable(model: Model) -> tuple[Model, Model]:
    """The part of a model that gradient steps change, and the rest (moments among it); `eqx.combine` joins them."""
    learned, fixed = eqx.partition(model, eqx.is_inexact_array)
    moments = [name for name in ("observation_moments", "change_moments", "reward_moments") if hasattr(model, name)]

    def where(m: Any) -> list[Any]:
        return [getattr(m, name) for name in moments]

    kept = [getattr(model, name) for name in moments]
    none: Any = jax.tree.map(lambda _: None, kept)
    return (
        eqx.tree_at(where, learned, none, is_leaf=lambda x: x is None),
        eqx.tree_at(where, fixed, kept, is_leaf=lambda x: x is None),
    )


def parameters_of(model: LearnedModel) -> int:
    """Trainable numbers."""
    return sum(leaf.size for leaf in jax.tree.leaves(trainable(model)[0]))


ADAM = optax.scale_by_adam()


def start_training(model: LearnedModel) -> tuple[Training, LearnedModel]:
    """A training that has not begun, and the part of the model that it leaves alone."""
    learned: Any
    learned, fixed = trainable(model)
    return Training(learned, ADAM.init(learned), Guard.create(learned, 1)), fixed


def cosine(learning_rate: float, done: Int[Array, ""], total: Int[Array, ""]) -> Float[Array, ""]:
    """The learning rate after `done` of `total` updates: from its start to zero along half a cosine."""
    share = jnp.minimum(done.astype(jnp.float32) / total.astype(jnp.float32), 1.0)
    return 0.5 * learning_rate * (1.0 + jnp.cos(jnp.pi * share))


def learn_step(
    fixed: Any,
    training: Training,
    batch: Sequences,
    key: PRNGKeyArray,
    *,
    learning_rate: Float[Array, ""],
    gradient_clip: float,
    start: Any = None,
) -> tuple[Training, Losses]:
    """One guarded, clipped gradient step.

    Args:
        fixed: as `trainable` gives it.
        training: before the step.
        batch: sequences `[T, N]`.
        key: draws latents.
        learning_rate: Adam's.
        gradient_clip: threshold of clipping by global norm.
        start: the states before them, or None where each begins with an episode.
    """

    def loss(learned: Any) -> tuple[Array, Losses]:
        losses = eqx.combine(learned, fixed).loss(batch, key, start)
        return losses.total, losses

    grads, losses = jax.grad(loss, has_aux=True)(training.learned)
    ok, guard = training.guard.check(grads, [losses.total])
    grads, _ = clip_by_global_norm(grads, gradient_clip)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes integers and floats
        updates, optimiser = ADAM.update(grads, training.optimiser)
    moved = jax.tree.map(lambda p, u: p - learning_rate * u, training.learned, updates)
    learned, optimiser = select_rows(ok, (moved, optimiser), (training.learned, training.optimiser))
    return Training(learned, optimiser, guard), losses


def fit(
    model: Model,
    sequences: Sequences,
    config: LearningConfig,
    key: PRNGKeyArray,
    progress: Callable[[int, Losses], None] | None = None,
) -> Model:
    """Learns from sequences that each begin with an episode; the model's units come from them too.

    Args:
        model: fresh.
        sequences: `[T, N]`.
        config: how.
        key: of batches and latents.
        progress: called after each chunk with the updates done and the chunk's mean losses.

    Raises:
        NonFiniteError: many gradients in a row that are not finite.
    """
    training, fixed = start_training(model.scaled_by(sequences))
    N = sequences.resets.shape[1]

    @jax.jit
    def chunk(training: Training, first: Int[Array, ""], sequences: Sequences) -> tuple[Training, Losses]:
        def body(i: Array, carry: tuple[Training, Losses]) -> tuple[Training, Losses]:
            training, total = carry
            key_rows, key_latents = jax.random.split(jax.random.fold_in(key, first + i))
            rows = jax.random.randint(key_rows, (config.batch_size,), 0, N)
            batch = jax.tree.map(lambda x: x[:, rows], sequences)
            rate = cosine(config.learning_rate, first + i, jnp.int32(config.updates))
            training, losses = learn_step(
                fixed, training, batch, key_latents, learning_rate=rate, gradient_clip=config.gradient_clip
            )
            return training, jax.tree.map(jnp.add, total, losses)

        count = jnp.minimum(CHUNK, config.updates - first)
        zeros = Losses(*(jnp.zeros(()) for _ in Losses._fields))
        training, total = jax.lax.fori_loop(0, count, body, (training, zeros))
        return training, jax.tree.map(lambda x: x / count.astype(jnp.float32), total)

    for first in range(0, config.updates, CHUNK):
        training, losses = chunk(training, jnp.int32(first), sequences)
        check_guard(training, config)
        if progress is not None:
            progress(min(first + CHUNK, config.updates), jax.device_get(losses))
    learned: Any = eqx.combine(training.learned, fixed)
    return learned


def check_guard(training: Training, config: LearningConfig) -> None:
    """Stops a training that only skips updates.

    Raises:
        NonFiniteError: so many in a row.
    """
    if int(training.guard.in_row) >= config.max_skipped_updates:
        error: NonFiniteError = training.guard.error(parameter_names(training.learned), ["loss"])
        raise error
