"""A recurrent state-space model: a deterministic memory and stochastic discrete latents.

    posterior   q(z_t | o_t)                   an encoder
    memory      y_t = memory([z_t, a_t])       any Memory, over the whole sequence at once
    prior       p(z_{t+1} | y_t)               what will be seen, without looking
    heads       o_{t+1}, r_{t+1}, c_{t+1}      of (y_t, z_{t+1})

z is G one-hot vectors of C classes, drawn with straight-through gradients, 1% uniform mixed in; the loss is the
negative log-likelihood of the heads plus the two halves of the KL divergence with weights of their own (KL balancing).
The latents tell what is seen now, the memory what was seen before.

The encoder does not read the memory (as in STORM and R2I, unlike PlaNet and Dreamer): the latents of all steps are then
known before the memory runs, which is one `Memory.unroll`, native where there is a kernel, and not T separate steps.

References: Hafner et al. 2019, "Learning latent dynamics for planning from pixels" (PlaNet: the RSSM; 1811.04551);
Hafner et al. 2021, "Mastering Atari with discrete world models" (DreamerV2: discrete latents, KL balancing;
2010.02193); Hafner et al. 2023, "Mastering diverse domains through world models" (DreamerV3: unimix, weights of the
halves, free nats; 2301.04104); Samsami et al. 2024, "Mastering memory tasks with world models" (R2I; 2403.04253);
Zhang et al. 2023, "STORM" (2310.09615).
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.core import select_rows
from throughtime.envs import Space
from throughtime.memory import Memory
from throughtime.memory.base import broadcast_rows
from throughtime.rl import Categorical, Moments, action_features, action_width
from throughtime.world._common import mean_where, restore, standardise
from throughtime.world.config import MemoryConfig, WorldModelConfig
from throughtime.world.data import Kind, Sequences
from throughtime.world.heads import ObservationHead, OutcomeHeads, Perceptron
from throughtime.world.model import LearnedModel, Losses


class RSSMState(NamedTuple):
    """At time t, before a_t is known."""

    memory: Any  # before (z_t, a_t) is read
    output: Float[Array, "B H"]  # y_{t-1}: of what happened before; the learned y of "nothing" at an episode's first
    latent: Float[Array, "B Z"]  # z_t, G one-hot vectors side by side


class RSSM(LearnedModel):
    """The model of this file's head."""

    memory: Memory
    nothing: Float[Array, " H"]  # y before an episode's first observation
    encoder: Perceptron
    prior: Perceptron
    observation: ObservationHead
    outcome: OutcomeHeads
    observation_moments: Moments
    reward_moments: Moments
    observation_size: int = eqx.field(static=True)
    action_space: Space = eqx.field(static=True)
    kind: Kind = eqx.field(static=True)
    config: WorldModelConfig = eqx.field(static=True)

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
        keys = jax.random.split(key, 5)
        Z, W = config.latents * config.classes, config.width
        width = Z + action_width(action_space)
        self.memory = memory.build(width, keys[0])
        H = self.memory.output_size
        self.nothing = jnp.zeros(H)
        self.encoder = Perceptron(observation_size, W, Z, keys[1])
        self.prior = Perceptron(H, W, Z, keys[2])
        self.observation = ObservationHead(H + Z, W, observation_size, kind, 1, keys[3])
        self.outcome = OutcomeHeads(H + Z, W, keys[4], reward_bins=config.reward_bins, end_weight=config.end_weight)
        self.observation_moments, self.reward_moments = Moments.create((observation_size,)), Moments.create(())
        self.observation_size, self.action_space, self.kind, self.config = observation_size, action_space, kind, config

    def start(self, batch_size: int) -> RSSMState:
        """Nothing seen: the memory's initial state, the learned output of nothing, latents of zeros."""
        Z = self.config.latents * self.config.classes
        output = broadcast_rows(self.nothing, batch_size)
        return RSSMState(self.memory.initial_state(batch_size), output, jnp.zeros((batch_size, Z)))

    def begin(self, batch_size: int, key: PRNGKeyArray | None = None) -> RSSMState:
        """An imagined first moment: the latents of the prior before anything was seen."""
        state = self.start(batch_size)
        return state._replace(latent=self._draw(self._log_probs(self.prior(state.output)), key))

    def observe(
        self,
        state: RSSMState,
        action_tm1: Array,
        observation_t: Float[Array, "B O"],
        reset_t: Bool[Array, " B"],
        key: PRNGKeyArray | None = None,
    ) -> RSSMState:
        """The memory reads (z_{t−1}, a_{t−1}); the latents are the encoder's."""
        memory, output = self._step(state, action_tm1)
        fresh = self.start(reset_t.shape[0])
        memory, output = select_rows(reset_t, (fresh.memory, fresh.output), (memory, output))
        return RSSMState(memory, output, self._draw(self._posterior(observation_t), key))

    def imagine(
        self, state: RSSMState, action_t: Array, key: PRNGKeyArray | None = None
    ) -> tuple[RSSMState, Float[Array, " B"], Float[Array, " B"]]:
        """The memory reads (z_t, a_t); the latents are the prior's."""
        memory, output = self._step(state, action_t)
        state = RSSMState(memory, output, self._draw(self._log_probs(self.prior(output)), key))
        reward, logit = self.outcome(self._features(state))
        return state, reward / self.reward_moments.scale() + self.reward_moments.mean, jax.nn.sigmoid(logit)

    def decode(self, state: RSSMState, key: PRNGKeyArray | None = None) -> Float[Array, "B O"]:
        """From memory and latents."""
        drawn = self.observation(self._features(state), self.observation_moments).draw(key)
        return restore(self.observation_moments, drawn) if self.kind == "continuous" else drawn

    def loss(self, sequences: Sequences, key: PRNGKeyArray, start: RSSMState | None = None) -> Losses:
        """See the head of this file; means over all T · B steps."""
        config, resets = self.config, sequences.resets
        T, B = resets.shape
        start = self.start(B) if start is None else start
        key_now, key_next = jax.random.split(key)
        now, after = self._posterior(sequences.observations), self._posterior(sequences.successors)
        latents, next_latents = self._draw(now, key_now), self._draw(after, key_next)
        actions = action_features(self.action_space, sequences.actions)
        _, outputs = self.memory.unroll(start.memory, jnp.concatenate([latents, actions], -1), resets)
        features = jnp.concatenate([outputs, next_latents], -1)
        observation = -jnp.mean(self._log_likelihood(features, sequences.successors))
        reward, continuation = self.outcome.losses(features, sequences, jax.lax.stop_gradient(self.reward_moments))
        prior, stop = self._log_probs(self.prior(outputs)), jax.lax.stop_gradient
        dynamics = jnp.mean(_kl(stop(after), prior))
        representation = jnp.mean(jnp.maximum(_kl(after, stop(prior)), config.free_nats))
        # First observations follow from nothing but a learned output; those at the sequences' heads count.
        nothing, heads = broadcast_rows(self.nothing, B), resets[0]
        first = self._log_likelihood(jnp.concatenate([nothing, latents[0]], -1), sequences.observations[0])
        first_prior = self._log_probs(self.prior(nothing))
        pulled = jnp.maximum(_kl(now[0], stop(first_prior)), config.free_nats)
        observation -= mean_where(heads, first) / T
        dynamics += mean_where(heads, _kl(stop(now[0]), first_prior)) / T
        representation += mean_where(heads, pulled) / T
        total = observation + reward + continuation
        total += config.dynamics_weight * dynamics + config.representation_weight * representation
        return Losses(total, observation, reward, continuation, dynamics)

    def _step(self, state: RSSMState, action: Array) -> tuple[Any, Float[Array, "B H"]]:
        x = jnp.concatenate([state.latent, action_features(self.action_space, action)], axis=-1)
        return self.memory.step(state.memory, x)

    def _features(self, state: RSSMState) -> Float[Array, "B F"]:
        return jnp.concatenate([state.output, state.latent], axis=-1)

    def _posterior(self, observation: Float[Array, "*batch O"]) -> Float[Array, "*batch G C"]:
        x = self.observation_moments.standardise(observation) if self.kind == "continuous" else observation
        return self._log_probs(self.encoder(x))

    def _log_likelihood(
        self, features: Float[Array, "*batch F"], x: Float[Array, "*batch O"]
    ) -> Float[Array, "*batch"]:
        target = standardise(self.observation_moments, x) if self.kind == "continuous" else x
        return self.observation(features, self.observation_moments).log_prob(target)

    def _log_probs(self, y: Float[Array, "*batch Z"]) -> Float[Array, "*batch G C"]:
        """Logarithm of the softmax with `unimix` of the uniform distribution mixed in."""
        G, C = self.config.latents, self.config.classes
        log_p = jax.nn.log_softmax(y.reshape(*y.shape[:-1], G, C))
        if self.config.unimix == 0.0:
            return log_p
        uniform = math.log(self.config.unimix / C)
        return jnp.logaddexp(log_p + math.log1p(-self.config.unimix), jnp.full_like(log_p, uniform))

    def _draw(self, log_p: Float[Array, "*batch G C"], key: PRNGKeyArray | None) -> Float[Array, "*batch Z"]:
        """One-hot draws (the most probable ones without a key), with the gradient of the probabilities."""
        distribution, C = Categorical(log_p), log_p.shape[-1]
        drawn = distribution.mode() if key is None else distribution.sample(Categorical.noise(key, log_p.shape[:-1], C))
        p = jnp.exp(log_p)
        z = jax.nn.one_hot(drawn, C, dtype=p.dtype) + p - jax.lax.stop_gradient(p)
        return z.reshape(*z.shape[:-2], -1)


def _kl(log_q: Float[Array, "*batch G C"], log_p: Float[Array, "*batch G C"]) -> Float[Array, "*batch"]:
    """KL(q ‖ p) in nats, summed over the G latents."""
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=(-2, -1))
