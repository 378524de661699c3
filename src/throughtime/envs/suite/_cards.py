"""Decks of cards, in POPGym's order: spades, diamonds, clubs, hearts of aces, then of twos, and so on to kings."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

DECK_SIZE = 52
COLOURS = ("black", "red")
SUITS = ("spades", "diamonds", "clubs", "hearts")
RANKS = ("ace", "2", "3", "4", "5", "6", "7", "8", "9", "10", "jack", "queen", "king")


class DeckState(NamedTuple):
    """The deck and how much of it was dealt."""

    cards: Int[Array, " cards"]  # in the order of dealing
    time: Int[Array, ""]  # steps since the reset: cards 0 … `time` were dealt


class AnswerParams(NamedTuple):
    """Rewards."""

    scale: float | Array  # won by a right answer, lost by a wrong one


def shuffled(key: PRNGKeyArray, decks: int) -> Int[Array, " cards"]:
    """The cards 0 … 52·decks − 1 in a random order, the first dealt first."""
    return jax.random.permutation(key, jnp.arange(DECK_SIZE * decks, dtype=jnp.int32))


def new_deck(key: PRNGKeyArray, decks: int) -> DeckState:
    """Shuffled decks, the first card dealt."""
    return DeckState(shuffled(key, decks), jnp.zeros((), jnp.int32))


def colour_of(card: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """0 black, 1 red."""
    return card % len(COLOURS)


def suit_of(card: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The suit, 0 … 3."""
    return card % len(SUITS)


def rank_of(card: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The rank, 0 (ace) … 12 (king)."""
    return card % DECK_SIZE // len(SUITS)
