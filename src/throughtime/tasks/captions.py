"""Captions of pictures: scenes of coloured shapes, rendered to pixels, described in words: one-to-many."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory import Readout
from throughtime.memory.architectures import (
    EOS,
    FIRST_SYMBOL,
    PAD,
    OneToMany,
    ScheduledSampling,
    exact_match,
    token_accuracy,
    token_loss,
)
from throughtime.tasks.base import Task, TaskConfig

GRID, CELL = 3, 5
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}
SHAPES = {
    "square": "##### ##### ##### ##### #####",
    "circle": ".###. ##### ##### ##### .###.",
    "cross": "..#.. ..#.. ##### ..#.. ..#..",
    "triangle": "..#.. ..#.. .###. .###. #####",
}
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
WORDS = ("a", "and", *COLOURS, *SHAPES, *ROWS, *COLUMNS)
EMBEDDING, PATCH_FEATURES = 16, 16


class Scenes(NamedTuple):
    """Pictures and their captions."""

    cells: Int[Array, "N 9"]  # 0 for an empty cell, else 1 + colour·shapes + shape
    captions: Int[Array, "N T"]


class SceneSplits(NamedTuple):
    """No scene is in two of them."""

    train: Scenes
    valid: Scenes
    test: Scenes


class Patches(eqx.Module):
    """A picture as one vector: one layer on every cell, with shared weights (a convolution), then one on all cells."""

    cell: Readout
    whole: Readout

    def __init__(self, size: int, *, key: PRNGKeyArray):
        """Builds both layers; `size` is that of the vector."""
        key_cell, key_whole = jax.random.split(key)
        self.cell = Readout(CELL * CELL * 3, PATCH_FEATURES, "relu", key=key_cell)
        self.whole = Readout(GRID * GRID * PATCH_FEATURES, size, "tanh", key=key_whole)

    def __call__(self, pixels: Float[Array, "B 15 15 3"]) -> Float[Array, "B C"]:
        """The vector of each picture."""
        B = pixels.shape[0]
        patches = pixels.reshape(B, GRID, CELL, GRID, CELL, 3).transpose(0, 1, 3, 2, 4, 5)
        return self.whole(self.cell(patches.reshape(B, GRID * GRID, CELL * CELL * 3)).reshape(B, -1))


@dataclass(frozen=True)
class Captions(Task):
    """One to three coloured shapes on a 3 x 3 grid, 15 x 15 noisy pixels, described in reading order.

    scene = object ["and" object ["and" object]];   object = "a" colour shape row column
    """

    name: ClassVar[str] = "captions"
    architecture: ClassVar[Any] = "one-to-many"
    summary: ClassVar[str] = "describe a picture of coloured shapes in words: scenes never seen in training"
    score: ClassVar[str] = "exact_match"
    higher_is_better: ClassVar[bool] = True

    objects: int = 3
    """The most objects of a scene, 1 to 9."""
    noise: float = 0.1
    """Standard deviation of the noise on each pixel, whose values are 0 and 1."""
    examples: int = 20_000
    """Scenes to train on; their noise is fresh every time."""
    own: float = 0.0
    """Scheduled sampling: the probability, at the end, that a step reads the decoder's own prediction."""
    beam: int = 1
    """Sequences in the beam when the model is evaluated; 1 is greedy search."""

    def __post_init__(self):
        if not 1 <= self.objects <= GRID * GRID:
            raise ConfigError(
                f"objects is {self.objects}", f"A scene has {GRID * GRID} cells.", "Set it in 1 … 9, for example 3."
            )
        if not self.noise >= 0:
            raise ConfigError(f"noise is {self.noise}", "It is a standard deviation.", "Set it to 0 or more.")
        for field in ("examples", "beam"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", "", f"Set {field} to 1 or more.")
        ScheduledSampling(self.own)

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 96 units."""
        return TaskConfig(memory=memory, hidden_size=96, updates=2000, batch_size=64, learning_rate=3e-3)

    def load(self) -> SceneSplits:
        """Different scenes, drawn once and for all."""
        return _load(self.objects, self.examples)

    def model(self, data: SceneSplits, config: TaskConfig, key: PRNGKeyArray) -> OneToMany:
        """A layer on each cell, one on all of them, and a decoder that is told the result at every step."""
        del data
        key_features, key_memory, key_model = jax.random.split(key, 3)
        size = config.hidden_size
        return OneToMany(
            config.build_memory(EMBEDDING + size, key_memory),
            FIRST_SYMBOL + len(WORDS),
            size,
            features=Patches(size, key=key_features),
            dropout=config.dropout,
            key=key_model,
        )

    def batch(self, data: SceneSplits, size: int, key: PRNGKeyArray) -> tuple[Array, Array]:
        """Pictures `[B, 15, 15, 3]` and captions `[T, B]` of the training."""
        key_rows, key_noise = jax.random.split(key)
        rows = jax.random.randint(key_rows, (size,), 0, data.train.cells.shape[0])
        return self._pictures(jax.tree.map(lambda a: a[rows], data.train), key_noise)

    def validation_batch(self, data: SceneSplits, key: PRNGKeyArray) -> tuple[Array, Array]:
        """All of the validation split."""
        return self._pictures(data.valid, key)

    def loss(
        self, model: OneToMany, batch: tuple[Array, Array], key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy of the caption, under teacher forcing or scheduled sampling."""
        own = ScheduledSampling(self.own)(progress) if self.own > 0 and key is not None else None
        pixels, captions = batch
        return token_loss(model(pixels, captions, own=own, key=key), captions)

    def evaluate(self, model: OneToMany, data: SceneSplits, key: PRNGKeyArray) -> Mapping[str, float]:
        """Exact matches and token accuracy of the free-running decoder on the test split, and by number of objects."""
        pixels, captions = self._pictures(data.test, key)
        if self.beam > 1:
            said = model.beam_search(pixels, self.beam, captions.shape[0]).tokens[0]
        else:
            said = model.generate(pixels, captions.shape[0]).tokens
        right, count = np.asarray(exact_match(said, captions)), np.sum(np.asarray(data.test.cells) > 0, axis=1)
        scores = {"exact_match": float(right.mean()), "token_accuracy": float(token_accuracy(said, captions))}
        for n in np.unique(count):
            scores[f"exact_match_of_{n}"] = float(right[count == n].mean())
        return scores

    def _pictures(self, scenes: Scenes, key: PRNGKeyArray) -> tuple[Array, Array]:
        pixels = render(scenes.cells)
        return pixels + self.noise * jax.random.normal(key, pixels.shape), scenes.captions.T


def render(cells: Int[Array, "N 9"]) -> Float[Array, "N 15 15 3"]:
    """The pixels of scenes, each colour channel 0 or 1.

    Args:
        cells: the grid in reading order, 0 for an empty cell, else 1 + colour·4 + shape.
    """
    stamps = jnp.asarray(_stamps(), jnp.float32)
    N = cells.shape[0]
    pictures = stamps[cells].reshape(N, GRID, GRID, CELL, CELL, 3).transpose(0, 1, 3, 2, 4, 5)
    return pictures.reshape(N, GRID * CELL, GRID * CELL, 3)


def describe(cells: np.ndarray) -> str:
    """The caption of one scene, `[9]`."""
    objects = []
    for place in np.flatnonzero(cells):
        colour, shape = divmod(int(cells[place]) - 1, len(SHAPES))
        row, column = divmod(int(place), GRID)
        objects.append(f"a {list(COLOURS)[colour]} {list(SHAPES)[shape]} {ROWS[row]} {COLUMNS[column]}")
    return " and ".join(objects)


@cache
def _stamps() -> np.ndarray:
    """`[17, 5, 5, 3]`: what each content of a cell looks like."""
    shapes = [np.array([[c == "#" for c in row] for row in text.split()]) for text in SHAPES.values()]
    filled = [shape[..., None] * np.array(colour) for colour in COLOURS.values() for shape in shapes]
    return np.stack([np.zeros((CELL, CELL, 3)), *filled]).astype(np.float32)


@cache
def _load(objects: int, examples: int) -> SceneSplits:
    rng = np.random.default_rng(0)
    wanted = (examples, 500, 1000)
    drawn = np.zeros((4 * sum(wanted), GRID * GRID), np.int32)
    for cells in drawn:
        places = rng.permutation(GRID * GRID)[: rng.integers(1, objects + 1)]
        cells[places] = rng.integers(1, len(COLOURS) * len(SHAPES) + 1, size=len(places))
    _, first = np.unique(drawn, axis=0, return_index=True)
    scenes = drawn[rng.permutation(first)]
    # Test and validation first: with few different scenes it is the training split that gets fewer.
    held = [min(n, len(scenes) // 5) for n in wanted[1:]]
    parts = np.split(scenes[: examples + sum(held)], np.cumsum(held))
    valid, test, train = (Scenes(part, _captions(part, objects)) for part in parts)  # pyright: ignore[reportArgumentType]
    return SceneSplits(train, valid, test)


def _captions(scenes: np.ndarray, objects: int) -> np.ndarray:
    out = np.full((len(scenes), 6 * objects), PAD, np.int32)  # five words an object, "and" between them, EOS
    for row, cells in zip(out, scenes, strict=True):
        tokens = [*(FIRST_SYMBOL + WORDS.index(word) for word in describe(cells).split()), EOS]
        row[: len(tokens)] = tokens
    return out
