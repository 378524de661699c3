"""Tiger: listen behind which of two doors it is before opening one (Kaelbling, Littman & Cassandra 1998)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment, Tables


class TigerState(NamedTuple):
    """Tiger and clock."""

    door: Int[Array, ""]  # the tiger's: 0 left, 1 right
    time: Int[Array, ""]  # steps since the reset


class TigerParams(NamedTuple):
    """Rewards, and how well the agent hears."""

    listen: float | Array = -1.0
    treasure: float | Array = 10.0  # for opening the other door
    tiger: float | Array = -100.0  # for opening the tiger's door
    accuracy: float | Array = 0.85  # P(heard at the tiger's side | listened)


@dataclass(frozen=True)
class Tiger(Environment[TigerState, TigerParams]):
    """The tiger problem, discounted by 0.95.

    Actions: 0 listen, 1 open the left door, 2 open the right door. The observation is one-hot over (nothing
    yet, heard left, heard right). "Nothing yet" is only ever the first one, where Cassandra's definition has
    none. Listening hears the tiger at its side with probability `accuracy`.

    Continuing (`tiger`): opening a door puts the tiger behind a random one anew, and the observation of
    that step is left or right with probability ½ each, exactly as in Cassandra's definition. It tells
    nothing, and only the memory of one's own action tells that it tells nothing. The episode is truncated
    after `time_limit` steps, which the tables and the returns below leave out: with the value beyond the
    limit counted, returns are those of the endless task.

    `tiger-ends-on-open`: opening a door terminates the episode instead.

    Reference: Kaelbling, Littman & Cassandra 1998, "Planning and acting in partially observable stochastic
    domains"; A. Cassandra's file tiger.95.POMDP.

    Args:
        ends_on_open: whether opening a door terminates the episode.
        time_limit: steps after which the episode is truncated, at least 1.
    """

    ends_on_open: bool = False
    time_limit: int = 100

    def __post_init__(self):
        check_at_least_one(self.name, "time_limit", self.time_limit, "It counts the steps of the longest episode.")

    @property
    def name(self) -> str:
        """`tiger` or `tiger-ends-on-open`."""
        return "tiger-ends-on-open" if self.ends_on_open else "tiger"

    @property
    def default_params(self) -> TigerParams:
        """Cassandra's numbers."""
        return TigerParams()

    @property
    def observation_space(self) -> Box:
        """One-hot over (nothing yet, heard left, heard right)."""
        return Box(0.0, 1.0, (3,))

    @property
    def action_space(self) -> Discrete:
        """Listen, open left, open right."""
        return Discrete(3)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("nothing yet", "heard left", "heard right")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What each action does."""
        return ("listen", "open left", "open right")

    def reset_env(self, key: PRNGKeyArray, params: TigerParams) -> tuple[Float[Array, " 3"], TigerState]:
        """The tiger behind a random door, nothing heard yet."""
        del params
        door = jax.random.bernoulli(key).astype(jnp.int32)
        return jnp.array([1.0, 0.0, 0.0], jnp.float32), TigerState(door, jnp.zeros((), jnp.int32))

    def step_env(
        self, key: PRNGKeyArray, state: TigerState, action: Int[Array, ""], params: TigerParams
    ) -> tuple[Float[Array, " 3"], TigerState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Listen or open; see the class."""
        move, hear = jax.random.uniform(key, (2,), jnp.float32)
        listened = action == 0
        door = jnp.where(listened, state.door, (move < 0.5).astype(jnp.int32))
        true = hear < jnp.where(listened, params.accuracy, 0.5)
        heard_right = (true == (door == 1)).astype(jnp.float32)
        opened_on_tiger = action - 1 == state.door
        reward = jnp.where(listened, params.listen, jnp.where(opened_on_tiger, params.tiger, params.treasure)).astype(
            jnp.float32
        )
        obs = jnp.stack([jnp.zeros((), jnp.float32), 1.0 - heard_right, heard_right])
        terminated = ~listened if self.ends_on_open else jnp.zeros((), bool)
        return obs, TigerState(door, state.time + 1), reward, terminated, {}

    def is_truncated(self, state: TigerState, params: TigerParams) -> Bool[Array, ""]:
        """After `time_limit` steps."""
        del params
        return state.time >= self.time_limit

    def hidden_state(self, state: TigerState) -> Int[Array, ""]:
        """The tiger's door: 0 left, 1 right."""
        return state.door

    @property
    def discount(self) -> float:
        """0.95, part of the problem's definition."""
        return 0.95

    @property
    def optimal_return(self) -> float:
        """The value of the uniform belief, to four decimals (an exact solver in the tests computes it)."""
        return 3.7702 if self.ends_on_open else 19.3714

    @property
    def memoryless_return(self) -> float:
        """Listen for ever, −1/(1 − 0.95); where opening ends it, listen once and open by that.

        The latter gives −1 + 0.95·(0.85·10 − 0.15·100).
        """
        return -7.175 if self.ends_on_open else -20.0

    @property
    def max_episode_steps(self) -> int:
        """`time_limit`."""
        return self.time_limit

    def tables(self) -> Tables:
        """States (tiger left, tiger right); actions and observations as in the class."""
        p = self.default_params
        uniform = np.full((2, 2), 0.5)
        heard = np.array([[0.0, p.accuracy, 1 - p.accuracy], [0.0, 1 - p.accuracy, p.accuracy]], np.float64)
        guess = np.array([[0.0, 0.5, 0.5]] * 2)
        opens = np.array([[False, True, True]] * 2)
        return Tables(
            initial=np.full(2, 0.5),
            transition=np.stack([np.eye(2), uniform, uniform], axis=1),
            observation=np.stack([heard, guess, guess]),
            reward=np.array([[p.listen, p.tiger, p.treasure], [p.listen, p.treasure, p.tiger]], np.float64),
            terminal=opens if self.ends_on_open else np.zeros_like(opens),
            first_observation=np.array([[1.0, 0.0, 0.0]] * 2),
            observations=np.eye(3),
        )
