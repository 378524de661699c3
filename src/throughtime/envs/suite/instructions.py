"""Instructions: a room of coloured objects, partly in view, and a sentence that says what is to be done in it."""

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
from throughtime.envs.instruction_layout import InstructionLayout
from throughtime.envs.suite._instruction_drawing import draw_room
from throughtime.envs.suite._instruction_language import (
    COLOURS,
    KINDS,
    MOST_WORDS,
    VOCABULARY,
    Instruction,
    clauses,
)
from throughtime.envs.suite._instruction_planner import FORWARD, HEADINGS, LEFT, RIGHT, VIEW, in_view, plan
from throughtime.envs.suite._instruction_room import GONE, inside, occupied_by, place, sides
from throughtime.envs.suite._instruction_table import draw_row, rows_of, sentences, table

VIEWED = np.array(
    [(f, s) for f in range(VIEW) for s in range(-(VIEW // 2), VIEW // 2 + 1)], np.int32
)  # ahead, to the right
CELL = (*KINDS, *COLOURS, "opened", "wall")
ACTIONS = ("turn left", "turn right", "go forward", "say: here", "pick up", "open")
ACT, PICK, OPEN = 3, 4, 5  # the deeds of the three verbs, in their order
DOOR = KINDS.index("door")


class InstructionsState(NamedTuple):
    """The room, the agent and how far it got."""

    instruction: Int[Array, ""]  # a row of `table`
    cell: Int[Array, "K 2"]  # row and column of each object; those of the clauses come first
    kind: Int[Array, " K"]
    colour: Int[Array, " K"]
    opened: Bool[Array, " K"]
    seen: Bool[Array, "rows columns"]  # cells that have been in view; the planner's memory
    position: Int[Array, " 2"]  # row, column
    heading: Int[Array, ""]  # 0 north, 1 east, 2 south, 3 west
    done: Int[Array, ""]  # clauses done
    time: Int[Array, ""]  # steps since the reset


class InstructionsParams(NamedTuple):
    """Rewards."""

    success: float | Array = 1.0


@dataclass(frozen=True)
class Instructions(Environment[InstructionsState, InstructionsParams]):
    """Does what a sentence asks for, in a room of which only a part is in view.

    The room has `width` × `width` cells within walls. `objects` of the 16 kinds and colours (ball, box, key; doors are
    in the walls) lie apart from each other, no two of them in neighbouring cells, so that each can be reached. An
    instruction is one clause ("pick up the red ball") or two ("go to the red ball, then open the blue door", "… before
    you …", "… after you …"); `split` says which are drawn: see `_instruction_language.instructions`. Half of the
    instructions of a split that has both are single ones.

    Observation: 12 · 18 numbers, the words one-hot, at the first step only (zeros later); then the 5 × 5 cells in front
    of the agent (itself in the middle of the nearest row), each with ten flags: kind, colour, opened, wall. Walls hide
    what is behind them: nothing is. Nothing shows which clauses are done.

    Actions: 0 turn left, 1 turn right, 2 go forward (objects and walls stop it), 3 say "here", 4 pick up, 5 open; the
    last three mean the object in front, and are the deeds of "go to", "pick up" and "open". A deed that is not that of
    the next clause, on its object, ends the episode without reward; the last clause's pays 1 and ends it. What
    was picked up is gone, what was opened stays open.

    The planner (`expert`) searches breadth-first for the shortest way, clause by clause, in what was seen so far, and
    where the object of the clause was not, for the nearest new sight. It always succeeds in a room of six cells, so
    that 1 is what a policy with memory can reach.

    Tasks of this kind: Chevalier-Boisvert et al. 2019, "BabyAI", arXiv 1810.08272.

    Args:
        split: train, unseen, composed or composed-unseen.
        instruction: one sentence for all episodes instead; "" draws them from the split.
        width: cells from wall to wall, 4 … 12.
        objects: in the room, 2 … 16; of a small room, those that find a place.
        time_limit: truncates; long enough for any two clauses in a room of six cells.
    """

    stochastic_step: ClassVar[bool] = False

    split: str = "train"
    instruction: str = ""
    width: int = 6
    objects: int = 6
    time_limit: int = 64

    def __post_init__(self):
        rows_of(self.split, self.instruction, self.name)
        for option, low, high, why in (
            ("width", 4, 12, "Objects need room, and are searched for."),
            ("objects", 2, 16, "Two are asked for, and no two are alike."),
        ):
            value = getattr(self, option)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(
                    f"{self.name}: {option} = {value!r} is impossible.", why, f"Set {option} from {low} to {high}."
                )
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of an episode.")

    @property
    def name(self) -> str:
        """`instructions`."""
        return "instructions"

    @property
    def default_params(self) -> InstructionsParams:
        """1 for success."""
        return InstructionsParams()

    @property
    def instruction_layout(self) -> InstructionLayout:
        """The words, then the cells."""
        return InstructionLayout(MOST_WORDS, len(VOCABULARY), VIEW * VIEW, len(CELL))

    @property
    def observation_space(self) -> Box:
        """Flags: words, then cells."""
        return Box(0.0, 1.0, (MOST_WORDS * len(VOCABULARY) + VIEW * VIEW * len(CELL),))

    @property
    def action_space(self) -> Discrete:
        """Turn left, turn right, forward, here, pick up, open."""
        return Discrete(len(ACTIONS))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action is."""
        return ACTIONS

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """Words as they stand, and what is seen where."""
        words = [f"“{word}” {i + 1}" for i in range(MOST_WORDS) for word in VOCABULARY]
        places = [
            f"{ahead} ahead" + (f" {abs(side)} {'left' if side < 0 else 'right'}" if side else "")
            for ahead in range(VIEW)
            for side in range(-(VIEW // 2), VIEW // 2 + 1)
        ]
        return (*words, *(f"{flag} {place}" for place in places for flag in CELL))

    @property
    def optimal_return(self) -> float | None:
        """1, the planner's, which knows no more than what was seen; None with another width or time limit."""
        default = type(self)
        return 1.0 if (self.width, self.time_limit) == (default.width, default.time_limit) else None

    @property
    def max_episode_steps(self) -> int:
        """The time limit."""
        return self.time_limit

    def sentence(self, state: InstructionsState) -> Instruction:
        """The instruction of an episode."""
        return sentences()[int(state.instruction)]

    def reset_env(
        self, key: PRNGKeyArray, params: InstructionsParams
    ) -> tuple[Float[Array, " numbers"], InstructionsState]:
        """A new room and a new instruction."""
        del params
        key_row, key_room = jax.random.split(key)
        row = draw_row(key_row, rows_of(self.split, self.instruction, self.name))
        state = self._room(key_room, row)
        words = jax.nn.one_hot(jnp.asarray(table().words)[row], len(VOCABULARY))
        return self._observe(state, words.reshape(-1)), state

    def _room(self, key: PRNGKeyArray, row: Int[Array, ""]) -> InstructionsState:
        key_kinds, key_cells, key_agent = jax.random.split(key, 3)
        K, W = self.objects, self.width
        # The objects of the clauses, then others that differ from them.
        wanted = jnp.asarray(table().clause)[row]
        number = wanted[:, 1] * len(KINDS) + wanted[:, 2]
        order = jax.random.uniform(key_kinds, (len(COLOURS) * len(KINDS),))
        order = order.at[number[1]].set(-1.0).at[number[0]].set(-2.0)
        chosen = jnp.argsort(order)[:K].astype(jnp.int32)
        colour, kind = chosen // len(KINDS), chosen % len(KINDS)
        cell, occupied = place(key_cells, kind == DOOR, W)
        key_place, key_heading = jax.random.split(key_agent)
        free = jnp.asarray(inside(W)) & ~occupied
        at = jnp.argmax(jnp.where(free, jax.random.uniform(key_place, free.shape), -1.0))
        position = jnp.stack([at // (W + 2), at % (W + 2)]).astype(jnp.int32)
        heading = jax.random.randint(key_heading, (), 0, 4, jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        return InstructionsState(
            instruction=row,
            cell=cell,
            kind=kind,
            colour=colour,
            opened=jnp.zeros(K, bool),
            seen=in_view(position, heading, W + 2),
            position=position,
            heading=heading,
            done=zero,
            time=zero,
        )

    def step_env(
        self, key: PRNGKeyArray, state: InstructionsState, action: Int[Array, ""], params: InstructionsParams
    ) -> tuple[Float[Array, " numbers"], InstructionsState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Turns, walks or does a deed; see the class. `key` is not used."""
        del key
        verb, target = self._next(state)
        ahead = state.position + jnp.asarray(HEADINGS, jnp.int32)[state.heading]
        in_front = jnp.all(state.cell == ahead[None], axis=1)  # [K]
        walks = (action == FORWARD) & ~jnp.any(in_front) & jnp.asarray(inside(self.width))[ahead[0], ahead[1]]
        turn = jnp.where(action == LEFT, 3, jnp.where(action == RIGHT, 1, 0))
        deed = action >= ACT
        right = deed & (action - ACT == verb) & in_front[target]
        its = jnp.arange(self.objects) == target
        done = state.done + right.astype(jnp.int32)
        finished = done == jnp.asarray(table().lengths)[state.instruction]
        state = state._replace(
            cell=jnp.where((its & right & (action == PICK))[:, None], GONE, state.cell),
            opened=state.opened | (its & right & (action == OPEN)),
            position=jnp.where(walks, ahead, state.position),
            heading=(state.heading + turn) % 4,
            done=done,
            time=state.time + 1,
        )
        state = state._replace(seen=state.seen | in_view(state.position, state.heading, self.width + 2))
        reward = jnp.where(finished, params.success, 0.0).astype(jnp.float32)
        nothing = jnp.zeros(MOST_WORDS * len(VOCABULARY))
        return self._observe(state, nothing), state, reward, finished | (deed & ~right), {}

    def _next(self, state: InstructionsState) -> tuple[Int[Array, ""], Int[Array, ""]]:
        """The verb of the next clause, and which object it is about; after the last one still that."""
        now = jnp.minimum(state.done, jnp.asarray(table().lengths)[state.instruction] - 1)
        return jnp.asarray(table().clause)[state.instruction, now, 0], now

    def _observe(self, state: InstructionsState, words: Float[Array, " words"]) -> Float[Array, " numbers"]:
        ahead = jnp.asarray(HEADINGS, jnp.int32)[state.heading]
        aside = jnp.asarray(HEADINGS, jnp.int32)[(state.heading + 1) % 4]
        seen = jnp.asarray(VIEWED)
        cells = state.position[None] + seen[:, :1] * ahead[None] + seen[:, 1:] * aside[None]
        there = jnp.all(cells[:, None] == state.cell[None], axis=2).astype(jnp.float32)  # [25, K]
        looks = jnp.concatenate(
            [
                jax.nn.one_hot(state.kind, len(KINDS)),
                jax.nn.one_hot(state.colour, len(COLOURS)),
                state.opened[:, None].astype(jnp.float32),
            ],
            axis=1,
        )
        inside = jnp.all((cells >= 1) & (cells <= self.width), axis=1)
        wall = ~inside & ~jnp.any(there > 0, axis=1)
        flags = jnp.concatenate([there @ looks, wall[:, None].astype(jnp.float32)], axis=1)
        return jnp.concatenate([words, flags.reshape(-1)])

    def is_truncated(self, state: InstructionsState, params: InstructionsParams) -> Bool[Array, ""]:
        """At the time limit."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: InstructionsState) -> Int[Array, ""]:
        """The clause that is next, as its number among the 36: what the words said and what was done since."""
        now = self._next(state)[1]
        clause = jnp.asarray(table().clause)[state.instruction, now]
        same = jnp.all(jnp.asarray(np.array(clauses(), np.int32)) == clause[None], axis=1)
        return jnp.argmax(same).astype(jnp.int32)

    def expert(self, state: InstructionsState) -> Int[Array, ""]:
        """What the planner does: the first step of a shortest way to the next deed, or to a new sight."""
        verb, target = self._next(state)
        door = state.kind[target] == DOOR
        room, walls = jnp.asarray(inside(self.width)), jnp.asarray(sides(self.width))
        return plan(
            free=room & ~(state.seen & occupied_by(state.cell, self.width)),
            seen=state.seen,
            places=jnp.where(door, walls, room),
            target=state.cell[target],
            position=state.position,
            heading=state.heading,
            deed=ACT + verb,
        )

    def draw(self, state: InstructionsState) -> Drawing:
        """The room from above, with what is in view, and the instruction; the next clause's object is marked."""
        ahead, aside = (np.array(HEADINGS[(int(state.heading) + turn) % 4]) for turn in (0, 1))
        seen = {
            tuple(row) for row in (np.asarray(state.position) + VIEWED[:, :1] * ahead + VIEWED[:, 1:] * aside).tolist()
        }
        return draw_room(state, self.sentence(state), self.width, seen)
