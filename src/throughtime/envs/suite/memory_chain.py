"""Memory chain: bits seen at the start, one of which is asked for at the end (bsuite's memory_len and memory_size)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.envs._checks import check_at_least_one
from throughtime.envs.base import Box, Discrete, Environment
from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._strip import strip


class MemoryChainState(NamedTuple):
    """What is to be remembered, and when it is."""

    context: Int[Array, " bits"]  # 0 or 1 each
    query: Int[Array, ""]  # the bit that will be asked for
    time: Int[Array, ""]  # steps since the reset


class MemoryChainParams(NamedTuple):
    """Rewards."""

    reward: float | Array = 1.0  # for the right bit; a wrong one loses as much


@dataclass(frozen=True)
class MemoryChain(Environment[MemoryChainState, MemoryChainParams]):
    """bsuite's memory chain, in every detail of its code.

    Observation: `[time left, query, context …]`, 2 + bits numbers: a countdown 1 − τ/length, the index of the asked
    bit, and the bits as ±1. The context is seen at τ = 0 only and the query at τ = length − 1 only; elsewhere both
    read 0, which is also what a query of bit 0 reads. As bsuite's step returns what it saw *before* the clock moved,
    τ = 0 is seen twice: τ is 0, 0, 1, 2, …, length over the length + 2 observations of an episode.

    Action: 0 or 1. Only that of the last step counts, the one after τ = length − 1 was seen: +1 for the
    asked bit's value, else −1. That step terminates, after length + 1 steps.

    `memory_len` has 1 bit and lengths from 1 to 100, `memory_size` length 2 and 1 to 40 bits: `BSUITE`.

    Reference: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning", arXiv 1908.03568; bsuite 0.3.6.

    Args:
        length: bsuite's memory_length, at least 1; of 1, context and query are seen at once.
        bits: bsuite's num_bits, at least 1.
    """

    stochastic_step: ClassVar[bool] = False

    length: int = 10
    bits: int = 1

    def __post_init__(self):
        check_at_least_one(self.name, "length", self.length, "It counts the steps of the countdown.")
        check_at_least_one(self.name, "bits", self.bits, "They are what is to be remembered.")

    @property
    def name(self) -> str:
        """`memory-chain`."""
        return "memory-chain"

    @property
    def default_params(self) -> MemoryChainParams:
        """±1."""
        return MemoryChainParams()

    @property
    def observation_space(self) -> Box:
        """`[time left, query, context …]`; the query is a number up to bits − 1, as in bsuite."""
        return Box(-1.0, float(max(1, self.bits - 1)), (2 + self.bits,))

    @property
    def action_space(self) -> Discrete:
        """The value of a bit."""
        return Discrete(2)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("time left", "asked bit", *(f"bit {i}" for i in range(self.bits)))

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The values of a bit, as they are seen."""
        return ("−1", "+1")

    def reset_env(
        self, key: PRNGKeyArray, params: MemoryChainParams
    ) -> tuple[Float[Array, " numbers"], MemoryChainState]:
        """Random bits, in sight."""
        del params
        key_context, key_query = jax.random.split(key)
        context = jax.random.bernoulli(key_context, shape=(self.bits,)).astype(jnp.int32)
        query = jax.random.randint(key_query, (), 0, self.bits, jnp.int32)
        state = MemoryChainState(context, query, jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: MemoryChainState, action: Int[Array, ""], params: MemoryChainParams
    ) -> tuple[Float[Array, " numbers"], MemoryChainState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Waits, or at the end answers; see the class. `key` is not used."""
        del key
        state = state._replace(time=state.time + 1)
        answered = state.time > self.length
        pay = jnp.where(action == self.hidden_state(state), params.reward, -params.reward)
        reward = jnp.where(answered, pay, 0.0).astype(jnp.float32)
        return self._observe(state), state, reward, answered, {}

    def _observe(self, state: MemoryChainState) -> Float[Array, " numbers"]:
        tau = jnp.maximum(state.time - 1, 0)
        left = (self.length - tau).astype(jnp.float32) / self.length  # 1 − τ/length may round to less than 0
        query = jnp.where(tau == self.length - 1, state.query, 0)
        context = jnp.where(tau == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([left[None], query[None].astype(jnp.float32), context.astype(jnp.float32)])

    def is_truncated(self, state: MemoryChainState, params: MemoryChainParams) -> Bool[Array, ""]:
        """Never: the end of the chain terminates."""
        del state, params
        return jnp.zeros((), bool)

    def hidden_state(self, state: MemoryChainState) -> Int[Array, ""]:
        """The value, 0 or 1, of the bit that is, or will be, asked for."""
        return jnp.take(state.context, state.query)

    def draw(self, state: MemoryChainState) -> Drawing:
        """The episode as a strip: the bits at its start, the question at its end, and now."""
        time, asked = int(state.time), int(state.query)
        marks = {0: ("b", "cue"), 1: ("b", "cue"), self.length: ("?", "goal"), min(time, self.length): ("@", "agent")}
        chain = strip(self.length + 1, marks)
        bits = [("+" if bit else "-", "goal" if i == asked else "cue") for i, bit in enumerate(state.context[:64])]
        more = f" … {self.bits} in all" if self.bits > 64 else ""
        return Drawing.of(
            chain.cells,
            [("bits ", "faint"), *bits, (f"{more}   asked for: bit {asked}", "faint")],
            [("@ now, b the bits are seen, ? the answer counts" + chain.note, "faint")],
        )

    @property
    def optimal_return(self) -> float:
        """1: the right bit."""
        return 1.0

    @property
    def memoryless_return(self) -> float:
        """0: at the end the bits are out of sight, each 0 or 1 with probability ½. Of length 1 they are not: 1."""
        return 1.0 if self.length == 1 else 0.0

    @property
    def required_lag(self) -> int:
        """From the last sight of the bits to the answer: length − 1 steps."""
        return self.length - 1

    @property
    def max_episode_steps(self) -> int:
        """The length of every episode."""
        return self.length + 1
