"""Decks of cards, in POPGym's order: card c of a deck has suit c mod 4 (spades, diamonds, clubs, hearts)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean

DECK_SIZE = 52
SUITS = ("spades", "diamonds", "clubs", "hearts")
DIFFICULTIES = ("easy", "medium", "hard")


def shuffled(key: PRNGKeyArray, decks: int) -> Int[Array, " cards"]:
    """The cards 0 … 52·decks − 1 in a random order, the first dealt first."""
    return jax.random.permutation(key, jnp.arange(DECK_SIZE * decks, dtype=jnp.int32))


def suit_of(card: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The suit, 0 … 3."""
    return card % len(SUITS)


def check_difficulty(owner: str, difficulty: str) -> None:
    """Raises a `ConfigError` unless it is one of POPGym's three."""
    if difficulty not in DIFFICULTIES:
        raise ConfigError(
            f"{owner}: difficulty = {difficulty!r} is impossible.",
            f"The published difficulties are {', '.join(DIFFICULTIES)}.",
            f"Set difficulty to one of them. {did_you_mean(difficulty, DIFFICULTIES)}",
        )
