"""A world model behind the face of a policy's network: it reads what happens, and acts at random."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.agents.network import NetworkState
from throughtime.core import select_rows
from throughtime.envs import Box, Discrete, Space
from throughtime.rl import ActionDistribution, Categorical, DiagonalGaussian, MultiCategorical
from throughtime.world import LearnedModel
from throughtime.world.planning.planner import within_bounds


class Read(NamedTuple):
    """What the model has made of everything so far, leaves `[B, ...]`."""

    model: Any
    fresh: Bool[Array, " B"]  # nothing was read yet


class WorldNetwork(eqx.Module):
    """Keeps a model's state along episodes. Its action distribution is uniform (normal where actions are continuous).

    Its value is 0: it strives for nothing.
    """

    model: LearnedModel

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        return NetworkState(Read(self.model.start(batch_size), jnp.ones(batch_size, bool)), None)

    def step(
        self, state: NetworkState, x: Float[Array, "B I"]
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, " B"]]:
        """Reads the observation and the previous action; see the class for what comes of it."""
        observation, encoded = jnp.split(x, [self.model.observation_size], axis=1)
        read: Read = state.actor
        after = self.model.observe(
            read.model, decode_actions(self.model.action_space, encoded), observation, read.fresh
        )
        B = x.shape[0]
        return NetworkState(Read(after, jnp.zeros(B, bool)), None), self._random(B), jnp.zeros(B)

    def unroll(
        self, state: NetworkState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: None = None
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the values `[T, B]`."""
        del taps
        return unroll_steps(self, state, xs, resets)

    def _random(self, batch_size: int) -> ActionDistribution:
        space = self.model.action_space
        if isinstance(space, Discrete):
            return Categorical(jnp.zeros((batch_size, space.n)))
        if isinstance(space, Box):
            zeros = jnp.zeros((batch_size, *space.shape))
            return DiagonalGaussian(zeros, zeros)
        return MultiCategorical(jnp.zeros((batch_size, sum(space.sizes))), space.sizes)


def unroll_steps(
    network: Any, state: NetworkState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
) -> tuple[NetworkState, ActionDistribution, Float[Array, "T B"]]:
    """`unroll` of a network that has `initial_state` and `step`: one step after the other, begun anew at resets."""

    def one(state: NetworkState, inputs: Any) -> tuple[NetworkState, Any]:
        x, reset = inputs
        state = select_rows(reset, network.initial_state(x.shape[0]), state)
        state, *said = network.step(state, x)
        return state, said

    state, (distribution, value) = jax.lax.scan(one, state, (xs, resets))
    return state, distribution, value


def decode_actions(space: Space, encoded: Float[Array, "B A"]) -> Array:
    """Previous actions as a policy's input has them → as the environment takes them."""
    if isinstance(space, Box):
        return within_bounds(space, encoded)
    if isinstance(space, Discrete):
        return jnp.argmax(encoded, axis=1).astype(jnp.int32)
    ends = [sum(space.sizes[:k]) for k in range(1, len(space.sizes))]
    parts = jnp.split(encoded, ends, axis=1)
    return jnp.stack([jnp.argmax(part, axis=1) for part in parts], axis=1).astype(jnp.int32)
