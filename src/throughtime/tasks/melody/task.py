"""A melody from its first note: one-to-many, measured on chorales whose tunes were never heard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import EOS, PAD, OneToMany, counted, token_loss
from throughtime.tasks.base import Task, TaskConfig
from throughtime.tasks.melody.corpus import Note, Split, chorales
from throughtime.tasks.melody.listener import (
    FIRST_DURATION,
    FIRST_PITCH,
    NUM_TOKENS,
    Hears,
    Listener,
    NoteReadout,
    heard_size,
)
from throughtime.tasks.melody.midi import midi_file
from throughtime.tasks.melody.trigram import trigram_bits

EMBEDDING = 32
LONGEST = 90
"""Notes of a training melody that are learned from; few have more."""


class Melodies(NamedTuple):
    """First notes, and what follows: a pitch and a duration by turns, and the end."""

    seeds: Float[Array, "N V"]  # both tokens of the first note are 1
    tokens: Int[Array, "N T"]


class MelodySplits(NamedTuple):
    """No tune of one split is in another, in whatever key or rhythm."""

    train: Melodies
    valid: Melodies
    test: Melodies


class MelodyModel(eqx.Module):
    """A `OneToMany` around a `Listener`, and dropout of its weights.

    A training step leaves out the same embedding features and the same hidden units of the readout for all sequences
    of its batch.
    """

    net: OneToMany
    dropout: float = eqx.field(static=True)

    def __call__(self, seeds: Array, tokens: Array, key: PRNGKeyArray | None) -> Float[Array, "T B V"]:
        """The logits of melodies; with a key, those of a thinned model."""
        net = self.net if key is None or self.dropout == 0.0 else _thin(self.net, self.dropout, key)
        return net(seeds, tokens)


@dataclass(frozen=True)
class Melody(Task):
    """The soprano lines of Bach's chorales: the first note is given, and the others follow, pitch and duration.

    All melodies are moved to C major or A minor. Bits per note are those of all pitches, durations and the end, over
    the notes after the first. The baselines are trigram models of the same symbols, which see two notes back. The model
    sees all notes back to the first and nothing else; what is counted of them (`hears`) helps without any recurrence
    too: `--memory none` measures counted features without recurrence, and is no memoryless floor. That is what one can
    tell from the present symbol alone: its counted figure is `memoryless_bits_per_note`, and `--memory none --hears
    nothing` learns to reach it.
    """

    name: ClassVar[str] = "melody"
    architecture: ClassVar[Any] = "one-to-many"
    summary: ClassVar[str] = "go on with a chorale melody from its first note: tunes never heard in training"
    score: ClassVar[str] = "bits_per_note"
    extra: ClassVar[str | None] = "music"

    hears: Hears = "all"
    """What is counted of the notes and told the memory: all; beats (but no repetitions); notes (the last step alone);
    nothing (the present symbol is all that it sees)."""
    midi: str = ""
    """A file to write a melody to, which the trained model makes up from the first note of a test chorale. With several
    seeds each has its own: FILE-seed-0.mid and so on."""
    temperature: float = 0.8
    """Of that melody: below 1 is more cautious."""

    def __post_init__(self):
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}", "Logits are divided by it.", "Try 0.8.")
        if self.midi and not Path(self.midi).absolute().parent.is_dir():
            raise ConfigError(f"there is no folder for {self.midi!r}", "", "Make it first, or name another file.")

    @property
    def beside_memory(self) -> str | None:
        """What is counted."""
        return f"features counted of all notes so far ({_COUNTED[self.hears]})" if self.hears in _COUNTED else None

    def for_seed(self, seed: int) -> "Melody":
        """A MIDI file of its own, `melody-seed-3.mid` for `melody.mid`."""
        path = Path(self.midi)
        return replace(self, midi=str(path.with_stem(f"{path.stem}-seed-{seed}"))) if self.midi else self

    def defaults(self, memory: str) -> TaskConfig:
        """A small GRU with much dropout, and the weights that were best on the validation split."""
        return TaskConfig(
            memory=memory, hidden_size=96, updates=1200, batch_size=16, dropout=0.6, validate_every=50, keep_best=True
        )

    def load(self) -> MelodySplits:
        """The chorales' melodies as tokens."""
        return MelodySplits(*(_encode(_split(split), LONGEST if split == "train" else None) for split in SPLITS))

    def model(self, data: MelodySplits, config: TaskConfig, key: PRNGKeyArray) -> MelodyModel:
        """A decoder around a listener around the memory."""
        del data
        key_memory, key_listener, key_readout, key_net = jax.random.split(key, 4)
        memory = config.build_memory(EMBEDDING + heard_size(), key_memory)
        net = OneToMany(
            Listener(memory, self.hears, key=key_listener),
            NUM_TOKENS,
            NUM_TOKENS,
            embed=False,
            bridge=False,
            readout=NoteReadout(memory.output_size, key=key_readout),
            key=key_net,
        )
        return MelodyModel(net, config.dropout)

    def batch(self, data: MelodySplits, size: int, key: PRNGKeyArray) -> Melodies:
        """Melodies of the training."""
        rows = jax.random.randint(key, (size,), 0, data.train.tokens.shape[0])
        return jax.tree.map(lambda a: a[rows], data.train)

    def validation_batch(self, data: MelodySplits, key: PRNGKeyArray) -> Melodies:
        """All of the validation split."""
        del key
        return data.valid

    def loss(
        self, model: MelodyModel, batch: Melodies, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy in nats a token; a note has two."""
        del progress
        return token_loss(model(batch.seeds, batch.tokens.T, key), batch.tokens.T)

    def evaluate(self, model: MelodyModel, data: MelodySplits, key: PRNGKeyArray) -> Mapping[str, float]:
        """Bits per note on the test split, of the model and of the baselines; writes the MIDI file, if any."""
        tokens = data.test.tokens.T
        mask = np.asarray(counted(tokens))
        nats = float(eqx.filter_jit(self.loss)(model, data.test, None, jnp.zeros(()))) * mask.sum()
        bits = nats / np.log(2.0) / np.sum(mask & (np.asarray(tokens) >= FIRST_DURATION))
        trigrams = trigram_bits(*(_split(split) for split in SPLITS))
        if self.midi:
            chorale = next(c for c in chorales() if c.split == "test")
            notes = continue_melody(model, chorale.notes[0], key, self.temperature)
            Path(self.midi).write_bytes(midi_file(notes, moved=chorale.moved))
        return {
            "bits_per_note": bits,
            "trigram_bits_per_note": trigrams.whole,
            "factored_trigram_bits_per_note": trigrams.factored,
            "memoryless_bits_per_note": trigrams.memoryless,
            "below_trigram": 1.0 - bits / trigrams.whole,
            "below_factored_trigram": 1.0 - bits / trigrams.factored,
        }


_COUNTED: Mapping[Hears, str] = {
    "all": "beat, phrase, last step and repetitions",
    "beats": "beat, phrase and last step",
    "notes": "the last step",
}
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def continue_melody(
    model: MelodyModel, first: Note, key: PRNGKeyArray, temperature: float = 1.0, longest: int = 100
) -> list[Note]:
    """A melody that the model makes up.

    Args:
        model: trained.
        first: the note to begin with.
        key: of the draws.
        temperature: below 1 is more cautious.
        longest: the most notes that follow the first.
    """
    seed = jnp.asarray(_seed(first))[None]
    said = model.net.generate(seed, 2 * longest, key=key, temperature=temperature)
    notes, pitch = [first], None
    for token in np.asarray(said.tokens)[:, 0].tolist():
        if FIRST_PITCH <= token < FIRST_DURATION:
            pitch = token - FIRST_PITCH
        elif token >= FIRST_DURATION and pitch is not None:
            notes.append(Note(pitch, token - FIRST_DURATION))
            pitch = None
    return notes


def _split(split: Split) -> list[tuple[Note, ...]]:
    return [chorale.notes for chorale in chorales() if chorale.split == split]


def _seed(note: Note) -> np.ndarray:
    seed = np.zeros(NUM_TOKENS, np.float32)
    seed[[FIRST_PITCH + note.pitch, FIRST_DURATION + note.duration]] = 1.0
    return seed


def _encode(melodies: Sequence[Sequence[Note]], longest: int | None) -> Melodies:
    """Melodies as tokens; what is longer than `longest` is cut, and then has no end."""
    lines = []
    for notes in melodies:
        line = [token for note in notes[1:] for token in (FIRST_PITCH + note.pitch, FIRST_DURATION + note.duration)]
        lines.append([*line, EOS][: longest and 2 * longest])
    tokens = np.full((len(lines), max(map(len, lines))), PAD, np.int32)
    for row, line in zip(tokens, lines, strict=True):
        row[: len(line)] = line
    return Melodies(np.stack([_seed(notes[0]) for notes in melodies]), tokens)  # pyright: ignore[reportArgumentType]


def _thin(net: OneToMany, dropout: float, key: PRNGKeyArray) -> OneToMany:
    def weights(net: OneToMany) -> Any:
        listener: Any = net.decoder.memory
        readout: Any = net.decoder.readout
        return listener.embedding, readout.absolute.weight_hy, readout.relative.weight_hy, readout.copy.weight_hy

    embedding, *layers = weights(net)
    key_embedding, key_hidden = jax.random.split(key)
    features = jax.random.bernoulli(key_embedding, 1.0 - 0.5 * dropout, (1, embedding.shape[1]))
    units = jax.random.bernoulli(key_hidden, 1.0 - dropout, (layers[0].shape[0], 1))

    def keep(mask: Array, weight: Array, share: float) -> Array:
        return jnp.where(jnp.broadcast_to(mask, weight.shape), weight / (1.0 - share), 0.0)

    thinned = keep(features, embedding, 0.5 * dropout), *(keep(units, weight, dropout) for weight in layers)
    return eqx.tree_at(weights, net, thinned)
