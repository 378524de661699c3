"""Autoencode: watch cards, then name their suits from the last to the first (POPGym)."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box
from throughtime.envs.suite._cards import DECK_SIZE, SUITS, AnswerParams, DeckState, suit_of
from throughtime.envs.suite._suits import SuitTask

# Decks of each difficulty.
DECKS = {"easy": 1, "medium": 2, "hard": 3}


@dataclass(frozen=True)
class Autoencode(SuitTask):
    """POPGym's Autoencode: N cards are dealt one by one, then their suits are to be named backwards.

    Observation: `[play, watch]` one-hot, and the suit of a card one-hot. Action: a suit. While watching, an action is
    worth nothing and deals one more card. With the last card in sight the mode is already play: the first answer is
    about the card that is seen. Each answer pays 1/N if it is right, else −1/N; after it the suit shown is always
    spades and tells nothing. The N-th answer, about the first card, terminates, after 2N − 1 steps. N is 52 (easy), 104
    (medium), 156 (hard).

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    @property
    def name(self) -> str:
        """`autoencode`."""
        return "autoencode"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * DECKS[self.difficulty]

    @property
    def default_params(self) -> AnswerParams:
        """Rewards that sum to 1."""
        return AnswerParams(scale=1.0 / self.cards)

    @property
    def observation_space(self) -> Box:
        """The mode and the suit, one-hot each."""
        return Box(0.0, 1.0, (6,))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The modes, the suits."""
        return ("play", "watch", *SUITS)

    def step_env(
        self, key: PRNGKeyArray, state: DeckState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " 6"], DeckState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One more card, or one answer; see the class. `key` is not used."""
        del key
        pay = jnp.where(action == self.hidden_state(state), params.scale, -params.scale)
        reward = jnp.where(self._plays(state), pay, 0.0).astype(jnp.float32)
        state = state._replace(time=state.time + 1)
        return self._observe(state), state, reward, state.time >= self.max_episode_steps, {}

    def _plays(self, state: DeckState) -> Bool[Array, ""]:
        return state.time >= self.cards - 1

    def _observe(self, state: DeckState) -> Float[Array, " 6"]:
        mode = 1 - self._plays(state).astype(jnp.int32)
        shown = suit_of(state.cards[jnp.minimum(state.time, self.cards - 1)])
        suit = jnp.where(state.time < self.cards, shown, 0)
        one_hots = jax.nn.one_hot(mode, 2, dtype=jnp.float32), jax.nn.one_hot(suit, 4, dtype=jnp.float32)
        return jnp.concatenate(one_hots)

    def hidden_state(self, state: DeckState) -> Int[Array, ""]:
        """The suit to name now; while watching, the one in sight, which a stack has on top."""
        last = self.cards - 1
        return suit_of(state.cards[jnp.clip(jnp.minimum(state.time, 2 * last - state.time), 0, last)])

    @property
    def memoryless_return(self) -> float:
        """Name the suit in sight while playing: N/4 + 3/4 of the N answers are right.

        The first answer is right. All later ones are spades, right for the N/4 spades there are, one less where the
        first answer was one of them (1 in 4). Another suit than spades, where spades are in sight, is right for its N/4
        cards, but loses the first answer where that is spades, or the last card where it is of that suit: N/4 + 1/2.
        """
        return 2 * (self.cards / 4 + 0.75) / self.cards - 1

    @property
    def required_lag(self) -> int:
        """From the first card to the last answer: 2N − 2 steps."""
        return 2 * self.cards - 2

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return 2 * self.cards - 1
