"""The policy a user acts with: its memory state lies in the caller's hands."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents.action_mask import ActionMask, mask_of
from throughtime.agents.instructed import network_for
from throughtime.agents.network import (
    Network,
    NetworkBuilder,
    NetworkConfig,
    NetworkState,
    one_hot_action,
)
from throughtime.core import ConfigError, select_rows
from throughtime.envs import Box, Discrete, Environment, MultiDiscrete, Space
from throughtime.rl import Categorical, DiagonalGaussian, Moments, MultiCategorical, action_width


class PolicyState(NamedTuple):
    """What a policy carries from step to step, `[B, ...]`. Never share it between episodes without a reset."""

    network: NetworkState
    previous_action: Array | None  # as drawn; None where the policy does not read it


class Policy(eqx.Module):
    """Network, observation normaliser and action bounds: all that is needed to act."""

    network: Network
    observation_moments: Moments | None
    action_space: Space = eqx.field(static=True)
    observation_shape: tuple[int, ...] = eqx.field(static=True)
    as_they_are: int = eqx.field(static=True)  # numbers before those that are normalised: the words of an instruction
    mask: ActionMask | None = eqx.field(static=True)  # where observations say which actions are allowed
    reads_previous_action: bool = eqx.field(static=True)
    reads_previous_reward: bool = eqx.field(static=True)

    def __init__(self, env: Environment, config: NetworkConfig, key: PRNGKeyArray, build: NetworkBuilder | None = None):
        """A fresh policy for `env`.

        Args:
            env: gives the observation and action spaces.
            config: the network.
            key: for the random weights.
            build: makes the network of (input size, action space, config, key); None for an actor-critic.

        Raises:
            ConfigError: a mask of actions that does not fit the environment's spaces, or what `build` refuses.
        """
        self.mask = mask_of(env)
        self.action_space, self.observation_shape = env.action_space, env.observation_space.shape
        self.reads_previous_action = config.previous_action
        self.reads_previous_reward = config.previous_reward
        size = 1
        for n in self.observation_shape:
            size *= n
        layout = env.instruction_layout
        self.as_they_are = 0 if layout is None else layout.words * layout.vocabulary
        seen = (size if self.mask is None else self.mask.start) - self.as_they_are
        self.observation_moments = Moments.create((seen,)) if config.normalise_observations else None
        if config.previous_action:
            size += action_width(self.action_space)
        size += config.previous_reward
        masked = {} if self.mask is None else {"mask": self.mask}
        self.network = (build or network_for(env))(size, self.action_space, config, key, **masked)

    def initial_state(self, batch_size: int) -> PolicyState:
        """The state before an episode's first observation, for `batch_size` episodes at once."""
        previous = self.no_action(batch_size) if self.reads_previous_action else None
        return PolicyState(self.network.initial_state(batch_size), previous)

    def act(
        self,
        state: Any,
        observation: Any,
        reset: Any,
        *,
        reward: Any = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PolicyState, Array]:
        """One action for each of B episodes.

        Args:
            state: as `initial_state` or the last call returned it.
            observation: `[B, ...]`.
            reset: `[B]`; true where `observation` is the first of an episode: the state is replaced before it is read.
            reward: `[B]`, of the step before; needed by a policy with `previous_reward`.
            key: draws the action; None takes the most probable one.

        Returns:
            The next state and the actions, as the environment takes them: int32 `[B]` (of several side by side
            `[B, K]`), or float32 `[B, A]` within bounds.

        Raises:
            ConfigError: shapes that do not belong together, or a missing reward.
        """
        if not isinstance(state, PolicyState):
            raise ConfigError(
                f"The state is a {type(state).__name__}.",
                "act takes the state first, then the observation.",
                "Begin with state = policy.initial_state(batch_size).",
            )
        observation, reset = jnp.asarray(observation), jnp.asarray(reset, bool)
        reward = None if reward is None else jnp.asarray(reward, jnp.float32)
        self._check(state, observation, reset, reward)
        return self._act(state, observation.astype(jnp.float32), reset, reward, key)

    @eqx.filter_jit
    def _act(
        self,
        state: PolicyState,
        observation: Array,
        reset: Bool[Array, " B"],
        reward: Float[Array, " B"] | None,
        key: PRNGKeyArray | None,
    ) -> tuple[PolicyState, Array]:
        state = self.reset_where(reset, state)
        x = self.inputs(state, observation, reset, reward)
        network, distribution, _ = self.network.step(state.network, x)
        action = distribution.mode() if key is None else distribution.sample(self.noise(key, reset.shape))
        return self.remember(network, action), self.to_environment(action)

    def _check(self, state: Any, observation: Array, reset: Array, reward: Array | None) -> None:
        """Shapes only: what does not fit would otherwise be broadcast, or fail deep inside."""
        if observation.ndim < 1 or observation.shape[1:] != self.observation_shape:
            raise ConfigError(
                f"The observation has shape {observation.shape}.",
                f"A batch of observations has shape (B, {', '.join(map(str, self.observation_shape))}).",
                "For a single one, add the batch axis: obs[None].",
            )
        B = observation.shape[0]
        rows = {leaf.shape[0] for leaf in jax.tree.leaves(state)} or {B}
        shapes = [reset.shape] if reward is None else [reset.shape, reward.shape]
        if rows != {B} or any(shape != (B,) for shape in shapes):
            raise ConfigError(
                f"There are {B} observations, a state for {rows.pop()} episodes, a reset of shape {reset.shape}"
                + ("." if reward is None else f", a reward of shape {reward.shape}."),
                "Each episode of a batch has its own.",
                f"Give initial_state({B}) and one value of reset (and reward) for each.",
            )

    def reset_where(self, reset: Bool[Array, " B"], state: PolicyState) -> PolicyState:
        """`initial_state` in the rows where `reset` holds."""
        return select_rows(reset, self.initial_state(reset.shape[0]), state)

    def inputs(
        self,
        state: PolicyState,
        observation: Float[Array, "B *shape"],
        reset: Bool[Array, " B"],
        reward: Float[Array, " B"] | None,
    ) -> Float[Array, "B I"]:
        """The network's input: normalised observation, then previous action and reward where they are on.

        An action mask at the end of the observation stays as it is, and so do an instruction's words at its beginning:
        zeros there mean that nothing is said.
        The first input of an episode has neither: its previous action is a vector of zeros, its previous reward zero.
        """
        x = observation.reshape(observation.shape[0], -1)
        parts = [x]
        if self.observation_moments is not None:
            seen = self._normalised
            parts = [x[:, : seen.start], self.observation_moments.standardise(x[:, seen]), x[:, seen.stop :]]
        if state.previous_action is not None:
            before = state.previous_action
            space = self.action_space
            parts.append(before if isinstance(space, Box) else one_hot_action(space, before, x.dtype))
        if self.reads_previous_reward:
            if reward is None:
                raise ConfigError(
                    "This policy reads the previous reward, and none was given.",
                    "It was trained with previous_reward = true.",
                    "Pass reward=[...] (zeros at an episode's first step) to act.",
                )
            parts.append(jnp.where(reset, 0.0, reward)[:, None])
        return jnp.concatenate(parts, axis=1) if len(parts) > 1 else x

    def remember(self, network: NetworkState, action: Array) -> PolicyState:
        """The state after `action` was chosen."""
        return PolicyState(network, action if self.reads_previous_action else None)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
        """The noise that `Distribution.sample` takes, for `shape` actions."""
        if isinstance(self.action_space, Discrete):
            return Categorical.noise(key, shape, self.action_space.n)
        if isinstance(self.action_space, MultiDiscrete):
            return MultiCategorical.noise(key, shape, len(self.action_space.sizes))
        return DiagonalGaussian.noise(key, shape, self.action_space.shape[0])

    def to_environment(self, action: Array) -> Array:
        """An action as drawn → as the environment takes it.

        Continuous actions are drawn in units where the range is [-1, 1]; they are clipped to it and mapped to the
        bounds. The log-probability stays that of the action as drawn.
        """
        space = self.action_space
        if isinstance(space, Box):
            middle, half = 0.5 * (space.high + space.low), 0.5 * (space.high - space.low)
            action = middle + half * jnp.clip(action, -1.0, 1.0)
        return action

    def observe(self, observations: Float[Array, "T B *shape"]) -> "Policy":
        """This policy with its observation normaliser moved on by a rollout's observations."""
        if self.observation_moments is None:
            return self
        flat = observations.reshape(*observations.shape[:2], -1)[..., self._normalised]
        return eqx.tree_at(lambda p: p.observation_moments, self, self.observation_moments.update(flat))

    @property
    def _normalised(self) -> slice:
        """The numbers of a flat observation that are normalised."""
        assert self.observation_moments is not None
        return slice(self.as_they_are, self.as_they_are + self.observation_moments.mean.size)

    def no_action(self, batch_size: int) -> Array:
        """The previous action at an episode's first step, which a network reads as zeros."""
        if not isinstance(self.action_space, Box):  # one_hot(-1) is a vector of zeros
            return jnp.full((batch_size, *self.action_space.shape), -1, jnp.int32)
        return jnp.zeros((batch_size, *self.action_space.shape))
