"""An agent of memorax: its actor network, as acting and as training apply it.

Its networks take batch-major sequences and a mask, `prev_done`: true where the observation is the first of an episode.
Acting applies them to sequences of one step, training to whole ones. The previous action and reward, which a feature
extractor may read, are zeros here.
"""

from typing import Any

import jax
import jax.numpy as jnp

from throughtime.core import ConfigError
from throughtime.proof.memcheck.adapters._jax import JaxPolicy


def wrap(agent: Any, observation_shape: tuple[int, ...] | None) -> JaxPolicy:
    """The actor of `agent`, or of a pair (agent, state); without a state one is made by `agent.init`.

    Raises:
        ConfigError: an agent with no network that memcheck knows.
    """
    state = None
    if isinstance(agent, tuple):
        agent, state = agent
    state = agent.init(jax.random.key(0))[1] if state is None else state
    network = getattr(agent, "actor_network", None) or getattr(agent, "q_network", None)
    params = getattr(state, "actor_params", None) or getattr(state, "params", None)
    if network is None or params is None:
        raise ConfigError(
            f"{type(agent).__name__} of memorax has no network that memcheck knows.",
            "It takes agents with an actor_network or a q_network.",
            "Write the three functions around it: docs/memcheck.md shows how.",
        )
    actions = agent.env.action_space(agent.env_params)

    def sequence(carry: Any, obs: Any, resets: Any) -> tuple[Any, Any]:
        obs, resets = jnp.swapaxes(obs, 0, 1), jnp.swapaxes(resets, 0, 1)  # [B, T, ...]
        B, T = resets.shape
        carry, (out, _) = network.apply(
            params,
            observation=obs,
            mask=resets,
            action=jnp.zeros((B, T, *actions.shape), actions.dtype),
            reward=jnp.zeros((B, T, 1)),
            done=resets,
            initial_carry=carry,
        )
        return carry, jax.tree.map(lambda y: jnp.swapaxes(y, 0, 1), _parameters(out))

    def step(carry: Any, obs: Any, reset: Any) -> tuple[Any, Any]:
        carry, outs = sequence(carry, obs[None], reset[None])
        return carry, jax.tree.map(lambda y: y[0], outs)

    def initial_state(batch: int) -> Any:
        return network.initialize_carry((batch, None))

    space = None if observation_shape else agent.env.observation_space(agent.env_params)
    return JaxPolicy(initial_state, step, sequence, observation_shape=observation_shape, observation_space=space)


def _parameters(out: Any) -> Any:
    """A distribution's parameters; Q-values as they are."""
    if hasattr(out, "logits"):
        return out.logits
    inner = getattr(out, "distribution", out)
    return (inner.loc, inner.scale_diag) if hasattr(inner, "scale_diag") else out
