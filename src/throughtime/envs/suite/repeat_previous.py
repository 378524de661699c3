"""Repeat previous: name the suit of the card seen k − 1 steps ago (POPGym)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.suite._cards import DECK_SIZE, AnswerParams, DeckState, suit_of
from throughtime.envs.suite._suits import SuitTask

# Decks and k of each difficulty.
LEVELS = {"easy": (1, 4), "medium": (2, 32), "hard": (3, 64)}


@dataclass(frozen=True)
class RepeatPrevious(SuitTask):
    """POPGym's RepeatPrevious: cards of shuffled decks are dealt one by one.

    Observation: the suit of the present card, one-hot (POPGym gives its index). Action: a suit. From the k-th
    card on, an action pays 1/(N − k) if it names the suit of the card seen k − 1 steps before, else −1/(N − k),
    with N cards in all. The step that deals the last card terminates, after N − 1 steps. N and k are 52 and 4
    (easy), 104 and 32 (medium), 156 and 64 (hard).

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    @property
    def name(self) -> str:
        """`repeat-previous`."""
        return "repeat-previous"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * LEVELS[self.difficulty][0]

    @property
    def k(self) -> int:
        """How many cards back the asked one lies, the present one counted."""
        return LEVELS[self.difficulty][1]

    @property
    def default_params(self) -> AnswerParams:
        """Rewards that sum to 1."""
        return AnswerParams(scale=1.0 / (self.cards - self.k))

    def step_env(
        self, key: PRNGKeyArray, state: DeckState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " 4"], DeckState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One answer and one more card; see the class. `key` is not used."""
        del key
        asked = state.time + 1 >= self.k
        pay = jnp.where(action == self.hidden_state(state), params.scale, -params.scale)
        reward = jnp.where(asked, pay, 0.0).astype(jnp.float32)
        state = state._replace(time=state.time + 1)
        return self._observe(state), state, reward, state.time >= self.max_episode_steps, {}

    def hidden_state(self, state: DeckState) -> Int[Array, ""]:
        """The suit to name now (of the first card while fewer than k were seen)."""
        return suit_of(state.cards[jnp.maximum(state.time - self.required_lag, 0)])

    @property
    def memoryless_return(self) -> float:
        """Name any suit but the present one: right with N/4 of the N − 1 other cards."""
        return 2 * (self.cards / 4) / (self.cards - 1) - 1

    @property
    def required_lag(self) -> int:
        """From the asked card to the answer: k − 1 steps."""
        return self.k - 1

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.cards - 1
