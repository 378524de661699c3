"""A trained or fresh `Policy` of throughtime: acting beside what training replays.

The output is the action distribution's parameters and the value. A policy that reads its previous action takes the
most probable one; its sequence is then a scan over steps, for in training those actions come from the rollout. One
that reads its previous reward gets zeros.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from throughtime.agents import Policy, PolicyState
from throughtime.proof.memcheck.adapters._jax import JaxPolicy


def wrap(policy: Policy, observation_shape: tuple[int, ...] | None) -> JaxPolicy:
    """Its observations are float32, of the shape of its environment's; an action mask in them allows everything."""
    del observation_shape

    mask = policy.mask

    def all_allowed(rng: np.random.Generator, T: int, B: int) -> np.ndarray:
        drawn = rng.normal(size=(T, B, *policy.observation_shape)).astype(np.float32)
        if mask is not None:
            drawn.reshape(T, B, -1)[..., mask.start :] = 1.0
        return drawn

    def step(state: Any, obs: Any, reset: Any) -> tuple[Any, Any]:
        state = policy.reset_where(reset, state)
        x = policy.inputs(state, obs.astype(jnp.float32), reset, jnp.zeros(reset.shape))
        network, distribution, value = policy.network.step(state.network, x)
        return policy.remember(network, distribution.mode()), _out(distribution, value)

    def sequence(state: Any, obs: Any, resets: Any) -> tuple[Any, Any]:
        def inputs(obs: Any, reset: Any) -> Any:
            return policy.inputs(PolicyState(state.network, None), obs, reset, jnp.zeros(reset.shape))

        xs = jax.vmap(inputs)(obs.astype(jnp.float32), resets)
        network, distribution, values = policy.network.unroll(state.network, xs, resets)
        return PolicyState(network, None), _out(distribution, values)

    whole = None if policy.reads_previous_action else sequence
    observations = None if mask is None else all_allowed
    return JaxPolicy(
        policy.initial_state, step, whole, observation_shape=policy.observation_shape, observations=observations
    )


def _out(distribution: Any, value: Any) -> dict[str, Any]:
    """The distribution's arrays by name, each with the axes of the value first."""
    arrays = distribution._asdict() if hasattr(distribution, "_asdict") else {"logits": distribution.logits}
    fields = {name: jnp.asarray(array) for name, array in arrays.items()}
    front = value.shape
    full = {
        name: array if array.shape[: len(front)] == front else jnp.broadcast_to(array, (*front, *array.shape))
        for name, array in fields.items()
    }
    return full | {"value": value}
