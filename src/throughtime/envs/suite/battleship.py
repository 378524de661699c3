"""Battleship: sink ships on a board that is never seen (POPGym)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, MultiDiscrete
from throughtime.envs.suite._popgym import PopgymTask

SHIPS = (2, 3, 3, 4)  # their lengths, in the order in which they are placed
# The board's side, of each difficulty.
SIDES = {"easy": 8, "medium": 10, "hard": 12}


class BattleshipState(NamedTuple):
    """Ships and shots."""

    ships: Bool[Array, "side side"]
    shots: Bool[Array, "side side"]
    time: Int[Array, ""]  # steps since the reset


class BattleshipParams(NamedTuple):
    """Rewards."""

    hit: float | Array  # for a cell of a ship, the first time
    miss: float | Array  # for any other shot


@dataclass(frozen=True)
class Battleship(PopgymTask[BattleshipState, BattleshipParams]):
    """POPGym's Battleship: shoot at cells of an N × N board; the answer is hit or miss, and nothing else is seen.

    Observation: `[miss, hit]` one-hot of the last shot, a miss at the start. Action: row and column. Ships of 2, 3, 3
    and 4 cells lie in rows or columns, placed one after another, each at random among its free positions; they may
    touch. A hit pays 1/12, anything else −1/(N² − 12); a shot at a cell that was hit before counts as a miss. The
    episode terminates when all 12 cells are hit, and is truncated after N² steps. N is 8 (easy), 10 (medium), 12
    (hard).

    A policy has to know where it shot: the observation does not tell, so give it its previous action. Neither ceiling
    is known. For scale: shots in a random order without repetition score 1/13 on average.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    stochastic_step: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`battleship`."""
        return "battleship"

    @property
    def side(self) -> int:
        """N."""
        return SIDES[self.difficulty]

    @property
    def default_params(self) -> BattleshipParams:
        """All hits are worth 1, and all misses that are no repetition −1."""
        cells = sum(SHIPS)
        return BattleshipParams(hit=1.0 / cells, miss=-1.0 / (self.side**2 - cells))

    @property
    def observation_space(self) -> Box:
        """Miss or hit, one-hot."""
        return Box(0.0, 1.0, (2,))

    @property
    def action_space(self) -> MultiDiscrete:
        """Row and column."""
        return MultiDiscrete((self.side, self.side))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What the last shot was."""
        return ("miss", "hit")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each number of the action is."""
        return ("row", "column")

    def reset_env(self, key: PRNGKeyArray, params: BattleshipParams) -> tuple[Float[Array, " 2"], BattleshipState]:
        """Ships placed at random, no shot fired."""
        del params
        empty = jnp.zeros((self.side, self.side), bool)
        ships = empty
        for ship_key, length in zip(jax.random.split(key, len(SHIPS)), SHIPS, strict=True):
            ships = _with_ship(ship_key, ships, length)
        state = BattleshipState(ships, empty, jnp.zeros((), jnp.int32))
        return _observation(jnp.zeros((), bool)), state

    def step_env(
        self, key: PRNGKeyArray, state: BattleshipState, action: Int[Array, " 2"], params: BattleshipParams
    ) -> tuple[Float[Array, " 2"], BattleshipState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One shot; see the class. `key` is not used."""
        del key
        row, column = action[0], action[1]
        hit = state.ships[row, column] & ~state.shots[row, column]
        reward = jnp.where(hit, params.hit, params.miss).astype(jnp.float32)
        shots = state.shots.at[row, column].set(True)
        after = BattleshipState(state.ships, shots, state.time + 1)
        return _observation(hit), after, reward, (shots | ~state.ships).all(), {}

    def is_truncated(self, state: BattleshipState, params: BattleshipParams) -> Bool[Array, ""]:
        """After N² steps."""
        del params
        return state.time >= self.max_episode_steps

    def hidden_state(self, state: BattleshipState) -> Float[Array, " cells"]:
        """Whether each cell, row by row, is of a ship."""
        return state.ships.astype(jnp.float32).reshape(-1)

    @property
    def max_episode_steps(self) -> int:
        """N²."""
        return self.side**2


def _observation(hit: Bool[Array, ""]) -> Float[Array, " 2"]:
    return jax.nn.one_hot(hit.astype(jnp.int32), 2, dtype=jnp.float32)


def _with_ship(key: PRNGKeyArray, ships: Bool[Array, "N N"], length: int) -> Bool[Array, "N N"]:
    """One more ship, at random among the positions that are free.

    POPGym draws an end and a direction until both ends are on the board and all cells free: then every position is
    equally probable, for each has two ends.
    """
    side = len(ships)

    def free(taken: Bool[Array, "N N"]) -> Bool[Array, "N P"]:
        """Whether the cells from [i, j] on are, to the right."""
        return ~jnp.stack([taken[:, k : side - length + 1 + k] for k in range(length)]).any(axis=0)

    positions = jnp.stack([free(ships), free(ships.T)])  # in rows, in columns
    drawn = jax.random.categorical(key, jnp.where(positions, 0.0, -jnp.inf).reshape(-1))
    turned, line, start = jnp.unravel_index(drawn, positions.shape)
    cells = jnp.arange(side)
    ship = (cells[:, None] == line) & (cells[None] >= start) & (cells[None] < start + length)
    return ships | jnp.where(turned == 1, ship.T, ship)
