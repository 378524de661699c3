"""A policy that plans: a world model and a planner behind the face of every other policy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.agents.network import NetworkConfig, NetworkState
from throughtime.agents.policy import Policy
from throughtime.agents.r2d2 import explore as epsilon_greedy
from throughtime.agents.world_network import decode_actions, unroll_steps
from throughtime.envs import Environment
from throughtime.rl import ActionDistribution, Categorical
from throughtime.world import WorldModel
from throughtime.world.planning import Controller, Planner


class PlanningNetwork(eqx.Module):
    """A `Controller` as a policy's network: what it reads is the observation and the previous action.

    Its action distribution is the planner's, its value what the plan promises. It has no towers and no heads: nothing
    was trained here, so what looks at how a policy's memory learns has nothing to look at.
    """

    controller: Controller

    @property
    def model(self) -> WorldModel:
        """What it plans in."""
        return self.controller.model

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state before the first input of each of `batch_size` sequences."""
        return NetworkState(self.controller.initial_state(batch_size), None)

    def step(
        self, state: NetworkState, x: Float[Array, "B I"]
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, " B"]]:
        """Reads, plans: the next state, the action distribution and the value `[B]`."""
        model = self.controller.model
        observation, encoded = jnp.split(x, [model.observation_size], axis=1)
        action = decode_actions(model.action_space, encoded)
        after, planned = self.controller.step(state.actor, action, observation, jnp.zeros(x.shape[0], bool))
        return NetworkState(after, None), planned.distribution, planned.value

    def unroll(
        self, state: NetworkState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: None = None
    ) -> tuple[NetworkState, ActionDistribution, Float[Array, "T B"]]:
        """All time steps: the last state, the distributions `[T, B, A]` and the values `[T, B]`."""
        del taps
        return unroll_steps(self, state, xs, resets)


def planning_policy(env: Environment, model: WorldModel, planner: Planner, *, seed: int = 0) -> Policy:
    """A policy that plans each action in `model`.

    Its state holds the model's and the plan; where `reset` is true both begin anew. Evaluation, recordings and proofs
    take it as they take a trained one.

        policy = planning_policy(env, BeliefModel(env), SparseSampling(discount=env.discount))
        state = policy.initial_state(batch_size=1)
        state, action = policy.act(state, observation, reset)

    Args:
        env: where it acts.
        model: of that environment.
        planner: the search.
        seed: of its noise (see `Controller`).

    Raises:
        ConfigError: a model of other observations or actions, or a planner of other actions.
    """
    model.check_environment(env)
    network: Any = PlanningNetwork(Controller(model, planner, seed))
    return Policy(env, NetworkConfig(previous_action=True), jax.random.key(0), lambda *_: network)


def explore(distribution: ActionDistribution, noise: Array, *, random: Bool[Array, ""], amount: float) -> Array:
    """The planned action with something added, as `play` wants it; or a random one.

    Args:
        distribution: a planner's.
        noise: as `Policy.noise` makes it.
        random: draws actions uniformly over the space instead.
        amount: of discrete actions ε, the share of random ones; of continuous ones the standard deviation.
    """
    if isinstance(distribution, Categorical):
        epsilon = jnp.where(random, 1.0, amount)
        return epsilon_greedy(distribution, noise, epsilon=jnp.broadcast_to(epsilon, noise.shape))
    uniform = jax.scipy.special.erf(noise / jnp.sqrt(2.0))  # of normal noise, over [-1, 1]
    return jnp.where(random, uniform, jnp.clip(distribution.mode() + amount * noise, -1.0, 1.0))
