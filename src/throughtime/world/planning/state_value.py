"""The value of model states, learned by fitted value iteration in the model's own imagination.

A search sees a few steps ahead; what lies beyond is the value of where it ends. That value is fitted to what searches
from other states find, each with yesterday's value at its own end:

    V(s) ← max_{a_0 … a_{k−1}} Σ_{h<k} γ^h (Π c) r_{h+1} + γ^k (Π c) V⁻(s_k)

The states are those that the model was in along real experience; not a single real step is spent on it.

References: Munos & Szepesvári 2008, "Finite-time bounds for fitted value iteration"; Hafner et al. 2020, "Dream to
control" (arXiv 1912.01603), for values of latent states learned by imagining; Lowrey et al. 2019, "Plan online, learn
offline" (arXiv 1811.01848), for a learned value at the end of a planner's horizon.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import real_numbers
from throughtime.memory import Readout
from throughtime.rl import Moments
from throughtime.world.model import WorldModel
from throughtime.world.planning.sparse_sampling import SparseSampling


class StateValue(eqx.Module):
    """V of a model's states, from all the numbers in them: the least of what several networks say.

    A search ends where it is told the greatest value, which is where a single network errs upwards, and what it finds
    is what V is fitted to next: the errors add up. Networks that begin with different weights seldom err upwards all
    at once, least of all where little was seen.

    Each has two tanh layers and a linear one, and begins as zero everywhere. Networks put out units of `unit`, about
    the largest return there can be.

    Reference: Fujimoto et al. 2018 (TD3, arXiv 1802.09477), section 4, for the least of two.
    """

    members: tuple[tuple[Readout, ...], ...]
    moments: Moments  # of the states' numbers
    unit: Float[Array, ""]

    def __init__(self, model: WorldModel, width: int, key: PRNGKeyArray, members: int = 2):
        """A value of zero.

        Args:
            model: whose states.
            width: hidden units of each layer.
            key: for the random weights.
            members: networks.
        """
        size = jax.eval_shape(lambda: numbers(model.start(1))).shape[1]

        def zeros(*arguments: Any) -> Array:
            key, shape, *rest = arguments
            del key, rest
            return jnp.zeros(shape)

        def network(key: PRNGKeyArray) -> tuple[Readout, ...]:
            keys = jax.random.split(key, 3)
            return (
                Readout(size, width, "tanh", key=keys[0]),
                Readout(width, width, "tanh", key=keys[1]),
                Readout(width, 1, initialiser=zeros, key=keys[2]),
            )

        self.members = tuple(network(k) for k in jax.random.split(key, members))
        self.moments, self.unit = Moments.create((size,)), jnp.ones(())

    def in_units(self, x: Float[Array, "N F"]) -> Float[Array, "M N"]:
        """What each network says of the states' numbers, as V / unit."""
        x = jax.lax.stop_gradient(self.moments).standardise(x)

        def say(layers: tuple[Readout, ...]) -> Float[Array, " N"]:
            y = x
            for layer in layers:
                y = layer(y)
            return y[:, 0]

        return jnp.stack([say(layers) for layers in self.members])

    def __call__(self, state: Any) -> Float[Array, " N"]:
        """V of states, leaves `[N, ...]`."""
        return jnp.min(self.in_units(numbers(state)), axis=0) * jax.lax.stop_gradient(self.unit)


def numbers(state: Any) -> Float[Array, "N F"]:
    """All the numbers of model states side by side."""
    return jnp.concatenate([real_numbers(leaf) for leaf in jax.tree.leaves(state)], axis=1)


def value_targets(
    model: WorldModel, value: StateValue, states: Any, key: PRNGKeyArray, *, discount: float, depth: int
) -> Float[Array, " N"]:
    """What a full search of `depth` steps with `value` at its end finds from each state; discrete actions.

    Args:
        model: imagines.
        value: V⁻.
        states: leaves `[N, ...]`.
        key: of the imagined outcomes, which all actions of a depth share.
        discount: γ.
        depth: k.

    Returns:
        V⁻ itself where the search found nothing finite.
    """
    search = SparseSampling(widths=(1,) * depth, discount=discount, terminal_value=value, common_draws=True)

    def one(state: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        return jnp.max(search.action_values(model, jax.tree.map(lambda x: x[None], state), key))

    before = value(states)
    found = jax.vmap(one)(states, jax.random.split(key, before.shape[0]))
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(found), found, before))
