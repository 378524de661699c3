"""Repeat first: name, in every step, the suit of the first card (POPGym)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.suite._cards import DECK_SIZE, AnswerParams, DeckState, suit_of
from throughtime.envs.suite._suits import SuitTask

# Decks of each difficulty.
DECKS = {"easy": 1, "medium": 8, "hard": 16}


@dataclass(frozen=True)
class RepeatFirst(SuitTask):
    """POPGym's RepeatFirst: cards of shuffled decks are dealt one by one, and the first one is what counts.

    Observation: the suit of the present card, one-hot. Action: a suit. Each action pays 1/(N − 1) if it names the suit
    of the episode's first card, else −1/(N − 1), with N cards in all; the first action comes while that card is in
    sight. The step that deals the last card terminates, after N − 1 steps. N is 52 (easy), 416 (medium), 832 (hard).

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    @property
    def name(self) -> str:
        """`repeat-first`."""
        return "repeat-first"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * DECKS[self.difficulty]

    @property
    def default_params(self) -> AnswerParams:
        """Rewards that sum to 1."""
        return AnswerParams(scale=1.0 / (self.cards - 1))

    def step_env(
        self, key: PRNGKeyArray, state: DeckState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " 4"], DeckState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One answer and one more card; see the class. `key` is not used."""
        del key
        reward = jnp.where(action == self.hidden_state(state), params.scale, -params.scale).astype(jnp.float32)
        state = state._replace(time=state.time + 1)
        return self._observe(state), state, reward, state.time >= self.max_episode_steps, {}

    def hidden_state(self, state: DeckState) -> Int[Array, ""]:
        """The suit of the first card."""
        return suit_of(state.cards[0])

    @property
    def memoryless_return(self) -> float:
        """Name the suit in sight: right at first, and then with N/4 − 1 of N − 1 cards.

        Any other suit is right with N/4 of N − 1 cards in the N − 2 later steps, but wrong at first, and loses by
        1/(N − 1) of an answer. Drawn answers lie between.
        """
        later = (self.cards - 2) * (self.cards / 4 - 1) / (self.cards - 1)
        return 2 * (1 + later) / (self.cards - 1) - 1

    @property
    def required_lag(self) -> int:
        """From the first card to the last answer: N − 2 steps."""
        return self.cards - 2

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.cards - 1
