"""Actions as numbers that a network reads, and actions drawn at random."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.envs import Box, Discrete, MultiDiscrete, Space


def action_width(space: Space) -> int:
    """A, how many numbers `action_features` gives."""
    if isinstance(space, Discrete):
        return space.n
    return sum(space.sizes) if isinstance(space, MultiDiscrete) else math.prod(space.shape)


def action_features(space: Space, actions: Array) -> Float[Array, "*batch A"]:
    """Actions as numbers: one-hot where they are discrete, else in units of their range."""
    if isinstance(space, Box):
        flat = actions.reshape(*actions.shape[: actions.ndim - len(space.shape)], -1)
        return (flat - 0.5 * (space.high + space.low)) / (0.5 * (space.high - space.low))
    if isinstance(space, Discrete):
        return jax.nn.one_hot(actions, space.n, dtype=jnp.float32)
    parts = [jax.nn.one_hot(actions[..., k], n, dtype=jnp.float32) for k, n in enumerate(space.sizes)]
    return jnp.concatenate(parts, axis=-1)


def random_actions(space: Space, key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """Actions drawn uniformly over the space, as an environment takes them, `[*shape, ...]`."""
    if isinstance(space, Box):
        return jax.random.uniform(key, (*shape, *space.shape), jnp.float32, space.low, space.high)
    counts = jnp.asarray(space.n if isinstance(space, Discrete) else space.sizes, jnp.int32)
    counts = jnp.broadcast_to(counts, (*shape, *space.shape))
    return jax.random.randint(key, counts.shape, 0, counts)
