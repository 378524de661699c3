"""A finite POMDP as a world model: its state is the exact belief, so that planning is online planning in POMDPs."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, select_rows
from throughtime.envs import Environment, Space
from throughtime.world.model import WorldModel


class BeliefState(NamedTuple):
    """What is known of B episodes."""

    belief: Float[Array, "B S"]  # P(s_t | what was seen and done); before the first observation P(s_0)
    observation: Int[Array, " B"]  # index of the observation last seen or imagined; −1 before the first


class BeliefModel(WorldModel):
    """The belief MDP of a finite POMDP, from its tables: Bayes' rule on what is seen, and on what is imagined.

    `imagine` draws an observation from P(o | b, a) and updates the belief by it (without a key it takes the most
    probable one); reward and continuation are expectations under the belief before. What is learned instead is every
    other `WorldModel`; this one is their oracle, and plans in any environment with tables, `pomdp:FILE` among them.

    Reference: Kaelbling, Littman & Cassandra 1998, "Planning and acting in partially observable stochastic domains",
    section 3.3.

    Args:
        env: a finite POMDP.

    Raises:
        ConfigError: an environment without tables.
    """

    transition: Float[Array, "S A T"]  # P(s', goes on | s, a)
    likelihood: Float[Array, "A T K"]  # P(o | a, s')
    reward: Float[Array, "S A"]
    goes_on: Float[Array, "S A"]
    initial: Float[Array, " S"]
    first: Float[Array, "S K"]  # P(o_0 | s_0)
    observations: Float[Array, "K O"]
    observation_size: int = eqx.field(static=True)
    action_space: Space = eqx.field(static=True)

    def __init__(self, env: Environment):
        tables = env.tables()
        if tables is None:
            raise ConfigError(
                f"{env.name} has no tables.",
                "An exact belief needs every probability of a finite POMDP.",
                "Learn a world model of it instead.",
            )
        goes_on = 1.0 - tables.terminal.astype(float)
        self.transition = jnp.asarray(tables.transition * goes_on[:, :, None], jnp.float32)
        self.likelihood = jnp.asarray(tables.observation, jnp.float32)
        self.reward = jnp.asarray(tables.reward, jnp.float32)
        self.goes_on = jnp.asarray(goes_on, jnp.float32)
        self.initial = jnp.asarray(tables.initial, jnp.float32)
        self.first = jnp.asarray(tables.first_observation, jnp.float32)
        self.observations = jnp.asarray(tables.observations, jnp.float32).reshape(len(tables.observations), -1)
        self.observation_size, self.action_space = self.observations.shape[1], env.action_space

    def start(self, batch_size: int) -> BeliefState:
        """The distribution of the first state."""
        belief = jnp.broadcast_to(self.initial, (batch_size, *self.initial.shape))
        return BeliefState(belief, jnp.full(batch_size, -1, jnp.int32))

    def observe(
        self,
        state: BeliefState,
        action_tm1: Int[Array, " B"],
        observation_t: Float[Array, "B O"],
        reset_t: Bool[Array, " B"],
        key: PRNGKeyArray | None = None,
    ) -> BeliefState:
        """Bayes' rule. NaN where the observation cannot occur; the nearest one in the tables is what was seen."""
        del key
        distance = jnp.sum((observation_t[:, None] - self.observations[None]) ** 2, axis=2)
        seen = jnp.argmin(distance, axis=1).astype(jnp.int32)
        began = self.initial[None] * self.first.T[seen]
        moved = self._moved(state.belief, action_tm1) * self.likelihood[action_tm1, :, seen]
        joint = select_rows(reset_t, began, moved)
        return BeliefState(joint / jnp.sum(joint, axis=1, keepdims=True), seen)

    def imagine(
        self, state: BeliefState, action_t: Int[Array, " B"], key: PRNGKeyArray | None = None
    ) -> tuple[BeliefState, Float[Array, " B"], Float[Array, " B"]]:
        """Draws what would be seen, given that the episode goes on; where it cannot, the belief is the initial one."""
        reward = jnp.sum(state.belief * self.reward.T[action_t], axis=1)
        goes_on = jnp.sum(state.belief * self.goes_on.T[action_t], axis=1)
        joint = self._moved(state.belief, action_t)[:, :, None] * self.likelihood[action_t]  # [B, S', K]
        chance = jnp.log(jnp.sum(joint, axis=1))
        seen = jnp.argmax(chance, axis=1) if key is None else jax.random.categorical(key, chance)
        belief = jnp.take_along_axis(joint, seen[:, None, None], axis=2)[:, :, 0]
        total = jnp.sum(belief, axis=1, keepdims=True)
        fresh = jnp.broadcast_to(self.initial, belief.shape)
        belief = jnp.where(total > 0, belief / jnp.where(total > 0, total, 1.0), fresh)
        return BeliefState(belief, seen.astype(jnp.int32)), reward, goes_on

    def decode(self, state: BeliefState, key: PRNGKeyArray | None = None) -> Float[Array, "B O"]:
        """The observation that was seen or imagined; before the first one zeros."""
        del key
        known = state.observation >= 0
        return jnp.where(known[:, None], self.observations[jnp.maximum(state.observation, 0)], 0.0)

    def _moved(self, belief: Any, action: Any) -> Float[Array, "B T"]:
        """P(s', goes on | b, a)."""
        return jnp.einsum("bs,bst->bt", belief, jnp.swapaxes(self.transition, 0, 1)[action])
