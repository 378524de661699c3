"""Higher or lower: guess how the next card compares with this one (POPGym)."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._cards import DECK_SIZE, RANKS, AnswerParams, DeckState, new_deck, rank_of
from throughtime.envs.suite._popgym import PopgymTask

# Decks of each difficulty.
DECKS = {"easy": 1, "medium": 2, "hard": 3}


@dataclass(frozen=True)
class HigherLower(PopgymTask[DeckState, AnswerParams]):
    """POPGym's HigherLower: guess whether the next card is higher or lower than the one in sight.

    Observation: the rank of the present card, one-hot, the ace lowest. Action: 0 higher, 1 lower. A right guess pays
    1/N, a wrong one −1/N, a card of the same rank nothing, with N cards in all. The step that deals the last card
    terminates, after N − 1 steps. N is 52 (easy), 104 (medium), 156 (hard).

    Memory helps by counting cards, and not much: the ceilings are 0.528 (easy) with it and 0.497 without.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    stochastic_step: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`higher-lower`."""
        return "higher-lower"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * DECKS[self.difficulty]

    @property
    def default_params(self) -> AnswerParams:
        """1/N a guess."""
        return AnswerParams(scale=1.0 / self.cards)

    @property
    def observation_space(self) -> Box:
        """The rank, one-hot."""
        return Box(0.0, 1.0, (len(RANKS),))

    @property
    def action_space(self) -> Discrete:
        """Higher, lower."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The ranks."""
        return RANKS

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The guesses."""
        return ("higher", "lower")

    def reset_env(self, key: PRNGKeyArray, params: AnswerParams) -> tuple[Float[Array, " 13"], DeckState]:
        """Shuffled decks, the first card in sight."""
        del params
        state = new_deck(key, DECKS[self.difficulty])
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: DeckState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " 13"], DeckState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One guess and one more card; see the class. `key` is not used."""
        del key
        after = state._replace(time=state.time + 1)
        rise = rank_of(after.cards[after.time]) - rank_of(state.cards[state.time])
        guessed = jnp.where(action == 0, 1, -1)
        reward = jnp.sign(rise * guessed).astype(jnp.float32) * params.scale
        return self._observe(after), after, reward, after.time >= self.max_episode_steps, {}

    def _observe(self, state: DeckState) -> Float[Array, " 13"]:
        return jax.nn.one_hot(rank_of(state.cards[state.time]), len(RANKS), dtype=jnp.float32)

    def hidden_state(self, state: DeckState) -> Float[Array, " 13"]:
        """The share of each rank that was dealt, the card in sight included."""
        dealt = (jnp.arange(self.cards) <= state.time).astype(jnp.float32)
        counts = jnp.zeros((len(RANKS),), jnp.float32).at[rank_of(state.cards)].add(dealt)
        return counts / (self.cards // len(RANKS))

    @property
    def optimal_return(self) -> float:
        """Guess what more of the undealt cards are: Σ_n E|H_n − L_n| / (n N), with n cards undealt.

        H_n and L_n are how many of them are higher and lower than the one in sight. Guesses do not change what is
        dealt, so that the best guess is the best one at once.
        """
        return _counting_return(DECKS[self.difficulty])

    @property
    def memoryless_return(self) -> float:
        """Higher below 7, lower above it: Σ_r |12 − 2r| / 13² = 84/169, whatever N."""
        return 84 / 169

    @property
    def required_lag(self) -> int:
        """From the first card to the last guess, N − 2 steps: every card counts."""
        return self.cards - 2

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.cards - 1


@cache
def _counting_return(decks: int) -> float:
    """Σ_n E|H_n − L_n| / (n N), by the multivariate hypergeometric distribution of what is undealt."""
    N, ranks = DECK_SIZE * decks, len(RANKS)
    each = N // ranks
    log_factorial = np.array([math.lgamma(i + 1) for i in range(N)])

    def log_choose(n: int, k: np.ndarray) -> np.ndarray:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        return np.where(possible, log_factorial[n] - log_factorial[k] - log_factorial[n - k], -np.inf)

    n = np.arange(1, N)[:, None, None]
    total = 0.0
    for rank in range(ranks):
        above, below = (ranks - 1 - rank) * each, rank * each
        higher, lower = np.arange(above + 1)[None, :, None], np.arange(below + 1)[None, None, :]
        log_chance = log_choose(above, higher) + log_choose(below, lower)
        log_chance = log_chance + log_choose(each - 1, n - higher - lower) - log_choose(N - 1, n)
        total += float((np.exp(log_chance) * np.abs(higher - lower) / n).sum())
    return total / (ranks * N)
