"""RockSample: check rocks from afar, sample the good ones, leave to the right (Smith & Simmons 2004; POBAX's)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment, Tables
from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._rock_sample_tables import MAX_STATES, SOLVED, rock_sample_tables

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]], np.int32)  # north, east, south, west, as (row, column)
SAMPLE = 4  # the action; those after it check a rock each


class RockSampleState(NamedTuple):
    """Rover, rocks and clock."""

    position: Int[Array, " 2"]  # row, column
    good: Bool[Array, " rocks"]
    time: Int[Array, ""]  # steps since the reset


class RockSampleParams(NamedTuple):
    """Rewards, and how well the rover sees."""

    good: float | Array = 10.0  # for sampling a good rock
    bad: float | Array = -10.0  # for sampling a bad one
    exit: float | Array = 10.0
    half_distance: float | Array = 20.0  # at which a check is right with probability ¾


@dataclass(frozen=True)
class RockSample(Environment[RockSampleState, RockSampleParams]):
    """POBAX's RockSample: a rover on a grid of size × size cells, with rocks that are good or bad.

    Actions: 0 north, 1 east, 2 south, 3 west (a move over the edge stays), 4 sample, 5 + i check rock i. Sampling pays
    10 on a good rock, which is bad from then on, −10 on a bad one, and 0 elsewhere. A step that ends in the last column
    pays 10 and terminates. Checking rock i at distance d (Euclidean) tells whether it is good, and is
    right with probability ½ (1 + 2^(−d/20)).

    Observation: the row one-hot, the column one-hot, and a number for each rock: of the one checked in this step 1
    (seems good) or −1, else 0. Each rock is good with probability ½, and the rover starts in a random cell; neither
    start nor rocks lie in the last column. The rocks' cells are the same in all episodes: `layout` draws them (POBAX
    draws them from its run's seed). The episode is truncated after `time_limit` steps, which the tables and the
    returns leave out.

    Smith & Simmons' rover starts in a fixed cell, leaves by a move over the right edge, and discounts by 0.95.

    Reference: Tao et al. 2025, "Benchmarking Partial Observability in Reinforcement Learning with a Suite of
    Memory-Improvable Domains" (POBAX); T. Smith & R. Simmons 2004, "Heuristic search value iteration for POMDPs".

    Args:
        size: rows and columns, at least 2.
        rocks: how many, at most size · (size − 1).
        layout: the seed of the rocks' cells, at least 0.
        time_limit: steps after which the episode is truncated, at least 1.
    """

    size: int = 11
    rocks: int = 11
    layout: int = 0
    time_limit: int = 1000

    def __post_init__(self):
        check_at_least_one(self.name, "rocks", self.rocks, "They are what there is to sample.")
        check_at_least_one(self.name, "size", self.size, "It counts rows and columns.")
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")
        cells = self.size * (self.size - 1)
        if self.rocks > cells:
            raise ConfigError(
                f"{self.name}: {self.rocks} rocks do not fit.",
                f"A grid of size {self.size} has {cells} cells outside its last column, and each rock needs its own.",
                f"Set rocks to at most {cells}, or enlarge size.",
            )
        if isinstance(self.layout, bool) or not isinstance(self.layout, int) or self.layout < 0:
            raise ConfigError(
                f"{self.name}: layout = {self.layout!r} is impossible.",
                "It is the seed of the rocks' cells.",
                "Set layout to a whole number of at least 0.",
            )

    @property
    def name(self) -> str:
        """`rock-sample`."""
        return "rock-sample"

    @property
    def rock_positions(self) -> Int[np.ndarray, "rocks 2"]:
        """The row and column of each rock."""
        return _layout(self.size, self.rocks, self.layout)

    @property
    def default_params(self) -> RockSampleParams:
        """POBAX's numbers."""
        return RockSampleParams()

    @property
    def observation_space(self) -> Box:
        """Row and column, one-hot each, and what a check told."""
        return Box(-1.0, 1.0, (2 * self.size + self.rocks,))

    @property
    def action_space(self) -> Discrete:
        """Four moves, sampling, and a check of each rock."""
        return Discrete(SAMPLE + 1 + self.rocks)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        cells = (f"{line} {i}" for line in ("row", "column") for i in range(self.size))
        return (*cells, *(f"rock {i}" for i in range(self.rocks)))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return ("north", "east", "south", "west", "sample", *(f"check rock {i}" for i in range(self.rocks)))

    def reset_env(
        self, key: PRNGKeyArray, params: RockSampleParams
    ) -> tuple[Float[Array, " numbers"], RockSampleState]:
        """Anywhere outside the last column, rocks good or bad at random."""
        del params
        key_good, key_cell = jax.random.split(key)
        cell = jax.random.randint(key_cell, (), 0, self.size * (self.size - 1), jnp.int32)
        position = jnp.stack([cell // (self.size - 1), cell % (self.size - 1)])
        good = jax.random.bernoulli(key_good, shape=(self.rocks,))
        state = RockSampleState(position, good, jnp.zeros((), jnp.int32))
        return self._observe(state, jnp.zeros(self.rocks, jnp.float32)), state

    def step_env(
        self, key: PRNGKeyArray, state: RockSampleState, action: Int[Array, ""], params: RockSampleParams
    ) -> tuple[Float[Array, " numbers"], RockSampleState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves, samples or checks; see the class."""
        rocks = jnp.asarray(self.rock_positions)
        here = jnp.all(rocks == state.position[None], axis=1) & (action == SAMPLE)
        pay = jnp.sum(jnp.where(here, jnp.where(state.good, params.good, params.bad), 0.0))
        move = jnp.where(action < SAMPLE, jnp.take(jnp.asarray(MOVES), action % SAMPLE, axis=0), 0)
        position = jnp.clip(state.position + move, 0, self.size - 1)
        out = position[1] == self.size - 1
        reward = (pay + jnp.where(out, params.exit, 0.0)).astype(jnp.float32)

        distance = jnp.sqrt(jnp.sum((rocks - state.position[None]) ** 2, axis=1).astype(jnp.float32))
        right = jax.random.uniform(key, (), jnp.float32) < 0.5 * (1.0 + jnp.exp2(-distance / params.half_distance))
        told = jnp.where(state.good == right, 1.0, -1.0)
        checked = jnp.arange(self.rocks) == action - SAMPLE - 1
        state = RockSampleState(position, state.good & ~here, state.time + 1)
        return self._observe(state, jnp.where(checked, told, 0.0)), state, reward, out, {}

    def _observe(self, state: RockSampleState, told: Float[Array, " rocks"]) -> Float[Array, " numbers"]:
        cell = jax.nn.one_hot(state.position, self.size, dtype=jnp.float32)
        return jnp.concatenate([cell.reshape(-1), told])

    def is_truncated(self, state: RockSampleState, params: RockSampleParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    @property
    def small(self) -> bool:
        """Whether it has tables: at most 300 states, size² · 2^rocks."""
        return self.rocks < 9 and self.size**2 * 2**self.rocks <= MAX_STATES

    def hidden_state(self, state: RockSampleState) -> Array:
        """Which rocks are good, 0 or 1 each; in a small one the index of the state in its tables."""
        if not self.small:
            return state.good.astype(jnp.float32)
        cell = state.position[0] * self.size + state.position[1]
        flags = jnp.sum(jnp.where(state.good, 2 ** jnp.arange(self.rocks, dtype=jnp.int32), 0), dtype=jnp.int32)
        return cell * 2**self.rocks + flags

    def draw(self, state: RockSampleState) -> Drawing:
        """The grid from above, each rock by its number (from 10 on by letters)."""
        at = (int(state.position[0]), int(state.position[1]))
        rocks = {(int(r), int(c)): i for i, (r, c) in enumerate(self.rock_positions)}
        lines = []
        for row in range(self.size):
            line = []
            for column in range(self.size):
                rock = rocks.get((row, column))
                if (row, column) == at:
                    line.append(("@", "agent"))
                elif rock is not None:
                    line.append((_symbol(rock), "goal" if state.good[rock] else "danger"))
                else:
                    line.append(("|", "goal") if column == self.size - 1 else ("·", "faint"))
                line.append(" ")
            lines.append(line[:-1])
        good = " ".join(_symbol(i) for i in range(self.rocks) if state.good[i])
        legend = [("@ rover, | the way out; good rocks: ", "faint"), (good or "none", "goal")]
        return Drawing.of(*lines, legend)

    @property
    def discount(self) -> float:
        """0.99, as in POBAX's experiments."""
        return 0.99

    @property
    def optimal_return(self) -> float | None:
        """Known of some small ones, solved from their tables to four decimals, and else None."""
        return SOLVED.get((self.size, self.rocks, self.layout), (None, None))[0]

    @property
    def memoryless_return(self) -> float | None:
        """Known of one rock on a grid of size 2, within 0.002 (branch and bound over all policies), and else None."""
        return SOLVED.get((self.size, self.rocks, self.layout), (None, None))[1]

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit

    def tables(self) -> Tables | None:
        """In full where it is `small`: state (row · size + column) · 2^rocks + Σ 2^i [rock i is good]."""
        if not self.small:
            return None
        p = self.default_params
        rewards = (float(p.good), float(p.bad), float(p.exit))
        return rock_sample_tables(self.size, self.rock_positions, rewards, float(p.half_distance))


@lru_cache
def _layout(size: int, rocks: int, seed: int) -> Int[np.ndarray, "rocks 2"]:
    cells = np.random.default_rng(seed).choice(size * (size - 1), rocks, replace=False)
    positions = np.stack([cells // (size - 1), cells % (size - 1)], axis=1).astype(np.int32)
    positions.setflags(write=False)
    return positions


def _symbol(rock: int) -> str:
    return str(rock) if rock < 10 else chr(ord("A") + (rock - 10) % 26)
