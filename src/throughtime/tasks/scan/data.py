"""SCAN as arrays, and batches of it whose targets are about equally long."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import EOS, FIRST_SYMBOL, PAD
from throughtime.tasks.scan.language import ACTIONS, WORDS, check_words, instructions
from throughtime.tasks.scan.splits import Split, divide

VOCABULARY = (*WORDS, "<end>")
"""What a source is made of: the words, and the mark behind them."""
MOST_WORDS, MOST_ACTIONS = 9, 48
TOKENS = FIRST_SYMBOL + len(ACTIONS)

EDGES = (10, 16, 22, 30, MOST_ACTIONS + 1)
"""Steps of a batch's targets: a batch holds examples of one bucket, those up to its edge and above the one before."""

VALIDATION = 512


class Commands(NamedTuple):
    """Instructions and their actions."""

    words: Int[Array, "*L N S"]  # numbers in VOCABULARY, −1 in the padding
    lengths: Int[Array, "*L N"]  # words, the mark included
    actions: Int[Array, "*L N T"]  # tokens: actions, EOS, PAD


class ScanData(NamedTuple):
    """Sorted by their number of actions."""

    train: Commands
    valid: Commands  # some of the training examples: there is no published validation split
    test: Commands


@cache
def load(split: Split) -> ScanData:
    """The arrays of a split, those of NumPy."""
    train, test = divide(split)
    some = np.random.default_rng(1).choice(len(train), VALIDATION, replace=False)
    return ScanData(encode(train), encode([train[i] for i in some]), encode(test))


def encode(texts: list[str] | tuple[str, ...]) -> Commands:
    """Instructions of the grammar as NumPy arrays, those of fewest actions first."""
    known = instructions()
    texts = sorted(texts, key=lambda text: len(known[text]))
    words = np.full((len(texts), MOST_WORDS + 1), -1, np.int32)
    actions = np.full((len(texts), MOST_ACTIONS + 1), PAD, np.int32)
    numbers = {word: i for i, word in enumerate(VOCABULARY)}
    tokens = {action: FIRST_SYMBOL + i for i, action in enumerate(ACTIONS)}
    for row, text in enumerate(texts):
        source = [*(numbers[word] for word in text.split()), numbers["<end>"]]
        target = [*(tokens[action] for action in known[text]), EOS]
        words[row, : len(source)], actions[row, : len(target)] = source, target
    return Commands(words, np.sum(words >= 0, axis=1, dtype=np.int32), actions)  # pyright: ignore[reportArgumentType]


def encode_words(text: str) -> tuple[Int[np.ndarray, " S"], int]:
    """One instruction as numbers, −1 in the padding, and its length; it need not be of the grammar.

    Raises:
        ConfigError: an unknown word, or more words than any instruction has.
    """
    words = check_words(text)
    if len(words) > MOST_WORDS:
        raise ConfigError(
            f"{text!r} has {len(words)} words",
            f"The longest instruction of the grammar has {MOST_WORDS}.",
            "Say it in two instructions.",
        )
    numbers = np.full(MOST_WORDS + 1, -1, np.int32)
    numbers[: len(words) + 1] = [VOCABULARY.index(word) for word in (*words, "<end>")]
    return numbers, len(words) + 1


def decode(tokens: Int[np.ndarray, " T"]) -> tuple[str, ...]:
    """The actions before the EOS."""
    row = np.asarray(tokens).tolist()
    row = row[: row.index(EOS)] if EOS in row else row
    return tuple(ACTIONS[token - FIRST_SYMBOL] for token in row if token >= FIRST_SYMBOL)


def phrase(commands: Commands, row: int) -> str:
    """The words of one instruction."""
    return " ".join(VOCABULARY[int(word)] for word in commands.words[row, : int(commands.lengths[row]) - 1])


def one_hot(commands: Commands) -> Array:
    """`[S, B, I]`, zeros in the padding."""
    return jax.nn.one_hot(commands.words.T, len(VOCABULARY))


@cache
def longest(split: Split) -> int:
    """The most actions of a training example."""
    return int(np.max(np.sum(load(split).train.actions != PAD, axis=1))) - 1


def bucket_edges(split: Split) -> tuple[int, ...]:
    """The edges up to the one that holds the longest training example."""
    return tuple(edge for i, edge in enumerate(EDGES) if i == 0 or EDGES[i - 1] < longest(split) + 1)


def draw_bucket(
    train: Commands, edges: tuple[int, ...], size: int, key: PRNGKeyArray
) -> tuple[Commands, Int[Array, ""]]:
    """A bucket, with the probability of its share of the examples, and `size` examples of it."""
    key_bucket, key_rows = jax.random.split(key)
    steps = jnp.sum(train.actions != PAD, axis=1, dtype=jnp.int32)
    ends = jnp.searchsorted(steps, jnp.asarray(edges, jnp.int32), side="right")
    begins = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
    bucket = jnp.searchsorted(ends, jax.random.randint(key_bucket, (), 0, steps.shape[0]), side="right")
    rows = jax.random.randint(key_rows, (size,), begins[bucket], ends[bucket])
    return jax.tree.map(lambda a: a[rows], train), bucket.astype(jnp.int32)
