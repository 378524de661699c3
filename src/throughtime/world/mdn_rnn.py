"""MDN-RNN: a memory over observations and actions, and a mixture density over what is seen next.

    memory      y_t = memory([o_t, a_t])
    density     p(o_{t+1} | y_t)               K diagonal normals over the change o_{t+1} − o_t where observations are
                                               continuous; a class, or independent bits, where they are discrete
    heads       r_{t+1}, c_{t+1}               of (y_t, o_{t+1})

The loss is the negative log-likelihood of all three. Unlike the original's, the mixture is one of whole observations
(not one for each number), of changes rather than values (what stays put need not be learned), and reward and end are
heads that see what was drawn, so that they agree with it.

Reference: Ha & Schmidhuber 2018, "World models" (arXiv 1803.10122); Bishop 1994, "Mixture density networks".
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import select_rows
from throughtime.envs import Space
from throughtime.memory import Memory
from throughtime.memory.base import broadcast_rows
from throughtime.rl import Moments, action_features, action_width
from throughtime.world._common import mean_where, restore, standardise
from throughtime.world.config import MemoryConfig, WorldModelConfig
from throughtime.world.data import Kind, Sequences
from throughtime.world.heads import ObservationHead, OutcomeHeads
from throughtime.world.likelihoods import Likelihood
from throughtime.world.model import LearnedModel, Losses


class MDNRNNState(NamedTuple):
    """At time t, before a_t is known."""

    memory: Any  # before (o_t, a_t) is read
    observation: Float[Array, "B O"]  # o_t, seen or imagined


class MDNRNN(LearnedModel):
    """The model of this file's head."""

    memory: Memory
    nothing: Float[Array, " H"]  # what the density of an episode's first observation is made of
    density: ObservationHead
    first: ObservationHead
    outcome: OutcomeHeads
    observation_moments: Moments
    change_moments: Moments
    reward_moments: Moments
    observation_size: int = eqx.field(static=True)
    action_space: Space = eqx.field(static=True)
    kind: Kind = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        action_space: Space,
        kind: Kind,
        config: WorldModelConfig,
        memory: MemoryConfig,
        key: PRNGKeyArray,
    ):
        """A fresh model.

        Args:
            observation_size: O.
            action_space: of the environment.
            kind: of the observations.
            config: sizes.
            memory: which.
            key: for the random weights.
        """
        keys = jax.random.split(key, 4)
        O, W, K = observation_size, config.width, config.components  # noqa: E741
        width = O + action_width(action_space)
        self.memory = memory.build(width, keys[0])
        H = self.memory.output_size
        self.nothing = jnp.zeros(H)
        self.density = ObservationHead(H, W, O, kind, K, keys[1])
        self.first = ObservationHead(H, W, O, kind, K, keys[2])
        self.outcome = OutcomeHeads(H + O, W, keys[3], reward_bins=config.reward_bins, end_weight=config.end_weight)
        self.observation_moments, self.change_moments = Moments.create((O,)), Moments.create((O,))
        self.reward_moments = Moments.create(())
        self.observation_size, self.action_space, self.kind = O, action_space, kind

    def scaled_by(self, sequences: Sequences) -> LearnedModel:
        """Beside what every model takes of them, the spread of changes."""
        model = super().scaled_by(sequences)
        if self.kind != "continuous":
            return model
        changes = self.change_moments.update(sequences.successors - sequences.observations)
        return eqx.tree_at(lambda m: m.change_moments, model, changes)

    def start(self, batch_size: int) -> MDNRNNState:
        """Nothing seen: the memory's initial state, an observation of zeros."""
        return MDNRNNState(self.memory.initial_state(batch_size), jnp.zeros((batch_size, self.observation_size)))

    def begin(self, batch_size: int, key: PRNGKeyArray | None = None) -> MDNRNNState:
        """An imagined first observation."""
        drawn = self.first(broadcast_rows(self.nothing, batch_size), self.observation_moments).draw(key)
        seen = restore(self.observation_moments, drawn) if self.kind == "continuous" else drawn
        return MDNRNNState(self.memory.initial_state(batch_size), seen)

    def observe(
        self,
        state: MDNRNNState,
        action_tm1: Array,
        observation_t: Float[Array, "B O"],
        reset_t: Bool[Array, " B"],
        key: PRNGKeyArray | None = None,
    ) -> MDNRNNState:
        """The memory reads (o_{t−1}, a_{t−1}); o_t is kept for the next step. Draws nothing."""
        del key
        memory, _ = self._step(state, action_tm1)
        fresh = self.memory.initial_state(reset_t.shape[0])
        return MDNRNNState(select_rows(reset_t, fresh, memory), observation_t)

    def imagine(
        self, state: MDNRNNState, action_t: Array, key: PRNGKeyArray | None = None
    ) -> tuple[MDNRNNState, Float[Array, " B"], Float[Array, " B"]]:
        """The memory reads (o_t, a_t); o_{t+1} is drawn from the density."""
        memory, output = self._step(state, action_t)
        drawn = self.density(output, self.change_moments).draw(key)
        seen = state.observation + restore(self.change_moments, drawn) if self.kind == "continuous" else drawn
        reward, logit = self.outcome(jnp.concatenate([output, self._scaled(seen)], axis=-1))
        reward = reward / self.reward_moments.scale() + self.reward_moments.mean
        return MDNRNNState(memory, seen), reward, jax.nn.sigmoid(logit)

    def decode(self, state: MDNRNNState, key: PRNGKeyArray | None = None) -> Float[Array, "B O"]:
        """The observation itself: it was drawn in `imagine`."""
        del key
        return state.observation

    def loss(self, sequences: Sequences, key: PRNGKeyArray, start: MDNRNNState | None = None) -> Losses:
        """See the head of this file; means over all T · B steps. `key` is not used."""
        del key
        resets = sequences.resets
        memory = self.memory.initial_state(resets.shape[1]) if start is None else start.memory
        actions = action_features(self.action_space, sequences.actions)
        inputs = jnp.concatenate([self._scaled(sequences.observations), actions], axis=-1)
        _, outputs = self.memory.unroll(memory, inputs, resets)
        change, first = sequences.successors, sequences.observations[0]
        if self.kind == "continuous":
            change = standardise(self.change_moments, sequences.successors - sequences.observations)
            first = standardise(self.observation_moments, first)
        observation = -jnp.mean(self.density(outputs, self.change_moments).log_prob(change))
        # First observations follow from nothing; those at the sequences' heads count.
        nothing: Likelihood = self.first(broadcast_rows(self.nothing, resets.shape[1]), self.observation_moments)
        observation -= mean_where(resets[0], nothing.log_prob(first)) / resets.shape[0]
        features = jnp.concatenate([outputs, self._scaled(sequences.successors)], axis=-1)
        reward, continuation = self.outcome.losses(features, sequences, jax.lax.stop_gradient(self.reward_moments))
        return Losses(observation + reward + continuation, observation, reward, continuation, jnp.zeros(()))

    def _step(self, state: MDNRNNState, action: Array) -> tuple[Any, Float[Array, "B H"]]:
        actions = action_features(self.action_space, action)
        return self.memory.step(state.memory, jnp.concatenate([self._scaled(state.observation), actions], axis=-1))

    def _scaled(self, observation: Float[Array, "*batch O"]) -> Float[Array, "*batch O"]:
        return self.observation_moments.standardise(observation) if self.kind == "continuous" else observation
