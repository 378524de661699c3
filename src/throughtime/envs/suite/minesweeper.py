"""Minesweeper: clear a field that is never seen (POPGym)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs.base import Box, MultiDiscrete
from throughtime.envs.suite._popgym import PopgymTask

# The field's side and its mines, of each difficulty.
LEVELS = {"easy": (4, 2), "medium": (6, 6), "hard": (8, 10)}
OPTIMUM_EASY = 429 / 560  # tests/envs/minesweeper_solver.py computes it


class MinesweeperState(NamedTuple):
    """Mines and cleared cells."""

    mines: Bool[Array, "side side"]
    viewed: Bool[Array, "side side"]
    time: Int[Array, ""]  # steps since the reset


class MinesweeperParams(NamedTuple):
    """Rewards."""

    clear: float | Array  # for a cell without a mine, the first time
    again: float | Array  # for a cell that was cleared before
    mine: float | Array


@dataclass(frozen=True)
class Minesweeper(PopgymTask[MinesweeperState, MinesweeperParams]):
    """POPGym's MineSweeper: open cells of an N × N field with M mines; only the last cell's number is seen.

    Observation: how many mines lie in the 3 × 3 cells around the last one opened (itself included), one-hot among
    0 … min(M, 9); 0 at the start. Action: row and column. With L = N² − M cells to clear, a cell without a mine pays
    1/L, one that was cleared before −0.5/(L − 2), a mine −0.5 − 1/L. The episode terminates on a mine or when all are
    cleared, and is truncated after L + 1 steps. N and M are 4 and 2 (easy), 6 and 6 (medium), 8 and 10 (hard).

    A policy has to know what it opened: the observation does not tell, so give it its previous action. For medium and
    hard neither ceiling is known, for easy the optimum is.

    Reference: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning", arXiv
    2303.01859; popgym 1.0.6.

    Args:
        difficulty: easy, medium or hard.
    """

    stochastic_step: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """`minesweeper`."""
        return "minesweeper"

    @property
    def side(self) -> int:
        """N."""
        return LEVELS[self.difficulty][0]

    @property
    def mines(self) -> int:
        """M."""
        return LEVELS[self.difficulty][1]

    @property
    def clear_cells(self) -> int:
        """L."""
        return self.side**2 - self.mines

    @property
    def default_params(self) -> MinesweeperParams:
        """All cells cleared are worth 1."""
        L = self.clear_cells
        return MinesweeperParams(clear=1.0 / L, again=-0.5 / (L - 2), mine=-0.5 - 1.0 / L)

    @property
    def observation_space(self) -> Box:
        """The number, one-hot."""
        return Box(0.0, 1.0, (min(self.mines + 1, 10),))

    @property
    def action_space(self) -> MultiDiscrete:
        """Row and column."""
        return MultiDiscrete((self.side, self.side))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """Mines around the last cell."""
        return tuple(f"{i} mines" if i != 1 else "1 mine" for i in range(self.observation_space.shape[0]))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each number of the action is."""
        return ("row", "column")

    def reset_env(self, key: PRNGKeyArray, params: MinesweeperParams) -> tuple[Float[Array, " O"], MinesweeperState]:
        """Mines anywhere, nothing opened."""
        del params
        shape = (self.side, self.side)
        mines = jax.random.permutation(key, self.side**2).reshape(shape) < self.mines
        state = MinesweeperState(mines, jnp.zeros(shape, bool), jnp.zeros((), jnp.int32))
        return self._observation(jnp.zeros((), jnp.int32)), state

    def step_env(
        self, key: PRNGKeyArray, state: MinesweeperState, action: Int[Array, " 2"], params: MinesweeperParams
    ) -> tuple[Float[Array, " O"], MinesweeperState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Opens one cell; see the class. `key` is not used."""
        del key
        row, column = action[0], action[1]
        exploded, again = state.mines[row, column], state.viewed[row, column]
        pay = jnp.where(again, params.again, params.clear)
        reward = jnp.where(exploded, params.mine, pay).astype(jnp.float32)
        cells = jnp.arange(self.side)
        near = (jnp.abs(cells - row) <= 1)[:, None] & (jnp.abs(cells - column) <= 1)[None]
        number = (near & state.mines).sum(dtype=jnp.int32)
        viewed = state.viewed.at[row, column].set(~exploded)
        after = MinesweeperState(state.mines, viewed, state.time + 1)
        return self._observation(number), after, reward, exploded | (viewed | state.mines).all(), {}

    def _observation(self, number: Int[Array, ""]) -> Float[Array, " O"]:
        return jax.nn.one_hot(number, self.observation_space.shape[0], dtype=jnp.float32)

    def is_truncated(self, state: MinesweeperState, params: MinesweeperParams) -> Bool[Array, ""]:
        """After L + 1 steps."""
        del params
        return state.time >= self.max_episode_steps

    def hidden_state(self, state: MinesweeperState) -> Float[Array, " cells"]:
        """Whether there is a mine in each cell, row by row."""
        return state.mines.astype(jnp.float32).reshape(-1)

    @property
    def optimal_return(self) -> float | None:
        """Easy: by dynamic programming over what can be known of the 120 fields. Else not known.

        A cell known to be clear is opened at once, which is never worse; else the best is taken of all cells that were
        not opened. (To open cleared ones until the time is up is allowed, and never better.)
        """
        return OPTIMUM_EASY if self.difficulty == "easy" else None

    @property
    def max_episode_steps(self) -> int:
        """L + 1."""
        return self.clear_cells + 1
