"""The T-maze: a cue, a corridor, a junction where the cue decides (Bakker 2001; Ni et al. 2023)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment
from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._strip import strip


class TMazeState(NamedTuple):
    """Where the agent is, and what it may have forgotten."""

    x: Int[Array, ""]  # 0 (oracle) … end (junction column)
    y: Int[Array, ""]  # 0 in the corridor and at the junction, ±1 in the arms
    goal_y: Int[Array, ""]  # ±1, the arm that pays
    oracle_visited: Bool[Array, ""]
    time: Int[Array, ""]  # steps since the reset


class TMazeParams(NamedTuple):
    """Rewards."""

    goal_reward: float | Array  # for being in the right arm at the last step
    penalty: float | Array  # for each earlier step that ends behind schedule


@dataclass(frozen=True)
class TMaze(Environment[TMazeState, TMazeParams]):
    """The T-maze of Ni et al. 2023, with ambiguous positions.

                           g    y = +1
        o─s────────────────j    y =  0      o oracle (x = 0), s start, j junction
                           g    y = −1

    Actions: 0 right, 1 up, 2 left, 3 down; a move into a wall leaves the agent where it is. Observation:
    `[0, goal_y]` at the oracle on the first visit and `[0, 0]` on later ones, `[0, 0]` inside the corridor,
    `[1, y]` at the junction and in the arms. The last step pays 1 in the goal's arm and 0 elsewhere; each
    earlier one costs 1/length if it ends with `x < time − oracle_length`, that is behind the straight way.

    Passive: the agent starts on the oracle, and an episode has length + 1 steps, so that no step can be lost.
    Active: the oracle lies one step to the left of the start, and an episode has length + 3 steps.

    The last step *terminates* the episode, as in Ni et al.'s code: the fixed horizon is part of the task's
    definition (nothing can be earned after it), not a limit put around it, so there is no value beyond to
    bootstrap from.

    Reference: Ni et al. 2023, "When Do Transformers Shine in RL? Decoupling Memory from Credit Assignment",
    arXiv 2307.03864.

    Args:
        length: cells from the start to the junction, at least 1.
        active: whether the agent has to fetch the cue first.
    """

    stochastic_step: ClassVar[bool] = False

    length: int = 50
    active: bool = False

    def __post_init__(self):
        why = "It counts the corridor's cells from the start to the junction."
        check_at_least_one(self.name, "length", self.length, why)

    @property
    def name(self) -> str:
        """`t-maze` or `t-maze-active`."""
        return "t-maze-active" if self.active else "t-maze"

    @property
    def oracle_length(self) -> int:
        """Cells from the oracle to the start."""
        return int(self.active)

    @property
    def default_params(self) -> TMazeParams:
        """Goal 1, and a penalty that sums to −1 over the corridor."""
        return TMazeParams(goal_reward=1.0, penalty=-1.0 / self.length)

    @property
    def observation_space(self) -> Box:
        """`[junction column, cue or y]`."""
        return Box(-1.0, 1.0, (2,))

    @property
    def action_space(self) -> Discrete:
        """Right, up, left, down."""
        return Discrete(4)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("junction", "cue or side")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return ("right", "up", "left", "down")

    def reset_env(self, key: PRNGKeyArray, params: TMazeParams) -> tuple[Float[Array, " 2"], TMazeState]:
        """The agent at the start, the goal in a random arm."""
        del params
        goal_y = 2 * jax.random.bernoulli(key).astype(jnp.int32) - 1
        zero = jnp.zeros((), jnp.int32)
        start = jnp.full((), self.oracle_length, jnp.int32)
        return self._observe(TMazeState(start, zero, goal_y, jnp.zeros((), bool), zero))

    def step_env(
        self, key: PRNGKeyArray, state: TMazeState, action: Int[Array, ""], params: TMazeParams
    ) -> tuple[Float[Array, " 2"], TMazeState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One move; see the class. `key` is not used."""
        del key
        end = self.oracle_length + self.length
        move_x = (action == 0).astype(jnp.int32) - (action == 2).astype(jnp.int32)
        move_y = (action == 1).astype(jnp.int32) - (action == 3).astype(jnp.int32)
        x = jnp.where(state.y == 0, jnp.clip(state.x + move_x, 0, end), state.x)
        y = jnp.where(state.x == end, jnp.clip(state.y + move_y, -1, 1), state.y)
        time = state.time + 1
        terminated = time >= self.max_episode_steps
        late = x < time - self.oracle_length
        reward = jnp.where(
            terminated,
            jnp.where(y == state.goal_y, params.goal_reward, 0.0),
            jnp.where(late, params.penalty, 0.0),
        ).astype(jnp.float32)
        obs, state = self._observe(TMazeState(x, y, state.goal_y, state.oracle_visited, time))
        return obs, state, reward, terminated, {}

    def _observe(self, state: TMazeState) -> tuple[Float[Array, " 2"], TMazeState]:
        """The observation at `state`, and the state after it (the oracle speaks once)."""
        at_oracle = state.x == 0
        at_end = state.x == self.oracle_length + self.length
        # y is 0 short of the junction, so it serves as "no cue" there.
        cue = jnp.where(at_oracle & ~state.oracle_visited, state.goal_y, state.y)
        obs = jnp.stack([at_end.astype(jnp.float32), cue.astype(jnp.float32)])
        return obs, state._replace(oracle_visited=state.oracle_visited | at_oracle)

    def is_truncated(self, state: TMazeState, params: TMazeParams) -> Bool[Array, ""]:
        """Never: the horizon terminates."""
        del state, params
        return jnp.zeros((), bool)

    def hidden_state(self, state: TMazeState) -> Int[Array, ""]:
        """1 where the goal is up, 0 where it is down."""
        return (state.goal_y > 0).astype(jnp.int32)

    def draw(self, state: TMazeState) -> Drawing:
        """The maze from above; a long corridor is drawn shorter."""
        end, x, y = self.oracle_length + self.length, int(state.x), int(state.y)
        corridor = strip(end + 1, {0: ("o", "cue")} | ({x: ("@", "agent")} if y == 0 else {}))
        indent = " " * (len(corridor.cells) - 1)
        arms = {side: ("G", "goal") if side == int(state.goal_y) else ("x", "danger") for side in (1, -1)}
        up, down = (("@", "agent") if y == side else arms[side] for side in (1, -1))
        legend = "@ agent, o oracle, G the arm that pays, x the other" + corridor.note
        return Drawing.of([indent, up], corridor.cells, [indent, down], [(legend, "faint")])

    @property
    def optimal_return(self) -> float:
        """1: see the cue, walk straight on, turn to the goal."""
        return 1.0

    @property
    def memoryless_return(self) -> float:
        """½: the junction looks the same for both goals, and no step can be spared to carry the cue."""
        return 0.5

    @property
    def required_lag(self) -> int:
        """Steps from the cue to the junction."""
        return self.oracle_length + self.length

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.length + 2 * self.oracle_length + 1
