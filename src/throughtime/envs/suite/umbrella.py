"""Umbrella: take one along in the first step, or not, and be paid for it in the last (bsuite's)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment
from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._strip import strip


class UmbrellaState(NamedTuple):
    """Weather, umbrella and clock."""

    need: Int[Array, ""]  # 0 or 1
    has: Int[Array, ""]  # 0 or 1; random until the first action decides it
    time: Int[Array, ""]  # steps since the reset


class UmbrellaParams(NamedTuple):
    """Rewards."""

    reward: float | Array = 1.0  # won or lost at the end
    noise: float | Array = 1.0  # won or lost, at random, in each step before


@dataclass(frozen=True)
class Umbrella(Environment[UmbrellaState, UmbrellaParams]):
    """bsuite's umbrella chain: credit assignment over a chain of random rewards, not memory.

    Observation: `[umbrella needed, umbrella held, time left, distractors …]`, 3 + distractors numbers: two flags, the
    countdown 1 − t/length, and bits drawn anew in each step. Action: 0 leave it, 1 take it; only the first one
    counts. Each step but the last pays +1 or −1 with probability ½ each, whatever was done. The last one, step
    `length`, pays +1 where the umbrella is held exactly if it is needed, else −1, and terminates.

    Everything that matters is in sight when it matters, so that a policy without memory is optimal. What is
    hard is that one action in `length` decides one reward in `length`, among noise of standard deviation √(length − 1).

    `umbrella_length` has 20 distractors and lengths from 1 to 100, `umbrella_distract` length 20 and 1 to 100
    distractors: `BSUITE`.

    Reference: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning", arXiv 1908.03568; bsuite 0.3.6.

    Args:
        length: bsuite's chain_length, at least 1.
        distractors: bsuite's n_distractor, at least 0.
    """

    length: int = 20
    distractors: int = 20

    def __post_init__(self):
        check_at_least_one(self.name, "length", self.length, "It counts the steps of an episode.")
        if isinstance(self.distractors, bool) or not isinstance(self.distractors, int) or self.distractors < 0:
            raise ConfigError(
                f"{self.name}: distractors = {self.distractors!r} is impossible.",
                "They are random bits beside the observation.",
                "Set distractors to a whole number of at least 0.",
            )

    @property
    def name(self) -> str:
        """`umbrella`."""
        return "umbrella"

    @property
    def default_params(self) -> UmbrellaParams:
        """±1 in each step."""
        return UmbrellaParams()

    @property
    def observation_space(self) -> Box:
        """`[umbrella needed, umbrella held, time left, distractors …]`."""
        return Box(0.0, 1.0, (3 + self.distractors,))

    @property
    def action_space(self) -> Discrete:
        """Leave it, take it."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        distractors = (f"distractor {i}" for i in range(self.distractors))
        return ("umbrella needed", "umbrella held", "time left", *distractors)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """What the first action does."""
        return ("leave it", "take it")

    def reset_env(self, key: PRNGKeyArray, params: UmbrellaParams) -> tuple[Float[Array, " numbers"], UmbrellaState]:
        """Random weather; whether an umbrella is held at first is random too, and means nothing."""
        del params
        key_flags, key_distractors = jax.random.split(key)
        need, has = jax.random.bernoulli(key_flags, shape=(2,)).astype(jnp.int32)
        state = UmbrellaState(need, has, jnp.zeros((), jnp.int32))
        return self._observe(state, key_distractors), state

    def step_env(
        self, key: PRNGKeyArray, state: UmbrellaState, action: Int[Array, ""], params: UmbrellaParams
    ) -> tuple[Float[Array, " numbers"], UmbrellaState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One step along the chain; see the class."""
        key_noise, key_distractors = jax.random.split(key)
        has = jnp.where(state.time == 0, action, state.has)
        state = UmbrellaState(state.need, has, state.time + 1)
        last = state.time == self.length
        noise = jnp.where(jax.random.bernoulli(key_noise), params.noise, -params.noise)
        pay = jnp.where(state.has == state.need, params.reward, -params.reward)
        reward = jnp.where(last, pay, noise).astype(jnp.float32)
        return self._observe(state, key_distractors), state, reward, last, {}

    def _observe(self, state: UmbrellaState, key: PRNGKeyArray) -> Float[Array, " numbers"]:
        left = (self.length - state.time).astype(jnp.float32) / self.length  # 1 − t/length may round to less than 0
        flags = jnp.stack([state.need.astype(jnp.float32), state.has.astype(jnp.float32), left])
        distractors = jax.random.bernoulli(key, shape=(self.distractors,)).astype(jnp.float32)
        return jnp.concatenate([flags, distractors])

    def is_truncated(self, state: UmbrellaState, params: UmbrellaParams) -> Bool[Array, ""]:
        """Never: the end of the chain terminates."""
        del state, params
        return jnp.zeros((), bool)

    def hidden_state(self, state: UmbrellaState) -> Int[Array, ""]:
        """Whether the umbrella is held exactly if it is needed: what the last step will pay for (1) or cost (0)."""
        return (state.has == state.need).astype(jnp.int32)

    def draw(self, state: UmbrellaState) -> Drawing:
        """The episode as a strip: the choice at its start, the weather at its end, and now."""
        time, need, has = int(state.time), bool(state.need), bool(state.has)
        marks = {0: ("?", "cue"), self.length: ("r" if need else "s", "goal"), min(time, self.length): ("@", "agent")}
        chain = strip(self.length + 1, marks)
        held = "random until the first action" if time == 0 else "an umbrella" if has else "no umbrella"
        colour = "plain" if time == 0 else "goal" if has == need else "danger"
        return Drawing.of(
            chain.cells,
            [("ends in ", "faint"), "rain" if need else "sunshine", ("   holds ", "faint"), (held, colour)],
            [("@ now, ? the choice, r rain or s sunshine at the end" + chain.note, "faint")],
        )

    @property
    def optimal_return(self) -> float:
        """1: the random rewards have mean 0."""
        return 1.0

    @property
    def memoryless_return(self) -> float:
        """1: the first observation tells whether it is needed."""
        return 1.0

    @property
    def required_lag(self) -> int:
        """0: nothing has to be remembered."""
        return 0

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.length
