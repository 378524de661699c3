"""Key to door: fetch a key, pick apples for a while, and open the door if the key was fetched (Hung et al. 2019)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment
from throughtime.envs.drawing import Drawing

EXPLORE, REWARD = 15, 10  # steps of the first and of the last phase
RESPAWN = 20  # an apple is back after more than so many steps
VIEW = 5  # rows and columns in sight, the player in the middle
LAYERS = ("wall", "key", "door", "apple", "light")
MAPS = (
    (
        "  #######  ",
        "  #kkkkk#  ",
        "  #kkkkk#  ",
        "  ##   ##  ",
        "  #+++++#  ",
        "  #+++++#  ",
        "  #######  ",
    ),
    (
        "###########",
        "#a a a a a#",
        "# a a a a #",
        "#a a a a a#",
        "# a a a a #",
        "#a a + a a#",
        "###########",
    ),
    (
        "           ",
        "   ##d##   ",
        "   #   #   ",
        "   # + #   ",
        "   #   #   ",
        "   #####   ",
        "           ",
    ),
)
ROWS, COLUMNS = len(MAPS[0]), len(MAPS[0][0])
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)  # north, south, west, east, as (row, column)
NEVER = 2**30


def _cells(phase: int, symbol: str) -> Int[np.ndarray, "n 2"]:
    """The rows and columns of the cells with that symbol."""
    return np.argwhere(np.array([list(line) for line in MAPS[phase]]) == symbol).astype(np.int32)


WALLS = np.array([[[cell == "#" for cell in line] for line in lines] for lines in MAPS])
KEYS, STARTS, TREES = _cells(0, "k"), _cells(0, "+"), _cells(1, "a")
DOOR, LIGHT = _cells(2, "d")[0], np.array([0, 5], np.int32)
ENTRIES = np.stack([STARTS[0], _cells(1, "+")[0], _cells(2, "+")[0]])  # where phases begin; the first one's is random


class KeyToDoorState(NamedTuple):
    """Player, key, door, apples and clock."""

    position: Int[Array, " 2"]  # row, column
    key: Int[Array, " 2"]  # where it lies, or lay
    has_key: Bool[Array, ""]
    lit: Bool[Array, ""]  # the key was picked up in the last step
    opened: Bool[Array, ""]
    ripe: Int[Array, " trees"]  # the distractor phase's step from which each apple is there; NEVER where there is none
    time: Int[Array, ""]  # steps since the reset


class KeyToDoorParams(NamedTuple):
    """Rewards."""

    apple: float | Array = 1.0
    door: float | Array = 5.0


@dataclass(frozen=True)
class KeyToDoor(Environment[KeyToDoorState, KeyToDoorParams]):
    """The key-to-door task in three phases: long-term credit assignment past rewards that have nothing to do with it.

    1. 15 steps in a room where a key lies in a random cell; the player starts in a random one. It picks the key up by
       walking on it, which pays nothing; a light at the room's upper wall shows for one observation.
    2. `distractor` steps in an orchard: each apple pays 1 and grows again after 20 steps. `apples` of the 22 trees
       bear any, drawn in each episode.
    3. 10 steps in front of a door, which lets the player pass only if it has the key, and pays 5 once. The
       last step terminates.

    Actions: 0 north, 1 south, 2 west, 3 east; a move into a wall stays. Observation: the 5 × 5 cells around the player
    as five layers of flags (wall, key, door, apple, light), 125 numbers. Nothing shows whether the key is held.

    It is the game of Hung et al. (2019, their tvt/pycolab) with the settings of Ni et al. (2023): same maps, phases,
    apples and rewards. Theirs shows the same cells as colours of pixels.

    No memory is needed at the door: trying it costs nothing. What is hard is to find out that the key is worth
    fetching. The best policy's return is known without apples (5); how many apples can be picked is not: Ni et al.
    count about 23 in 60 steps, and so 28 in all.

    Reference: Hung et al. 2019, "Optimizing agent behavior over long time scales by transporting value", Nature
    Communications 10; Ni et al. 2023, arXiv 2307.03864.

    Args:
        distractor: steps of the second phase, at least 1; published are 60, 120, 250 and 500.
        apples: trees that bear apples, 0 … 22.
    """

    stochastic_step: ClassVar[bool] = False

    distractor: int = 60
    apples: int = 10

    def __post_init__(self):
        check_at_least_one(self.name, "distractor", self.distractor, "It counts the steps of the second phase.")
        if isinstance(self.apples, bool) or not isinstance(self.apples, int) or not 0 <= self.apples <= len(TREES):
            raise ConfigError(
                f"{self.name}: apples = {self.apples!r} is impossible.",
                f"The orchard has {len(TREES)} trees.",
                f"Set apples to a whole number from 0 to {len(TREES)}.",
            )

    @property
    def name(self) -> str:
        """`key-to-door`."""
        return "key-to-door"

    @property
    def default_params(self) -> KeyToDoorParams:
        """Ni et al.'s numbers."""
        return KeyToDoorParams()

    @property
    def observation_space(self) -> Box:
        """Flags of the cells around the player."""
        return Box(0.0, 1.0, (len(LAYERS) * VIEW * VIEW,))

    @property
    def action_space(self) -> Discrete:
        """Four moves."""
        return Discrete(len(MOVES))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What is where, such as "apple 2n 1w", two rows to the north and one column to the west, or "door here"."""
        reach = VIEW // 2
        places = [_place(row, column) for row in range(-reach, reach + 1) for column in range(-reach, reach + 1)]
        return tuple(f"{layer} {place}" for layer in LAYERS for place in places)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Where each action goes."""
        return ("north", "south", "west", "east")

    def reset_env(self, key: PRNGKeyArray, params: KeyToDoorParams) -> tuple[Float[Array, " numbers"], KeyToDoorState]:
        """A key and a player somewhere in the first room."""
        del params
        key_key, key_player, key_apples = jax.random.split(key, 3)
        order = jax.random.permutation(key_apples, len(TREES))
        state = KeyToDoorState(
            position=jnp.take(jnp.asarray(STARTS), jax.random.randint(key_player, (), 0, len(STARTS)), axis=0),
            key=jnp.take(jnp.asarray(KEYS), jax.random.randint(key_key, (), 0, len(KEYS)), axis=0),
            has_key=jnp.zeros((), bool),
            lit=jnp.zeros((), bool),
            opened=jnp.zeros((), bool),
            ripe=jnp.where(order < self.apples, 0, NEVER).astype(jnp.int32),
            time=jnp.zeros((), jnp.int32),
        )
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: KeyToDoorState, action: Int[Array, ""], params: KeyToDoorParams
    ) -> tuple[Float[Array, " numbers"], KeyToDoorState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One move; see the class. `key` is not used."""
        del key
        phase = self._phase(state.time)
        there = jnp.clip(
            state.position + jnp.take(jnp.asarray(MOVES), action, axis=0), 0, jnp.array([ROWS - 1, COLUMNS - 1])
        )
        at_door = (phase == 2) & jnp.all(there == jnp.asarray(DOOR))
        blocked = jnp.asarray(WALLS)[phase, there[0], there[1]] | (at_door & ~state.has_key)
        position = jnp.where(blocked, state.position, there)

        found = (phase == 0) & ~state.has_key & jnp.all(position == state.key)
        frame = state.time + 1 - EXPLORE  # of the second phase, once it has begun
        here = (phase == 1) & jnp.all(jnp.asarray(TREES) == position[None], axis=1)
        picked = here & (state.ripe < frame)
        opens = at_door & state.has_key & ~state.opened
        reward = jnp.where(jnp.any(picked), params.apple, 0.0) + jnp.where(opens, params.door, 0.0)

        time = state.time + 1
        entered = self._phase(time) != phase
        state = KeyToDoorState(
            position=jnp.where(entered, jnp.take(jnp.asarray(ENTRIES), self._phase(time), axis=0), position),
            key=state.key,
            has_key=state.has_key | found,
            lit=found,
            opened=state.opened | opens,
            ripe=jnp.where(picked, frame + RESPAWN + 1, state.ripe),
            time=time,
        )
        return self._observe(state), state, reward.astype(jnp.float32), time >= self.max_episode_steps, {}

    def _phase(self, time: Int[Array, ""]) -> Int[Array, ""]:
        """0, 1 or 2; after the last step still 2."""
        return (time >= EXPLORE).astype(jnp.int32) + (time >= EXPLORE + self.distractor).astype(jnp.int32)

    def _layers(self, state: KeyToDoorState) -> Bool[Array, "layers rows columns"]:
        """What lies where in the present phase."""
        phase, nowhere = self._phase(state.time), jnp.zeros((ROWS, COLUMNS), bool)
        key = nowhere.at[state.key[0], state.key[1]].set((phase == 0) & ~state.has_key)
        door = nowhere.at[DOOR[0], DOOR[1]].set(phase == 2)
        there = (phase == 1) & (state.ripe <= state.time - EXPLORE)
        apple = nowhere.at[TREES[:, 0], TREES[:, 1]].set(there)
        light = nowhere.at[LIGHT[0], LIGHT[1]].set((phase == 0) & state.lit)
        return jnp.stack([jnp.asarray(WALLS)[phase], key, door, apple, light])

    def _observe(self, state: KeyToDoorState) -> Float[Array, " numbers"]:
        reach = VIEW // 2
        layers = jnp.pad(self._layers(state), ((0, 0), (reach, reach), (reach, reach)))
        corner = (jnp.zeros((), jnp.int32), state.position[0], state.position[1])
        seen = jax.lax.dynamic_slice(layers, corner, (len(LAYERS), VIEW, VIEW))
        # The player covers what it stands on, but for the door.
        seen = seen.at[LAYERS.index("apple"), reach, reach].set(False)
        return seen.reshape(-1).astype(jnp.float32)

    def is_truncated(self, state: KeyToDoorState, params: KeyToDoorParams) -> Bool[Array, ""]:
        """Never: the horizon terminates."""
        del state, params
        return jnp.zeros((), bool)

    def hidden_state(self, state: KeyToDoorState) -> Int[Array, ""]:
        """1 where the key was picked up, else 0."""
        return state.has_key.astype(jnp.int32)

    def draw(self, state: KeyToDoorState) -> Drawing:
        """The present room from above, the cells in sight in its middle."""
        layers = np.asarray(self._layers(jax.tree.map(jnp.asarray, state)))
        at = (int(state.position[0]), int(state.position[1]))
        signs = (("#", "faint"), ("k", "goal"), ("d", "goal"), ("a", "cue"), ("*", "cue"))
        lines = []
        for row in range(ROWS):
            line: list[tuple[str, str]] = []
            for column in range(COLUMNS):
                signs_here = [sign for sign, layer in zip(signs, layers, strict=True) if layer[row, column]]
                line.append(("@", "agent") if (row, column) == at else signs_here[-1] if signs_here else (" ", "plain"))
            lines.append(line)
        holds = ("the key", "goal") if bool(state.has_key) else ("nothing", "plain")
        legend = "@ player, k key, * light, a apple, d door"
        return Drawing.of(*lines, [("holds ", "faint"), holds], [(legend, "faint")])

    @property
    def optimal_return(self) -> float | None:
        """5 without apples: from each start the key is found within the 15 steps. None with apples."""
        return None if self.apples else float(self.default_params.door)

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return EXPLORE + self.distractor + REWARD


def _place(row: int, column: int) -> str:
    parts = []
    if row:
        parts.append(f"{abs(row)}{'n' if row < 0 else 's'}")
    if column:
        parts.append(f"{abs(column)}{'w' if column < 0 else 'e'}")
    return " ".join(parts) or "here"
