"""Video labelling: where is the ball going, also while it is hidden? Many-to-many, synchronised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks._classifier import class_loss
from throughtime.tasks.base import Task, TaskConfig

COMPASS = {
    8: ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)),
    4: ((-1, -1), (-1, 1), (1, -1), (1, 1)),
}
"""The directions (rows down, columns right) by their number; a label is an index into one of them."""


class Video(NamedTuple):
    """Films, what is to be said of each frame, and where the ball was hidden."""

    frames: Float[Array, "T B P"]
    labels: Int[Array, "T B"]  # meaningless at frame 0, before which nothing moved
    hidden: Bool[Array, "T B"]


@dataclass(frozen=True)
class VideoDirections(Task):
    """A ball moves by one pixel a frame and bounces off the walls; every frame is labelled with its direction.

    The label of frame t is the direction in which the ball moved from frame t−1 to t; frame 0 has none. In each film
    `hidden` black frames alternate with `visible` ones, beginning anywhere, but the first two frames are always seen:
    so two frames in a row always show the direction, and in the dark the bounces have to be reckoned.
    """

    name: ClassVar[str] = "video"
    architecture: ClassVar[Any] = "many-to-many"
    summary: ClassVar[str] = "label each frame of a film with the direction of a ball that is hidden half of the time"
    score: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    side: int = 12
    """Pixels along each side of a frame."""
    length: int = 32
    """T, frames of a film."""
    directions: int = 8
    """8, or 4 for the diagonal ones alone."""
    hidden: int = 6
    """Black frames in a row."""
    visible: int = 6
    """Frames in a row that show the ball, 2 or more."""
    noise: float = 0.05
    """Standard deviation of the noise on each pixel; the ball's middle has 1."""

    def __post_init__(self):
        if self.directions not in COMPASS:
            raise ConfigError(f"directions is {self.directions}", "There are two sets of them.", "Set it to 8 or 4.")
        for field, least in (("side", 3), ("length", 3), ("hidden", 0), ("visible", 2)):
            if getattr(self, field) < least:
                raise ConfigError(
                    f"{field} is {getattr(self, field)}", "Two frames show a motion.", f"Set it to {least} or more."
                )
        if not self.noise >= 0:
            raise ConfigError(f"noise is {self.noise}", "It is a standard deviation.", "Set it to 0 or more.")

    @property
    def required_lag(self) -> int:
        """From the last but one frame that was seen to the last black one."""
        return self.hidden + 1

    @property
    def memoryless_score(self) -> float:
        """Of the best guess from the frame alone: exact without noise, a bound with it."""
        return self._memoryless()[0]

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 128 units."""
        return TaskConfig(memory=memory, hidden_size=128, updates=1000, batch_size=64, learning_rate=3e-3)

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> ManyToMany:
        """A memory that reads all pixels of a frame, and a linear readout of its output."""
        del data
        key_memory, key_readout = jax.random.split(key)
        return ManyToMany(config.build_memory(self.side**2, key_memory), self.directions, key=key_readout)

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Video:
        """Fresh films: the ball begins anywhere, in any direction."""
        del data
        key_places, key_directions, key_phase, key_noise = jax.random.split(key, 4)
        starts = jax.random.randint(key_places, (2, size), 0, self.side)
        directions = jax.random.randint(key_directions, (size,), 0, self.directions)
        places, labels = roll(starts, directions, self.length, self.side, self.directions)
        frames = jnp.arange(self.length)[:, None]
        phase = jax.random.randint(key_phase, (1, size), 0, self.hidden + self.visible)
        hidden = ((frames + phase) % (self.hidden + self.visible) < self.hidden) & (frames >= 2)
        pixels = jnp.where(hidden[..., None], 0.0, render(places, self.side))
        return Video(pixels + self.noise * jax.random.normal(key_noise, pixels.shape), labels, hidden)

    def loss(
        self, model: ManyToMany, batch: Video, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy, mean over all frames but the first."""
        del key, progress
        return class_loss(model(batch.frames)[1:], batch.labels[1:])

    def evaluate(self, model: ManyToMany, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """Accuracy on the frames of 1,000 fresh films: all but the first ones, those seen, those hidden."""

        @eqx.filter_jit
        def answer(model, key):
            film = self.batch(data, 1000, key)
            return jnp.argmax(model(film.frames), axis=-1) == film.labels, film.hidden

        right, hidden = (np.asarray(a)[1:] for a in answer(model, key))
        scores = {"accuracy": float(right.mean()), "accuracy_seen": float(right[~hidden].mean())}
        if hidden.any():
            scores["accuracy_hidden"] = float(right[hidden].mean())
            scores["memoryless_accuracy_hidden"] = self._memoryless()[1]
        return scores

    def _memoryless(self) -> tuple[float, float]:
        """The best accuracies of a function of the frame alone: on all frames but the first, and on black ones."""
        places, compass = np.arange(self.side), np.arange(self.directions)
        start = np.stack(np.meshgrid(places, places, compass, indexing="ij")).reshape(3, -1).astype(np.int32)
        cells, labels = roll(jnp.asarray(start[:2]), jnp.asarray(start[2]), self.length, self.side, self.directions)
        cell = np.asarray(cells[:, 0] * self.side + cells[:, 1])
        counts = np.zeros((self.length, self.side**2, self.directions))
        np.add.at(counts, (np.arange(self.length)[:, None], cell, np.asarray(labels)), 1 / start.shape[1])
        dark = np.where(np.arange(self.length) < 2, 0.0, self.hidden / (self.hidden + self.visible))
        seen = np.tensordot(1 - dark[1:], counts[1:], 1).max(axis=1).sum()
        unseen = np.tensordot(dark[1:], counts[1:].sum(axis=1), 1).max()
        return (seen + unseen) / (self.length - 1), unseen / max(dark.sum(), 1e-9)


def roll(
    starts: Int[Array, "2 B"], directions: Int[Array, " B"], length: int, side: int, compass: int
) -> tuple[Int[Array, "T 2 B"], Int[Array, "T B"]]:
    """The ball's path, and the direction of each step of it, in closed form.

    Along each axis the ball goes to and fro: unfolded at the walls it runs around a circle of 2(side − 1) places.

    Args:
        starts: row and column at frame 0, in 0 … side − 1.
        directions: the first ones, indices into the compass.
        length: T.
        side: pixels along each wall.
        compass: 8 or 4, how many directions there are.

    Returns:
        Row and column at each frame, and the index of the direction that led there (at frame 0: as if it had moved).
    """
    vectors = jnp.asarray(COMPASS[compass])
    velocity = vectors[directions].T  # [2, B]
    around = 2 * (side - 1)
    begin = jnp.where(velocity < 0, around - starts, starts)
    moved = jnp.arange(length)[:, None, None]
    circle = (begin[None] + moved) % around
    still = (velocity == 0)[None]
    places = jnp.where(still, starts[None], (side - 1) - jnp.abs(circle - (side - 1)))
    outwards = (circle >= 1) & (circle <= side - 1)  # the step to this place led away from 0
    steps = jnp.where(still, 0, jnp.where(outwards, 1, -1))  # [T, 2, B]
    same = jnp.all(steps[:, None] == vectors[None, :, :, None], axis=2)  # [T, compass, B]
    return places, jnp.argmax(same, axis=1)


def render(places: Int[Array, "T 2 B"], side: int) -> Float[Array, "T B P"]:
    """The pixels of a soft ball, `[T, B, side²]`: a Gaussian of width 0.7 pixels, 1 in its middle."""
    distance = jnp.square(jnp.arange(side)[:, None, None, None] - places[None])  # [side, T, 2, B]
    along = jnp.exp(-distance.astype(jnp.float32) / (2 * 0.7**2))
    picture = along[:, None, :, 0] * along[None, :, :, 1]  # [side, side, T, B]
    return picture.reshape(side * side, *picture.shape[2:]).transpose(1, 2, 0)
