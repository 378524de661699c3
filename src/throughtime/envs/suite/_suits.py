"""What the tasks of POPGym have in common in which suits are seen, remembered and named."""

from abc import abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._cards import DECK_SIZE, SUITS, AnswerParams, DeckState, new_deck, suit_of
from throughtime.envs.suite._popgym import PopgymTask


class SuitTask(PopgymTask[DeckState, AnswerParams]):
    """Cards of shuffled decks are dealt one by one, their suits are seen, and suits are answered."""

    stochastic_step: ClassVar[bool] = False

    @property
    @abstractmethod
    def cards(self) -> int:
        """N, the cards in all: whole decks."""

    @property
    def observation_space(self) -> Box:
        """The suit, one-hot."""
        return Box(0.0, 1.0, (4,))

    @property
    def action_space(self) -> Discrete:
        """A suit."""
        return Discrete(4)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The suits."""
        return SUITS

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The suits."""
        return SUITS

    def reset_env(self, key: PRNGKeyArray, params: AnswerParams) -> tuple[Float[Array, " O"], DeckState]:
        """Shuffled decks, the first card in sight."""
        del params
        state = new_deck(key, self.cards // DECK_SIZE)
        return self._observe(state), state

    def _observe(self, state: DeckState) -> Float[Array, " O"]:
        """The suit of the card in sight."""
        return jax.nn.one_hot(suit_of(state.cards[state.time]), 4, dtype=jnp.float32)

    @property
    def optimal_return(self) -> float:
        """1: every answer right."""
        return 1.0
