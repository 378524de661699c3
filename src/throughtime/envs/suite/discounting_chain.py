"""Discounting chain: the first action picks one of five rewards, and when it comes (bsuite's discounting_chain)."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs.base import Box, Discrete, Environment

PAYDAYS = (1, 3, 10, 30, 100)
"""The step in which each chain pays."""


class DiscountingChainState(NamedTuple):
    """The chain and the clock."""

    context: Int[Array, ""]  # the first action; −1 before it
    time: Int[Array, ""]  # steps since the reset


class DiscountingChainParams(NamedTuple):
    """Rewards."""

    reward: float | Array = 1.0  # of each chain
    bonus: float | Array = 0.1  # of the better one, besides


@dataclass(frozen=True)
class DiscountingChain(Environment[DiscountingChainState, DiscountingChainParams]):
    """bsuite's discounting chain: which of five rewards is the best, when all but one step of waiting are idle?

    Observation: `[chain, t/100]`, the chain −1 before the first action and its number 0 … 4 afterwards. Actions: five;
    only the first one counts. Chain c pays 1 in step 1, 3, 10, 30 or 100; chain `mapping_seed` mod 5 pays 1.1. Every
    episode has 100 steps, and the last one terminates.

    Nothing is hidden but which chain is the better one, and that is the same in all episodes: a policy without
    memory is optimal. An agent that discounts takes the early reward.

    Reference: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning", arXiv 1908.03568; bsuite 0.3.6.

    Args:
        mapping_seed: decides the better chain, at least 0; bsuite runs 0 to 19.
    """

    stochastic_step: ClassVar[bool] = False

    mapping_seed: int = 0

    def __post_init__(self):
        if isinstance(self.mapping_seed, bool) or not isinstance(self.mapping_seed, int) or self.mapping_seed < 0:
            raise ConfigError(
                f"{self.name}: mapping_seed = {self.mapping_seed!r} is impossible.",
                f"Modulo {len(PAYDAYS)} it is the number of the better chain.",
                "Set mapping_seed to a whole number of at least 0.",
            )

    @property
    def name(self) -> str:
        """`discounting-chain`."""
        return "discounting-chain"

    @property
    def best(self) -> int:
        """The better chain."""
        return self.mapping_seed % len(PAYDAYS)

    @property
    def default_params(self) -> DiscountingChainParams:
        """1, and 1.1 for the better chain."""
        return DiscountingChainParams()

    @property
    def observation_space(self) -> Box:
        """`[chain, t/100]`."""
        return Box(-1.0, float(len(PAYDAYS) - 1), (2,))

    @property
    def action_space(self) -> Discrete:
        """The chains."""
        return Discrete(len(PAYDAYS))

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """What each number of the observation is."""
        return ("chain", "time")

    @property
    def action_labels(self) -> tuple[str, ...]:
        """When each chain pays."""
        return tuple(f"paid in step {step}" for step in PAYDAYS)

    def reset_env(
        self, key: PRNGKeyArray, params: DiscountingChainParams
    ) -> tuple[Float[Array, " 2"], DiscountingChainState]:
        """No chain yet; `key` is not used."""
        del key, params
        state = DiscountingChainState(jnp.full((), -1, jnp.int32), jnp.zeros((), jnp.int32))
        return self._observe(state), state

    def step_env(
        self, key: PRNGKeyArray, state: DiscountingChainState, action: Int[Array, ""], params: DiscountingChainParams
    ) -> tuple[Float[Array, " 2"], DiscountingChainState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Picks a chain, or waits; see the class. `key` is not used."""
        del key
        context = jnp.where(state.time == 0, action, state.context)
        state = DiscountingChainState(context, state.time + 1)
        pays = state.time == jnp.take(jnp.array(PAYDAYS, jnp.int32), context)
        value = params.reward + jnp.where(context == self.best, params.bonus, 0.0)
        reward = jnp.where(pays, value, 0.0).astype(jnp.float32)
        return self._observe(state), state, reward, state.time == self.max_episode_steps, {}

    def _observe(self, state: DiscountingChainState) -> Float[Array, " 2"]:
        time = state.time.astype(jnp.float32) / self.max_episode_steps
        return jnp.stack([state.context.astype(jnp.float32), time])

    def is_truncated(self, state: DiscountingChainState, params: DiscountingChainParams) -> Bool[Array, ""]:
        """Never: the end of the chain terminates."""
        del state, params
        return jnp.zeros((), bool)

    def hidden_state(self, state: DiscountingChainState) -> Int[Array, ""]:
        """0 before the first action, 1 in a chain that pays 1, 2 in the better one."""
        return jnp.where(state.time == 0, 0, jnp.where(state.context == self.best, 2, 1)).astype(jnp.int32)

    @property
    def optimal_return(self) -> float:
        """1.1: the better chain."""
        return 1.1

    @property
    def memoryless_return(self) -> float:
        """1.1: the first action is the same in all episodes."""
        return 1.1

    @property
    def required_lag(self) -> int:
        """0: nothing has to be remembered."""
        return 0

    @property
    def max_episode_steps(self) -> int:
        """100, the length of every episode."""
        return PAYDAYS[-1]
