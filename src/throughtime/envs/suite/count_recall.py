"""Count recall: say how many cards of the queried kind were dealt so far (POPGym)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._cards import (
    COLOURS,
    DECK_SIZE,
    RANKS,
    SUITS,
    AnswerParams,
    colour_of,
    rank_of,
    shuffled,
    suit_of,
)
from throughtime.envs.suite._popgym import PopgymTask

# Decks, and what counts as a kind, of each difficulty.
LEVELS: dict[str, tuple[int, tuple[str, ...], Callable[[Array], Array]]] = {
    "easy": (1, COLOURS, colour_of),
    "medium": (2, SUITS, suit_of),
    "hard": (4, RANKS, rank_of),
}


class CountRecallState(NamedTuple):
    """Two decks, how much of them was dealt, and what of the first."""

    cards: Int[Array, " cards"]  # in the order of dealing
    queries: Int[Array, " cards"]  # likewise
    counts: Int[Array, " kinds"]  # cards 0 … `time` of each kind
    time: Int[Array, ""]  # steps since the reset: card `time` and its query are in sight


@dataclass(frozen=True)
class CountRecall(PopgymTask[CountRecallState, AnswerParams]):
    """POPGym's CountRecall: a card and a query are dealt; how many cards of the queried kind have there been?

    Cards and queries come from two sets of decks, shuffled apart. Observation: the kind of the card and the kind asked
    for, one-hot each. Action: a number 0 … M − 1, with M cards of each kind. It pays 1/(N − 1) if as many cards of that
    kind were dealt so far, the one in sight included, else −1/(N − 1), with N cards in all. The step that deals the
    last card terminates, after N − 1 steps. Kinds are 2 colours, N = 52, M = 26 (easy); 4 suits, N = 104, M = 26
    (medium); 13 ranks, N = 208, M = 16 (hard).

    Once all M cards of a kind were dealt the right answer is M, which is no action: the optimum is below 1.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    stochastic_step: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`count-recall`."""
        return "count-recall"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * LEVELS[self.difficulty][0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is told apart."""
        return LEVELS[self.difficulty][1]

    @property
    def cards_of_a_kind(self) -> int:
        """M."""
        return self.cards // len(self.kinds)

    @property
    def default_params(self) -> AnswerParams:
        """Rewards that would sum to 1."""
        return AnswerParams(scale=1.0 / (self.cards - 1))

    @property
    def observation_space(self) -> Box:
        """The card's kind and the queried one, one-hot each."""
        return Box(0.0, 1.0, (2 * len(self.kinds),))

    @property
    def action_space(self) -> Discrete:
        """A count, 0 … M − 1."""
        return Discrete(self.cards_of_a_kind)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """Kinds dealt, kinds asked for."""
        return (*(f"dealt {kind}" for kind in self.kinds), *(f"asked {kind}" for kind in self.kinds))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The counts."""
        return tuple(str(i) for i in range(self.cards_of_a_kind))

    def reset_env(self, key: PRNGKeyArray, params: AnswerParams) -> tuple[Float[Array, " O"], CountRecallState]:
        """Shuffled decks, the first card and the first query in sight."""
        del params
        key_cards, key_queries = jax.random.split(key)
        decks = LEVELS[self.difficulty][0]
        cards = shuffled(key_cards, decks)
        counts = jnp.zeros((len(self.kinds),), jnp.int32).at[self._kind_of(cards[0])].set(1)
        state = CountRecallState(cards, shuffled(key_queries, decks), counts, jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: CountRecallState, action: Int[Array, ""], params: AnswerParams
    ) -> tuple[Float[Array, " O"], CountRecallState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One answer, then one more card and query; see the class. `key` is not used."""
        del key
        right = action == state.counts[self._kind_of(state.queries[state.time])]
        reward = jnp.where(right, params.scale, -params.scale).astype(jnp.float32)
        time = state.time + 1
        counts = state.counts.at[self._kind_of(state.cards[time])].add(1)
        state = state._replace(counts=counts, time=time)
        return self._observe(state), state, reward, time >= self.max_episode_steps, {}

    def _kind_of(self, card: Array) -> Array:
        return LEVELS[self.difficulty][2](card)

    def _observe(self, state: CountRecallState) -> Float[Array, " O"]:
        seen = jnp.stack([state.cards[state.time], state.queries[state.time]])
        return jax.nn.one_hot(self._kind_of(seen), len(self.kinds), dtype=jnp.float32).reshape(-1)

    def hidden_state(self, state: CountRecallState) -> Float[Array, " kinds"]:
        """The count of each kind, in units of M."""
        return state.counts.astype(jnp.float32) / self.cards_of_a_kind

    @property
    def optimal_return(self) -> float:
        """Every answer right but those that would be M.

        When n cards were dealt, all M of a kind are among them with probability C(n, M)/C(N, M); summed over the
        N − 1 answers that is (N − M)/(M + 1) of them.
        """
        N, M = self.cards, self.cards_of_a_kind
        return 1 - 2 * (N - M) / ((M + 1) * (N - 1))

    @property
    def memoryless_return(self) -> float:
        """Always the same number from 1 to M − 1; with K = N/M kinds it is right 1 + (K − 1) M/(M + 1) times.

        Where the card in sight is not of the queried kind, the number of answers that should be a, summed over the
        steps, is N/(M + 1) for each a from 0 to M − 1; where it is, N/M for each a from 1 to M − 1. (Both are sums of
        hypergeometric probabilities over the sample's size, which do not depend on a.) The first happens in K − 1 of K
        steps, the second in one of K.
        """
        N, M, K = self.cards, self.cards_of_a_kind, len(self.kinds)
        return 2 * (1 + (K - 1) * M / (M + 1)) / (N - 1) - 1

    @property
    def required_lag(self) -> int:
        """From the first card to the last answer: N − 2 steps."""
        return self.cards - 2

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.cards - 1
