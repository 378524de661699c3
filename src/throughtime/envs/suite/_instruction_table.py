"""All instructions as arrays, and which of their rows an environment draws from."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from throughtime.envs.suite._instruction_language import (
    MOST_WORDS,
    SPLITS,
    VOCABULARY,
    Instruction,
    instructions,
    parse,
    split_of,
)


class Table(NamedTuple):
    """The instructions of all splits, one after the other. NumPy arrays."""

    clause: Int[np.ndarray, "M 2 3"]  # verb, colour, kind of each clause; of a single one twice
    lengths: Int[np.ndarray, " M"]  # clauses
    words: Int[np.ndarray, "M S"]  # numbers in VOCABULARY, −1 behind the last


class Rows(NamedTuple):
    """Rows of the table: those of one clause from `first`, those of two from `middle`, up to `last`."""

    first: int
    middle: int
    last: int


@cache
def sentences() -> tuple[Instruction, ...]:
    """The rows as they are said."""
    return tuple(sentence for split in SPLITS for sentence in instructions(split))


@cache
def table() -> Table:
    """The rows as arrays."""
    words = np.full((len(sentences()), MOST_WORDS), -1, np.int32)
    for row, sentence in enumerate(sentences()):
        words[row, : len(sentence.words)] = [VOCABULARY.index(word) for word in sentence.words]
    clause = np.array([(s.clauses[0], s.clauses[-1]) for s in sentences()], np.int32)
    return Table(clause, np.array([len(s.clauses) for s in sentences()], np.int32), words)


@cache
def rows_of(split: str, instruction: str, owner: str) -> Rows:
    """Which are drawn: those of a split, or the one that a person wrote.

    Raises:
        ConfigError: an unknown split, or no such instruction.
    """
    if instruction:
        row = sentences().index(parse(instruction, owner))
        return Rows(row, row, row + 1)
    chosen = split_of(split, owner)
    first = sum(len(instructions(before)) for before in SPLITS[: SPLITS.index(chosen)])
    singles = sum(len(sentence.clauses) == 1 for sentence in instructions(chosen))
    return Rows(first, first + singles, first + len(instructions(chosen)))


def draw_row(key: PRNGKeyArray, rows: Rows) -> Int[Array, ""]:
    """One of the rows; where there are both, each length with probability ½."""
    key_single, key_row = jax.random.split(key)
    low, high = jnp.int32(rows.first), jnp.int32(rows.last)
    if rows.first < rows.middle < rows.last:
        single = jax.random.bernoulli(key_single)
        low, high = jnp.where(single, low, rows.middle), jnp.where(single, rows.middle, high)
    return jax.random.randint(key_row, (), low, high, jnp.int32)
