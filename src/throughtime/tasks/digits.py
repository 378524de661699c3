"""Handwritten digits: read at once (one-to-one), row by row, and pixel by pixel (many-to-one)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory import WithReadout
from throughtime.memory.architectures import ManyToOne, OneToOne
from throughtime.tasks._classifier import Classifier, accuracy_of, class_loss
from throughtime.tasks.base import Task, TaskConfig

SIDE, CLASSES = 8, 10


class Pictures(NamedTuple):
    """Pictures of digits, and which they are."""

    pixels: Float[Array, "N 8 8"]  # 0 paper … 1 ink
    labels: Int[Array, " N"]


class PictureSplits(NamedTuple):
    """60 % to train on, 15 % to choose settings by, 25 % to report; the same share of each digit in all three."""

    train: Pictures
    valid: Pictures
    test: Pictures


@dataclass(frozen=True)
class Digits(Task):
    """The UCI optical digits (scikit-learn's copy: 1,797 pictures of 8 x 8), classified in one look.

    The standard feed-forward network, the baseline of the two tasks that read the same pictures as sequences.

    Reference: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
    """

    name: ClassVar[str] = "digits"
    architecture: ClassVar[Any] = "one-to-one"
    summary: ClassVar[str] = "classify handwritten digits, the whole picture at once"
    score: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    extra: ClassVar[str | None] = "tasks"
    steps: ClassVar[int] = 1
    readout_units: ClassVar[int | None] = None
    """Units of the readout's hidden layer, where it has one."""

    augment: bool = True
    """Whether training pictures are turned, scaled, sheared, shifted and made noisy, differently each time."""

    def defaults(self, memory: str) -> TaskConfig:
        """128 units, dropout and weight decay; the model of the lowest validation loss is kept."""
        return TaskConfig(
            memory=memory,
            hidden_size=128,
            updates=2000,
            batch_size=64,
            learning_rate=3e-3,
            weight_decay=1e-3,
            dropout=0.2,
            keep_best=True,
        )

    def load(self) -> PictureSplits:
        """The pictures, split once and for all.

        Raises:
            ConfigError: scikit-learn is not installed.
        """
        return _load()

    def model(self, data: PictureSplits, config: TaskConfig, key: PRNGKeyArray) -> Classifier:
        """A memory and a linear readout of its last output, with dropout between them in training."""
        del data
        key_memory, key_readout = jax.random.split(key)
        architecture = OneToOne if self.steps == 1 else ManyToOne
        memory = config.build_memory(SIDE * SIDE // self.steps, key_memory)
        if self.readout_units:
            key_hidden, key_readout = jax.random.split(key_readout)
            memory = WithReadout(memory, self.readout_units, "relu", key=key_hidden)
        return Classifier(architecture(memory, CLASSES, key=key_readout), config.dropout)

    def batch(self, data: PictureSplits, size: int, key: PRNGKeyArray) -> Pictures:
        """Pictures of the training split, drawn with replacement."""
        key_rows, key_warp = jax.random.split(key)
        train = data.train
        rows = jax.random.randint(key_rows, (size,), 0, train.labels.shape[0])
        pixels = train.pixels[rows]
        return Pictures(distort(pixels, key_warp) if self.augment else pixels, train.labels[rows])

    def validation_batch(self, data: PictureSplits, key: PRNGKeyArray) -> Pictures:
        """All of the validation split, as it is."""
        del key
        return data.valid

    def loss(
        self, model: Classifier, batch: Pictures, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy."""
        del progress
        return class_loss(model(self.inputs(batch.pixels), key=key), batch.labels)

    def evaluate(self, model: Classifier, data: PictureSplits, key: PRNGKeyArray) -> Mapping[str, float]:
        """Accuracy on the test split, and on the validation split."""
        del key
        return {
            "accuracy": accuracy_of(model, self.inputs(data.test.pixels), data.test.labels),
            "validation_accuracy": accuracy_of(model, self.inputs(data.valid.pixels), data.valid.labels),
        }

    def inputs(self, pixels: Float[Array, "B 8 8"]) -> Array:
        """What the model reads: `[B, 64]` at once, or `[steps, B, 64 / steps]` in reading order."""
        flat = pixels.reshape(pixels.shape[0], SIDE * SIDE)
        return flat if self.steps == 1 else flat.reshape(-1, self.steps, SIDE * SIDE // self.steps).swapaxes(0, 1)


@dataclass(frozen=True)
class DigitRows(Digits):
    """The UCI optical digits, one row of eight pixels after the other; the answer after the last."""

    name: ClassVar[str] = "digits-rows"
    architecture: ClassVar[Any] = "many-to-one"
    summary: ClassVar[str] = "classify handwritten digits, read row by row"
    steps: ClassVar[int] = 8

    @property
    def required_lag(self) -> int:
        """From the first row to the last."""
        return self.steps - 1


@dataclass(frozen=True)
class DigitPixels(DigitRows):
    """The UCI optical digits, one pixel after the other, 64 of them; the answer after the last.

    The readout has a hidden layer, so that a linear memory (LRU, minGRU) does not make a linear classifier.
    """

    name: ClassVar[str] = "digits-pixels"
    summary: ClassVar[str] = "classify handwritten digits, read pixel by pixel"
    steps: ClassVar[int] = 64
    readout_units: ClassVar[int | None] = 128

    def defaults(self, memory: str) -> TaskConfig:
        """Memories that keep 64 steps from the start: slow decays for the LRU, chrono initialisation for gated ones.

        An LRU reaches the most in a minute: it need only keep the pixels, and the readout's hidden layer sees them all.
        """
        slow: dict[str, dict[str, Any]] = {"lru": {"r_min": 0.9, "r_max": 0.999}}
        gated = {"chrono": float(self.steps)} if memory in ("gru", "lstm") else {}
        rate = 6e-3 if gated else 3e-3
        base = replace(super().defaults(memory), hidden_size=96, updates=1000, learning_rate=rate)
        return replace(base, memory_options=slow.get(memory, gated))


def distort(pixels: Float[Array, "B 8 8"], key: PRNGKeyArray) -> Float[Array, "B 8 8"]:
    """Pictures turned, scaled, sheared and shifted a little, with noise; paper comes in at the edges.

    Each is resampled bilinearly through its own affine map about the middle: turned by up to 12 degrees, each axis
    scaled by up to 12 %, sheared by up to 0.15 and shifted by up to one pixel, all uniform; noise of deviation 0.03.
    """
    B = pixels.shape[0]
    key_map, key_noise = jax.random.split(key)
    turn, scale_y, scale_x, shear, shift_y, shift_x = jax.random.uniform(key_map, (6, B), minval=-1.0)
    turn, shear = turn * math.radians(12), 0.15 * shear
    cos, sin = jnp.cos(turn), jnp.sin(turn)
    middle = (SIDE - 1) / 2
    grid = jnp.arange(SIDE, dtype=pixels.dtype)
    y, x = (a.reshape(1, SIDE * SIDE) - middle for a in jnp.meshgrid(grid, grid, indexing="ij"))
    # Where each pixel of the result comes from, [B, 64]
    from_y = (1 + 0.12 * scale_y)[:, None] * (cos[:, None] * y + sin[:, None] * x) + middle + shift_y[:, None]
    from_x = (1 + 0.12 * scale_x)[:, None] * ((shear * cos - sin)[:, None] * y + cos[:, None] * x) + middle
    from_x = from_x + shift_x[:, None]
    weight_y = jax.nn.relu(1 - jnp.abs(from_y[..., None] - grid[None, None]))  # [B, 64, 8]
    weight_x = jax.nn.relu(1 - jnp.abs(from_x[..., None] - grid[None, None]))
    warped = jnp.sum(weight_y @ pixels * weight_x, axis=-1).reshape(B, SIDE, SIDE)
    return jnp.clip(warped + 0.03 * jax.random.normal(key_noise, warped.shape), 0.0, 1.0)


@cache
def _load() -> PictureSplits:
    try:
        from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "scikit-learn is not installed.",
            "The pictures of the digits tasks ship with it.",
            "Run pip install 'throughtime[tasks]'.",
        ) from error
    pictures, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for digit in range(CLASSES):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        cuts = [round(0.6 * len(rows)), round(0.75 * len(rows))]
        for part, some in zip(parts, np.split(rows, cuts), strict=True):
            part.append(some)
    pixels = (pictures / 16).astype(np.float32).reshape(-1, SIDE, SIDE)
    splits = ((pixels[rows], labels[rows].astype(np.int32)) for rows in map(np.concatenate, parts))
    return PictureSplits(*(Pictures(*arrays) for arrays in splits))  # pyright: ignore[reportArgumentType]
