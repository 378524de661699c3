"""Concentration: turn over two cards at a time and find the pairs (POPGym)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, Discrete
from throughtime.envs.suite._cards import COLOURS, DECK_SIZE, RANKS, colour_of, rank_of, shuffled
from throughtime.envs.suite._popgym import PopgymTask

# Decks, and what makes a pair, of each difficulty.
LEVELS = {"easy": (1, COLOURS, colour_of), "medium": (2, COLOURS, colour_of), "hard": (1, RANKS, rank_of)}


class ConcentrationState(NamedTuple):
    """The cards on the table."""

    cards: Int[Array, " cards"]  # at each place
    found: Bool[Array, " cards"]  # whether it lies face up for good
    first: Int[Array, ""]  # the place turned over first, −1 where the next one is the first
    time: Int[Array, ""]  # steps since the reset


class ConcentrationParams(NamedTuple):
    """Rewards."""

    success: float | Array  # for a pair
    failure: float | Array  # for each of two cards that are none


@dataclass(frozen=True)
class Concentration(PopgymTask[ConcentrationState, ConcentrationParams]):
    """POPGym's Concentration: N cards lie face down; each action turns one over, and pairs stay face up.

    Observation: for each place the kind of its card, or that it lies face down, one-hot. The step that turns over a
    second card shows both, the next one no more. Action: a place. The second card pays 2/N if it makes a pair with the
    first, else −2/L. Turning over a card that was found costs 1/L, and as the second one 2/L; it ends the turn. The
    second turned over at the place of the first makes no pair. The episode terminates when all are found, and is
    truncated after L = ⌈2N − N/(2N − 1)⌉ steps. Pairs are of colour, N = 52 (easy), of colour, N = 104 (medium), of
    rank, N = 52 (hard).

    Neither ceiling is known. For scale: perfect memory that turns over what it knows to be a pair, and else what it has
    not seen, scores about 0.815, 0.814, 0.701 (200 episodes of popgym 1.0.6).

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    stochastic_step: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`concentration`."""
        return "concentration"

    @property
    def cards(self) -> int:
        """N, the cards in all."""
        return DECK_SIZE * LEVELS[self.difficulty][0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is told apart."""
        return LEVELS[self.difficulty][1]

    @property
    def default_params(self) -> ConcentrationParams:
        """All pairs are worth 1, and an episode without any costs 1."""
        return ConcentrationParams(success=1.0 / (self.cards // 2), failure=-1.0 / self.max_episode_steps)

    @property
    def observation_space(self) -> Box:
        """Each place's kind or "face down", one-hot."""
        return Box(0.0, 1.0, (self.cards * (len(self.kinds) + 1),))

    @property
    def action_space(self) -> Discrete:
        """A place."""
        return Discrete(self.cards)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """Places and kinds."""
        return tuple(f"place {i}: {kind}" for i in range(self.cards) for kind in (*self.kinds, "face down"))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The places."""
        return tuple(f"place {i}" for i in range(self.cards))

    def reset_env(
        self, key: PRNGKeyArray, params: ConcentrationParams
    ) -> tuple[Float[Array, " O"], ConcentrationState]:
        """All cards face down."""
        del params
        found = jnp.zeros((self.cards,), bool)
        none, start = jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.int32)
        state = ConcentrationState(shuffled(key, self.cards // DECK_SIZE), found, none, start)
        return self._observe(state, found), state

    def step_env(
        self, key: PRNGKeyArray, state: ConcentrationState, action: Int[Array, ""], params: ConcentrationParams
    ) -> tuple[Float[Array, " O"], ConcentrationState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Turns over one card; see the class. `key` is not used."""
        del key
        kinds, places = self._kinds_of(state), jnp.arange(self.cards, dtype=jnp.int32)
        is_second = state.first >= 0
        up = (places == action) | (places == state.first)
        wasted = state.found[action]
        pair = is_second & ~wasted & (action != state.first) & (kinds[action] == kinds[state.first])
        misses = jnp.where(is_second & ~pair, 2.0, jnp.where(wasted, 1.0, 0.0)).astype(jnp.float32)
        reward = jnp.where(pair, params.success, params.failure * misses).astype(jnp.float32)
        first = jnp.where(is_second | wasted, -1, action).astype(jnp.int32)
        after = ConcentrationState(state.cards, state.found | (up & pair), first, state.time + 1)
        return self._observe(state, state.found | up), after, reward, after.found.all(), {}

    def _kinds_of(self, state: ConcentrationState) -> Int[Array, " cards"]:
        return LEVELS[self.difficulty][2](state.cards)

    def _observe(self, state: ConcentrationState, up: Bool[Array, " cards"]) -> Float[Array, " O"]:
        shown = jnp.where(up, self._kinds_of(state), len(self.kinds))
        return jax.nn.one_hot(shown, len(self.kinds) + 1, dtype=jnp.float32).reshape(-1)

    def is_truncated(self, state: ConcentrationState, params: ConcentrationParams) -> Bool[Array, ""]:
        """After L steps."""
        del params
        return state.time >= self.max_episode_steps

    def hidden_state(self, state: ConcentrationState) -> Float[Array, " cards"]:
        """The kind of the card at each place, as its number."""
        return self._kinds_of(state).astype(jnp.float32)

    @property
    def max_episode_steps(self) -> int:
        """L."""
        return math.ceil(2 * self.cards - self.cards / (2 * self.cards - 1))
