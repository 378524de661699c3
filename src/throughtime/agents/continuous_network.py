"""Actor and twin critics for continuous actions, each side with a memory of its own.

    actor:   inputs → encoder → memory → head → the distribution over actions
    critics: inputs → encoder → memory → [features, action] → two heads → Q_1, Q_2

The critics' memory reads the same inputs as the actor's (the history), never the action that is valued: that one joins
behind the memory, so that any action can be valued at any time step. One memory each, and not one for both, is what Ni,
Eysenbach & Salakhutdinov 2022 ("Recurrent model-free RL can be a strong baseline for many POMDPs", arXiv 2110.05038)
found to matter most. Where both share one (`separate_critic = false`), the critics' loss alone trains it.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.network import NetworkConfig, NetworkState, Tower
from throughtime.core import ConfigError
from throughtime.envs import Box, Space
from throughtime.memory import Readout
from throughtime.memory.initialisers import orthogonal
from throughtime.rl import ClippedGaussian, SquashedGaussian

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


class Head(eqx.Module):
    """Feed-forward layers behind a memory."""

    layers: tuple[Readout, ...]

    def __init__(self, widths: tuple[int, ...], activation: str, gain: float, key: PRNGKeyArray):
        """Orthogonal, gain √2 inside and `gain` at the end; no activation at the end.

        Args:
            widths: of the input, of each hidden layer, of the output.
            activation: between layers.
            gain: of the last layer.
            key: for the random weights.
        """
        keys = jax.random.split(key, len(widths) - 1)
        sizes = list(zip(widths[:-1], widths[1:], keys, strict=True))
        hidden = [
            Readout(i, o, activation, initialiser=lambda *a: orthogonal(*a, gain=2**0.5), key=k)
            for i, o, k in sizes[:-1]
        ]
        i, o, k = sizes[-1]
        self.layers = (*hidden, Readout(i, o, initialiser=lambda *a: orthogonal(*a, gain=gain), key=k))

    def __call__(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch O"]:
        """All layers over any leading axes."""
        for layer in self.layers:
            x = layer(x)
        return x


class Actor(eqx.Module):
    """Memory and head of the policy."""

    tower: Tower | None  # None where it reads the critics' memory
    head: Head
    noise: float | None = eqx.field(static=True)  # of exploration; None: the head says how far to explore
    offset: float = eqx.field(static=True)  # of the head's log standard deviation, before it is mapped

    def __init__(
        self,
        input_size: int,
        size: int,
        config: NetworkConfig,
        head: tuple[int, ...],
        noise: float | None,
        key: PRNGKeyArray,
    ):
        """Builds it.

        Args:
            input_size: features of one input.
            size: A, numbers of one action.
            config: encoder and memory.
            head: widths of the layers behind the memory.
            noise: standard deviation of a deterministic actor's exploration; None for a stochastic actor.
            key: for the random weights.
        """
        key_tower, key_head = jax.random.split(key)
        tower = Tower(input_size, config, key_tower)
        self.tower = tower if config.separate_critic else None
        outputs = size if noise is not None else 2 * size
        # A small last layer: the first actions are near the middle of the range, where tanh has a slope.
        self.head = Head((tower.output_size, *head, outputs), config.activation, 0.01, key_head)
        self.noise = noise
        share = (config.initial_log_std - MIN_LOG_STD) / (MAX_LOG_STD - MIN_LOG_STD)
        self.offset = math.atanh(2.0 * min(max(share, 0.01), 0.99) - 1.0)

    def distribution(self, features: Float[Array, "*batch H"]) -> SquashedGaussian | ClippedGaussian:
        """Over actions in units where the range is [-1, 1].

        Stochastic: tanh of a normal, its log standard deviation mapped into [−5, 2] by a tanh that begins at the
        configured one. Deterministic: tanh(y), and the exploration's noise around it.
        """
        y = self.head(features)
        if self.noise is not None:
            mean = jnp.tanh(y)
            return ClippedGaussian(mean, jnp.full_like(mean, math.log(self.noise)))
        mean, log_std = jnp.split(y, 2, axis=-1)
        share = 0.5 * (jnp.tanh(log_std + self.offset) + 1.0)
        return SquashedGaussian(mean, MIN_LOG_STD + share * (MAX_LOG_STD - MIN_LOG_STD))


class TwinCritic(eqx.Module):
    """One memory and two heads: Q_1 and Q_2."""

    tower: Tower
    heads: tuple[Head, Head]

    def __init__(self, input_size: int, size: int, config: NetworkConfig, head: tuple[int, ...], key: PRNGKeyArray):
        """Builds it: see `Actor`."""
        key_tower, *keys = jax.random.split(key, 3)
        self.tower = Tower(input_size, config, key_tower)
        first, second = (Head((self.tower.output_size + size, *head, 1), config.activation, 1.0, k) for k in keys)
        self.heads = (first, second)

    def values(self, features: Float[Array, "*batch H"], action: Float[Array, "*batch A"]) -> Float[Array, "2 *batch"]:
        """Q_1 and Q_2 of actions in units where the range is [-1, 1]."""
        x = jnp.concatenate([features, action], axis=-1)
        return jnp.stack([head(x)[..., 0] for head in self.heads])


class ContinuousNetwork(eqx.Module):
    """What a policy of SAC or TD3 acts with: an `ActorCritic` whose value is that of its deterministic action."""

    policy: Actor
    twins: TwinCritic

    def __init__(
        self,
        input_size: int,
        space: Space,
        config: NetworkConfig,
        key: PRNGKeyArray,
        *,
        head: tuple[int, ...] = (64,),
        noise: float | None = None,
    ):
        """Builds both sides.

        Args:
            input_size: features of one input (observation, and previous action and reward where they are on).
            space: the action space, a bounded box `[A]`.
            config: encoder and memory, the same for both sides.
            key: for the random weights.
            head: widths of the layers behind each memory.
            noise: as for `Actor`.

        Raises:
            ConfigError: an action space that is not a bounded vector.
        """
        size = bounded_size(space)
        key_actor, key_critic = jax.random.split(key)
        self.policy = Actor(input_size, size, config, head, noise, key_actor)
        self.twins = TwinCritic(input_size, size, config, head, key_critic)

    @property
    def actor(self) -> Tower:
        """The actor's encoder and memory."""
        return self.twins.tower if self.policy.tower is None else self.policy.tower

    @property
    def critic(self) -> Tower | None:
        """The critics' encoder and memory; None where they share the actor's."""
        return None if self.policy.tower is None else self.twins.tower

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        critic = None if self.critic is None else self.critic.initial_state(batch_size)
        return NetworkState(self.actor.initial_state(batch_size), critic)

    def step(
        self, state: NetworkState, x: Float[Array, "B I"]
    ) -> tuple[NetworkState, SquashedGaussian | ClippedGaussian, Float[Array, " B"]]:
        """One time step: the next state, the action distribution and the value `[B]`."""
        actor, features = self.actor.step(state.actor, x)
        critic, critic_features = state.critic, features
        if self.critic is not None:
            critic, critic_features = self.critic.step(state.critic, x)
        return NetworkState(actor, critic), *self.heads(features, critic_features, x)

    def unroll(
        self,
        state: NetworkState,
        xs: Float[Array, "T B I"],
        resets: Bool[Array, "T B"],
        taps: NetworkState | None = None,
    ) -> tuple[NetworkState, SquashedGaussian | ClippedGaussian, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the values `[T, B]`."""
        actor_taps, critic_taps = (None, None) if taps is None else taps
        actor, features = self.actor.unroll(state.actor, xs, resets, actor_taps)
        critic, critic_features = state.critic, features
        if self.critic is not None:
            critic, critic_features = self.critic.unroll(state.critic, xs, resets, critic_taps)
        return NetworkState(actor, critic), *self.heads(features, critic_features, xs)

    def heads(
        self,
        features: Float[Array, "*batch H"],
        critic_features: Float[Array, "*batch H"],
        xs: Float[Array, "*batch I"],
    ) -> tuple[SquashedGaussian | ClippedGaussian, Float[Array, "*batch"]]:
        """Distributions, and the smaller of both critics' values of their deterministic actions; `xs` is not read."""
        del xs
        distribution = self.policy.distribution(features)
        return distribution, jnp.min(self.twins.values(critic_features, distribution.mode()), axis=0)


def bounded_size(space: Space) -> int:
    """Numbers of one continuous action.

    Raises:
        ConfigError: discrete actions, or an action that is no bounded vector.
    """
    if not isinstance(space, Box):
        raise ConfigError(
            "SAC and TD3 choose continuous actions; those of this environment are discrete.",
            "Their actors follow the gradient of Q with respect to the action.",
            "Train PPO on it, or a Q-learner.",
        )
    if len(space.shape) != 1:
        raise ConfigError(
            f"An action space of shape {space.shape} has no policy head.",
            "Continuous actions are vectors [A].",
            "Flatten the action in the environment.",
        )
    return space.shape[0]
