"""Action values with memory: encoder → memory → Q-values, with or without duelling streams."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.action_mask import ActionMask
from throughtime.agents.network import NetworkConfig, NetworkState, Tower
from throughtime.core import ConfigError
from throughtime.envs import Discrete, Space
from throughtime.memory import Readout, per_row
from throughtime.memory.initialisers import orthogonal
from throughtime.rl import Categorical, forbid, unscale


class QHead(eqx.Module):
    """Q-values of features; duelling: Q = V + A − mean A.

    Reference: Wang et al. 2016, "Dueling network architectures for deep reinforcement learning" (arXiv 1511.06581),
    equation 9.
    """

    advantage: tuple[Readout, ...]
    value: tuple[Readout, ...] | None

    def __init__(self, input_size: int, actions: int, hidden: int, duelling: bool, key: PRNGKeyArray):
        """Builds the streams.

        Args:
            input_size: features (H).
            actions: A.
            hidden: units of the ReLU layer in each stream; 0 for none.
            duelling: whether the value has a stream of its own.
            key: for the random weights.
        """
        keys = jax.random.split(key, 4)
        self.advantage = _stream(input_size, hidden, actions, keys[:2])
        self.value = _stream(input_size, hidden, 1, keys[2:]) if duelling else None

    def __call__(self, features: Float[Array, "*batch H"]) -> Float[Array, "*batch A"]:
        """Q-values, as the network states them (see `QNetwork.rescaled`)."""
        q = _through(self.advantage, features)
        if self.value is None:
            return q
        return _through(self.value, features) + q - jnp.mean(q, axis=-1, keepdims=True)


class QNetwork(eqx.Module):
    """Encoder → memory → Q-values, as a policy's network.

    Its action distribution is softmax(Q / τ): the most probable action is the greedy one, and what the tools that look
    at policies need (probabilities, gradients) is there. Training explores ε-greedily instead.
    """

    actor: Tower
    head: QHead
    temperature: float = eqx.field(static=True)
    rescaled: bool = eqx.field(static=True)  # Q-values are stated as h(Q), see `rl.rescale`
    mask: ActionMask | None = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        space: Space,
        config: NetworkConfig,
        key: PRNGKeyArray,
        *,
        hidden: int,
        duelling: bool,
        temperature: float,
        rescaled: bool,
        mask: ActionMask | None = None,
    ):
        """Builds the network.

        Args:
            input_size: features of one input (observation, and previous action and reward where they are on).
            space: the action space.
            config: encoder and memory.
            key: for the random weights.
            hidden: of `QHead`.
            duelling: of `QHead`.
            temperature: τ.
            rescaled: whether Q-values are stated as h(Q).
            mask: where the inputs say which actions are allowed; None allows all.

        Raises:
            ConfigError: actions that cannot be counted, or settings that an action-value network does not have.
        """
        if not isinstance(space, Discrete):
            raise ConfigError(
                f"An action space {space} has no Q-head.",
                "Every action gets a value of its own, and the greatest is looked for among them.",
                "Take --algo ppo, or an environment of discrete actions.",
            )
        if config.separate_critic:
            raise ConfigError("separate_critic = true beside action values.", "There is one network.", "Leave it out.")
        if config.initial_log_std != NetworkConfig.initial_log_std:
            raise ConfigError(
                f"initial_log_std = {config.initial_log_std} beside action values.",
                "It is the width of a normal distribution, and there is none.",
                "Leave it out.",
            )
        key_actor, key_head = jax.random.split(key, 2)
        self.actor = Tower(input_size, config, key_actor)
        self.head = QHead(self.actor.output_size, space.n, hidden, duelling, key_head)
        self.temperature, self.rescaled, self.mask = temperature, rescaled, mask

    @property
    def critic(self) -> None:
        """None: there is one tower."""
        return None

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        return NetworkState(self.actor.initial_state(batch_size), None)

    def step(self, state: NetworkState, x: Float[Array, "B I"]) -> tuple[NetworkState, Categorical, Float[Array, " B"]]:
        """One time step: the next state, softmax(Q / τ) and the greedy value max Q `[B]`."""
        actor, features = self.actor.step(state.actor, x)
        return NetworkState(actor, None), *self.said(self._restricted(self.head(features), x))

    def unroll(
        self,
        state: NetworkState,
        xs: Float[Array, "T B I"],
        resets: Bool[Array, "T B"],
        taps: NetworkState | None = None,
    ) -> tuple[NetworkState, Categorical, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the greedy values `[T, B]`."""
        actor, features = self.actor.unroll(state.actor, xs, resets, None if taps is None else taps.actor)
        return NetworkState(actor, None), *self.said(self.q_values(features, xs))

    def heads(
        self, features: Float[Array, "T B H"], critic_features: Float[Array, "T B H"], xs: Float[Array, "T B I"]
    ) -> tuple[Categorical, Float[Array, "T B"]]:
        """The distributions and the greedy values from what the tower put out; `critic_features` is not read."""
        del critic_features
        return self.said(self.q_values(features, xs))

    def unroll_q(
        self, state: NetworkState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
    ) -> tuple[NetworkState, Float[Array, "T B A"]]:
        """All time steps: the last state and the Q-values as the network states them."""
        actor, features = self.actor.unroll(state.actor, xs, resets)
        return NetworkState(actor, None), self.q_values(features, xs)

    def q_values(self, features: Float[Array, "T B H"], xs: Float[Array, "T B I"]) -> Float[Array, "T B A"]:
        """Q-values from what the tower put out of `xs`, as the network states them.

        Those of forbidden actions are `rl.masks.FORBIDDEN`: no maximum falls on them.
        """
        # per_row keeps a NaN in a row that the loss leaves out out of the gradient, as the memory itself does.
        return self._restricted(per_row((self.head, features), QHead.__call__), xs)

    def said(self, q: Float[Array, "*batch A"]) -> tuple[Categorical, Float[Array, "*batch"]]:
        """softmax(Q / τ), and max Q as a return."""
        greedy = jnp.max(q, axis=-1)
        return Categorical(q / self.temperature), unscale(greedy) if self.rescaled else greedy

    def _restricted(self, q: Float[Array, "*batch A"], xs: Float[Array, "*batch I"]) -> Float[Array, "*batch A"]:
        return q if self.mask is None else forbid(q, self.mask.allowed(xs))


def _stream(input_size: int, hidden: int, output_size: int, keys: Any) -> tuple[Readout, ...]:
    def small(*arguments: Any) -> Array:  # Q begins near 0: no action looks better by chance
        return orthogonal(*arguments, gain=0.01)

    if not hidden:
        return (Readout(input_size, output_size, initialiser=small, key=keys[1]),)
    first = Readout(input_size, hidden, "relu", initialiser=lambda *a: orthogonal(*a, gain=2**0.5), key=keys[0])
    return first, Readout(hidden, output_size, initialiser=small, key=keys[1])


def _through(stream: tuple[Readout, ...], x: Float[Array, "*batch H"]) -> Float[Array, "*batch O"]:
    for layer in stream:
        x = layer(x)
    return x
