"""Complete episodes side by side, and what a return predictor reads of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from throughtime.core import ConfigError, pad_right
from throughtime.envs import Box, Discrete, Environment, MultiDiscrete, Space

Act = Callable[[PRNGKeyArray, Array, PyTree, Array], Array]
"""(key, observations `[N, ...]`, environment states, time `[]`) → actions of N episodes."""


class Episodes(NamedTuple):
    """N complete episodes, padded to T steps; what lies behind an episode's end may be anything, even NaN.

    A length of 0 is an empty column: no episode, passed over everywhere.
    """

    observations: Float[Array, "T1 N F"]  # obs_0 … obs_L, flat; T1 = T + 1
    actions: Float[Array, "T N A"]  # as `action_features` gives them
    rewards: Float[Array, "T N"]
    lengths: Int[Array, " N"]  # L, steps of each, 0 … T

    @property
    def inside(self) -> Bool[Array, "T N"]:
        """Which steps belong to the episode."""
        return jnp.arange(self.rewards.shape[0], dtype=jnp.int32)[:, None] < self.lengths[None]

    @property
    def returns(self) -> Float[Array, " N"]:
        """The sum of each episode's rewards."""
        return jnp.sum(jnp.where(self.inside, self.rewards, 0.0), axis=0)


def differences(episodes: Episodes) -> Float[Array, "T1 N I"]:
    """What the predictor reads: [obs_t − obs_{t−1}, a_t], I = F + A; zeros behind the end.

    At t = 0 it is the observation itself, so that the sum of all differences up to t is obs_t; at t = L, where nothing
    is done any more, the action is zero. A predictor of differences cannot read a total off one step: it has to add
    up what happened, and so assigns a change of the return to the step that changed it (Arjona-Medina et al. 2019,
    section 3 and supplement S4.2).
    """
    seen = jnp.arange(episodes.observations.shape[0], dtype=jnp.int32)[:, None] <= episodes.lengths[None]
    observations = jnp.where(seen[..., None], episodes.observations, 0.0)
    changes = observations - jnp.concatenate([jnp.zeros_like(observations[:1]), observations[:-1]])
    changes = jnp.where(seen[..., None], changes, 0.0)
    actions = jnp.where(episodes.inside[..., None], episodes.actions, 0.0)
    actions = jnp.concatenate([actions, jnp.zeros_like(actions[:1])])
    return jnp.concatenate([changes, actions], axis=-1)


def paid(episodes: Episodes) -> Float[Array, "T1 N"]:
    """Σ_{k<t} r_k at t = 0 … T: what was paid before obs_t was seen; the return from the end on."""
    rewards = jnp.where(episodes.inside, episodes.rewards, 0.0)
    return jnp.concatenate([jnp.zeros_like(rewards[:1]), jnp.cumsum(rewards, axis=0)])


def action_width(space: Space) -> int:
    """A, how many numbers `action_features` gives."""
    if isinstance(space, Discrete):
        return space.n
    return sum(space.sizes) if isinstance(space, MultiDiscrete) else max(1, jnp.zeros(space.shape).size)


def action_features(space: Space, actions: Array) -> Float[Array, "*batch A"]:
    """Actions as numbers: one-hot where they are discrete, else in units of their range."""
    if isinstance(space, Box):
        flat = actions.reshape(*actions.shape[: actions.ndim - len(space.shape)], -1)
        return (flat - 0.5 * (space.high + space.low)) / (0.5 * (space.high - space.low))
    if isinstance(space, Discrete):
        return jax.nn.one_hot(actions, space.n, dtype=jnp.float32)
    parts = [jax.nn.one_hot(actions[..., k], n, dtype=jnp.float32) for k, n in enumerate(space.sizes)]
    return jnp.concatenate(parts, axis=-1)


def play_episodes(env: Environment, act: Act, count: int, key: PRNGKeyArray) -> tuple[Episodes, PyTree, Array]:
    """Plays `count` episodes side by side from their first step to their end.

    Args:
        env: one with a longest episode (`max_episode_steps`).
        act: the policy.
        count: N.
        key: for everything.

    Returns:
        The episodes, the environment's states at obs_0 … obs_T (leaves `[T + 1, N, ...]`; behind an episode's end its
        last one) and the actions as the environment took them, `[T, N, ...]`.

    Raises:
        ConfigError: an environment whose episodes have no end.
    """
    T = env.max_episode_steps
    if T is None:
        raise ConfigError(
            f"{env.name} has no longest episode.",
            "A return is redistributed over a complete episode.",
            "Give it a time limit.",
        )
    params = env.default_params
    key_start, key_steps = jax.random.split(key)
    obs, state = jax.vmap(env.reset_env, in_axes=(0, None))(jax.random.split(key_start, count), params)

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        obs, state, running = carry
        key, time = inputs
        key_act, key_env = jax.random.split(key)
        actions = act(key_act, obs, state, time)
        keys = jax.random.split(key_env, count)
        after = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(keys, state, actions, params)
        next_obs, next_state, reward, terminated, _ = after
        ended = terminated | jax.vmap(env.is_truncated, in_axes=(0, None))(next_state, params)
        hold = lambda new, old: jnp.where(pad_right(running, new.ndim), new, old)  # noqa: E731
        next_obs, next_state = jax.tree.map(hold, (next_obs, next_state), (obs, state))
        row = (next_obs, next_state, actions, jnp.where(running, reward, 0.0), running)
        return (next_obs, next_state, running & ~ended), row

    steps = (jax.random.split(key_steps, T), jnp.arange(T, dtype=jnp.int32))
    _, (later, states, actions, rewards, ran) = jax.lax.scan(body, (obs, state, jnp.ones(count, bool)), steps)
    observations, states = jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]), (obs, state), (later, states)
    )
    episodes = Episodes(
        observations.reshape(T + 1, count, -1),
        action_features(env.action_space, actions),
        rewards,
        jnp.sum(ran, axis=0, dtype=jnp.int32),
    )
    return episodes, states, actions
