"""Actor and critic with memory: encoder → memory → heads, on one memory or on two."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.action_mask import ActionMask
from throughtime.core import ConfigError
from throughtime.envs import Box, Discrete, MultiDiscrete, Space
from throughtime.memory import Memory, Readout, check_memory, make_memory, per_row
from throughtime.memory.initialisers import orthogonal
from throughtime.rl import ActionDistribution, Categorical, DiagonalGaussian, MultiCategorical, action_width


@dataclass(frozen=True)
class NetworkConfig:
    """The policy's network: encoder → memory → heads."""

    memory: str = "gru"
    """The recurrence: elman, jordan, lstm, gru, tdnn, or none for a memoryless policy."""
    hidden_size: int = 64
    """Hidden units of each memory layer."""
    num_layers: int = 1
    """Memory layers on top of each other."""
    residual: bool = False
    """Adds each memory layer's input to its output (layers of one width)."""
    memory_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the memory itself, over the tuned ones; `throughtime memories` lists them. At the command line NAME
    VALUE pairs: chrono 100 for gru and lstm, taps 8 for tdnn."""
    encoder: tuple[int, ...] = (64,)
    """Widths of the feed-forward layers before the memory; empty for none."""
    activation: str = "tanh"
    """Of the encoder: tanh or relu."""
    separate_critic: bool = False
    """Gives the critic an encoder and a memory of its own."""
    previous_action: bool = False
    """Feeds the last action back as an input (one-hot, or its values)."""
    previous_reward: bool = False
    """Feeds the last reward back as an input."""
    normalise_observations: bool = False
    """Standardises observations by their running mean and variance."""
    initial_log_std: float = 0.0
    """Log standard deviation of continuous actions at the start, in units where the action range is [-1, 1]."""


class Tower(Memory):
    """Feed-forward layers before a memory: itself a Memory, whose projection runs over all time steps at once."""

    encoder: tuple[Readout, ...]
    memory: Memory
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, config: NetworkConfig, key: PRNGKeyArray):
        """Builds the encoder (orthogonal, gain √2) and the memory of `config` for inputs `[B, input_size]`."""
        self.encoder, self.memory = encoder_and_memory(input_size, config, key)
        self.input_size, self.output_size = input_size, self.memory.output_size

    def _encode(self, x: Float[Array, "*batch I"]) -> Float[Array, "*batch E"]:
        for layer in self.encoder:
            x = layer(x)
        return x

    def initial_state(self, batch_size: int) -> Any:
        """The memory's."""
        return self.memory.initial_state(batch_size)

    def project(self, x: Float[Array, "*batch I"]) -> Any:
        """Encoder, then the memory's own projection."""
        return self.memory.project(self._encode(x))

    def advance(self, state: Any, projected: Any) -> tuple[Any, Any]:
        """The memory's."""
        return self.memory.advance(state, projected)

    def read_out(self, hidden: Any) -> Float[Array, "*batch H"]:
        """The memory's."""
        return self.memory.read_out(hidden)

    def gate_activations(self, state: Any, projected: Any) -> dict[str, Float[Array, "B H"]]:
        """The memory's."""
        return self.memory.gate_activations(state, projected)

    def unroll(
        self, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[Any, Float[Array, "T B H"]]:
        """The encoder over all steps at once, then the memory's own unroll."""
        # per_row keeps a NaN in padding out of the gradient, as the memory itself does.
        return self.memory.unroll(state, per_row((self, xs), Tower._encode), resets, taps)


def encoder_and_memory(input_size: int, config: NetworkConfig, key: PRNGKeyArray) -> tuple[tuple[Readout, ...], Memory]:
    """What a tower is made of: feed-forward layers (orthogonal, gain √2), and the memory behind them."""
    *keys, key_memory = jax.random.split(key, len(config.encoder) + 1)
    widths = (input_size, *config.encoder)
    encoder = tuple(
        Readout(i, o, config.activation, initialiser=lambda *a: orthogonal(*a, gain=2**0.5), key=k)
        for i, o, k in zip(widths[:-1], widths[1:], keys, strict=True)
    )
    options: dict[str, Any] = dict(config.memory_options)
    check_memory(config.memory, **options)  # first: no option may pose as one of make_memory's own arguments
    memory = make_memory(
        config.memory,
        widths[-1],
        config.hidden_size,
        num_layers=config.num_layers,
        residual=config.residual,
        key=key_memory,
        **options,
    )
    return encoder, memory


class PolicyHead(eqx.Module):
    """A linear map to the parameters of the action distribution."""

    linear: Readout
    log_std: Float[Array, " A"] | None
    sizes: tuple[int, ...] | None = eqx.field(static=True)  # of several discrete actions side by side

    def __init__(self, input_size: int, space: Space, initial_log_std: float, key: PRNGKeyArray):
        """Orthogonal with gain 0.01: the first policy is close to uniform, so that it explores."""
        size = _box_size(space) if isinstance(space, Box) else action_width(space)
        self.linear = Readout(input_size, size, initialiser=lambda *a: orthogonal(*a, gain=0.01), key=key)
        self.log_std = jnp.full(size, initial_log_std) if isinstance(space, Box) else None
        self.sizes = space.sizes if isinstance(space, MultiDiscrete) else None

    def __call__(self, features: Float[Array, "*batch H"]) -> ActionDistribution:
        """The distribution over actions."""
        y = self.linear(features)
        if self.sizes is not None:
            return MultiCategorical(y, self.sizes)
        if self.log_std is None:
            return Categorical(y)
        return DiagonalGaussian(y, jnp.broadcast_to(self.log_std, y.shape))


class NetworkState(NamedTuple):
    """What the network remembers; `critic` is None where actor and critic share their memory."""

    actor: Any
    critic: Any


@runtime_checkable
class Network(Protocol):
    """What a policy acts with: an Equinox module with a memory, whatever its heads are."""

    @property
    def actor(self) -> Tower:
        """Encoder and memory of what chooses actions."""
        ...

    @property
    def critic(self) -> Tower | None:
        """Encoder and memory of what values them; None where it is the actor's."""
        ...

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        ...

    def step(
        self, state: NetworkState, x: Float[Array, "B I"]
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, " B"]]:
        """One time step: the next state, the action distribution and the value `[B]`."""
        ...

    def unroll(
        self,
        state: NetworkState,
        xs: Float[Array, "T B I"],
        resets: Bool[Array, "T B"],
        taps: NetworkState | None = None,
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the values `[T, B]`."""
        ...

    def heads(
        self, features: Float[Array, "T B H"], critic_features: Float[Array, "T B H"], xs: Float[Array, "T B I"]
    ) -> tuple[ActionDistribution, Float[Array, "T B"]]:
        """Distributions and values from what the towers put out (one tower: the same twice) of the inputs `xs`."""
        ...


class ActorCritic(eqx.Module):
    """Encoder → memory → heads. One tower for both, or one each."""

    actor: Tower
    critic: Tower | None
    policy_head: PolicyHead
    value_head: Readout
    mask: ActionMask | None = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        space: Space,
        config: NetworkConfig,
        key: PRNGKeyArray,
        *,
        mask: ActionMask | None = None,
        tower: Callable[[int, NetworkConfig, PRNGKeyArray], Tower] = Tower,
    ):
        """Builds the network.

        Args:
            input_size: features of one input (observation, and previous action and reward where they are on).
            space: the action space.
            config: widths and kinds.
            key: for the random weights.
            tower: builds a tower.
            mask: where the inputs say which actions are allowed; None allows all.
        """
        self.mask = mask
        key_actor, key_critic, key_policy, key_value = jax.random.split(key, 4)
        self.actor = tower(input_size, config, key_actor)
        self.critic = tower(input_size, config, key_critic) if config.separate_critic else None
        width = self.actor.output_size
        self.policy_head = PolicyHead(width, space, config.initial_log_std, key_policy)
        self.value_head = Readout(width, 1, initialiser=orthogonal, key=key_value)

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        critic = None if self.critic is None else self.critic.initial_state(batch_size)
        return NetworkState(self.actor.initial_state(batch_size), critic)

    def step(
        self, state: NetworkState, x: Float[Array, "B I"]
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, " B"]]:
        """One time step: the next state, the action distribution and the value `[B]`."""
        actor, features = self.actor.step(state.actor, x)
        critic, critic_features = state.critic, features
        if self.critic is not None:
            critic, critic_features = self.critic.step(state.critic, x)
        distribution = self._restricted(self.policy_head(features), x)
        return NetworkState(actor, critic), distribution, self.value_head(critic_features)[..., 0]

    def unroll(
        self,
        state: NetworkState,
        xs: Float[Array, "T B I"],
        resets: Bool[Array, "T B"],
        taps: NetworkState | None = None,
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the values `[T, B]`."""
        actor_taps, critic_taps = (None, None) if taps is None else taps
        actor, features = self.actor.unroll(state.actor, xs, resets, actor_taps)
        critic, critic_features = state.critic, features
        if self.critic is not None:
            critic, critic_features = self.critic.unroll(state.critic, xs, resets, critic_taps)
        return NetworkState(actor, critic), *self.heads(features, critic_features, xs)

    def heads(
        self, features: Float[Array, "T B H"], critic_features: Float[Array, "T B H"], xs: Float[Array, "T B I"]
    ) -> tuple[ActionDistribution, Float[Array, "T B"]]:
        """Distributions and values from what the towers put out (one tower: the same twice) of the inputs `xs`."""
        # per_row keeps a NaN in a row that the loss leaves out out of the gradient, as the memory itself does.
        distribution = per_row((self.policy_head, features), PolicyHead.__call__)
        values = per_row((self.value_head, critic_features), Readout.__call__)
        return self._restricted(distribution, xs), values[..., 0]

    def _restricted(self, distribution: Any, xs: Float[Array, "*batch I"]) -> Any:
        return distribution if self.mask is None else distribution.restricted(self.mask.allowed(xs))


NetworkBuilder = Callable[..., Network]
"""Makes a network of its input size, the action space, the settings and a key, and `mask=` where actions have one."""


def one_hot_action(
    space: Discrete | MultiDiscrete, action: Array, dtype: Any = jnp.float32
) -> Float[Array, "*batch A"]:
    """Discrete actions as a network reads them; −1 is a vector of zeros."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.n, dtype=dtype)
    parts = [jax.nn.one_hot(action[..., k], n, dtype=dtype) for k, n in enumerate(space.sizes)]
    return jnp.concatenate(parts, axis=-1)


def _box_size(space: Box) -> int:
    if len(space.shape) != 1:
        raise ConfigError(
            f"An action space of shape {space.shape} has no policy head.",
            "Continuous actions are vectors [A].",
            "Flatten the action in the environment.",
        )
    if not (math.isfinite(space.low) and math.isfinite(space.high)):
        raise ConfigError(
            f"The action space has the bounds {space.low} and {space.high}.",
            "Actions are drawn in [-1, 1] and mapped to the bounds.",
            "Give the environment's actions finite bounds.",
        )
    return space.shape[0]
