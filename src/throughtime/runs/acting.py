"""One step of a policy with its memory carried: what evaluation, recordings and trajectories are loops over."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy, PolicyState
from throughtime.agents.network import NetworkState
from throughtime.envs import VectorEnvironment
from throughtime.rl import ActionDistribution


class Acting(NamedTuple):
    """B environments in the middle of their episodes, and what the policy remembers of each."""

    environment: Any  # the environments' states
    observation: Float[Array, "B *shape"]  # which the policy has not read yet
    policy: PolicyState  # the state before it
    reward: Float[Array, " B"]  # of the step before
    reset: Bool[Array, " B"]  # the observation is the first of its episode


class Acted(NamedTuple):
    """What one step was."""

    environment: Any  # the state that `observation` belongs to
    observation: Float[Array, "B *shape"]
    reset: Bool[Array, " B"]
    inputs: Float[Array, "B I"]  # what the network read
    network: NetworkState  # after it
    distribution: ActionDistribution
    value: Float[Array, " B"]
    action: Array  # as the environment took it
    reward: Float[Array, " B"]
    terminated: Bool[Array, " B"]
    truncated: Bool[Array, " B"]

    @property
    def ended(self) -> Bool[Array, " B"]:
        """Whether this step ended its episode, in either way."""
        return self.terminated | self.truncated


def begin(policy: Policy, env: VectorEnvironment, key: PRNGKeyArray) -> Acting:
    """All environments at the first observation of an episode."""
    observation, state = env.reset(key)
    B = env.batch_size
    return Acting(state, observation, policy.initial_state(B), jnp.zeros(B), jnp.ones(B, bool))


def act(
    policy: Policy, env: VectorEnvironment, acting: Acting, key: PRNGKeyArray, noise: Array | None
) -> tuple[Acting, Acted]:
    """One step of each environment; one that ends goes on with its next episode.

    Args:
        policy: acts, by its own `reset_where`, `inputs` and `remember`: a fault in these shows.
        env: the batch.
        acting: where it stands.
        key: of the environments' step.
        noise: draws the actions, as `policy.noise` gives it; None takes the most probable ones.
    """
    state = policy.reset_where(acting.reset, acting.policy)
    x = policy.inputs(state, acting.observation, acting.reset, acting.reward)
    network, distribution, value = policy.network.step(state.network, x)
    action = distribution.mode() if noise is None else distribution.sample(noise)
    taken = policy.to_environment(action)
    out = env.step(key, acting.environment, taken)
    acted = Acted(
        acting.environment,
        acting.observation,
        acting.reset,
        x,
        network,
        distribution,
        value,
        taken,
        out.reward,
        out.terminated,
        out.truncated,
    )
    return Acting(out.state, out.obs, policy.remember(network, action), out.reward, acted.ended), acted
