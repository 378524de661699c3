"""A rollout of throughtime's own recurrent PPO, as memcheck reads it."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from throughtime.agents import PPO, Policy, PolicyState, TrainState
from throughtime.agents.network import NetworkState
from throughtime.agents.rollout import Rollout as Acted
from throughtime.core import select_rows
from throughtime.proof.memcheck.rollout.data import Rollout, Sequences


class NetworkPolicy:
    """The network of a policy behind memcheck's protocol; it reads network inputs, not raw observations.

    Args:
        policy: acted in the rollout.
    """

    def __init__(self, policy: Policy):
        self.network = network = policy.network

        def step(state: NetworkState, x: Any, reset: Any) -> tuple[NetworkState, tuple[Any, Any]]:
            state = select_rows(reset, network.initial_state(x.shape[0]), state)
            state, distribution, value = network.step(state, x)
            return state, (distribution, value)

        self._step = jax.jit(step)

    def initial_state(self, batch: int) -> NetworkState:
        """Before an episode."""
        return self.network.initial_state(batch)

    def step(self, state: Any, obs: np.ndarray, reset: np.ndarray) -> tuple[NetworkState, Any]:
        """The state, and (distribution, values)."""
        return self._step(state, obs, reset)

    def log_prob(self, out: Any, actions: np.ndarray) -> np.ndarray:
        """Of the actions as drawn."""
        return np.asarray(out[0].log_prob(jnp.asarray(actions)))

    def value(self, out: Any) -> np.ndarray:
        """Of each row."""
        return np.asarray(out[1])


def rollout_from_ppo(ppo: PPO, state: TrainState) -> tuple[Rollout, NetworkPolicy]:
    """What the next iteration of `ppo` would record and train on, and the policy that acts in it.

    Nothing is updated. Observations are the network's inputs (normalised, with previous action and reward where they
    are on). Final observations, which PPO does not keep, come from stepping the environments once more with the same
    keys and actions; V(obs_T) is computed anew from the state after the rollout.

    Args:
        ppo: the algorithm.
        state: of its training, at any iteration.

    Returns:
        The rollout (without rewards where returns are normalised) and its policy, for `check_rollout`.
    """
    gathered = jax.jit(ppo.gather)(state)
    acted, sequences, after, policy = gathered.rollout, gathered.sequences, gathered.actors, state.policy
    T, B = acted.resets.shape
    k = ppo.bptt_length
    carried = policy.reset_where(after.reset, after.policy)
    following = policy.inputs(carried, after.observation, after.reset, after.reward)
    last_values = policy.network.step(carried.network, following)[2]
    final = jax.jit(_final_inputs, static_argnums=0)(ppo, state, acted)
    made = Rollout(
        observations=acted.inputs,
        resets=acted.resets,
        terminated=acted.terminated,
        truncated=acted.truncated,
        rewards=None if ppo.config.normalise_returns else gathered.rewards,
        actions=acted.actions,
        log_probs=acted.log_probs,
        values=acted.values,
        states=jax.tree.map(lambda a: a.reshape(T // k, B, *a.shape[1:]), sequences.starts),
        next_observation=following,
        last_values=last_values,
        final_observations=final,
        final_values=acted.final_values,
        advantages=_whole(sequences.advantages, T, B),
        returns=_whole(sequences.targets, T, B),
        discount=ppo.config.discount,
        trace=ppo.config.gae_lambda,
        autoreset="same-step",
    )
    cut = Sequences(
        observations=sequences.inputs,
        resets=sequences.resets,
        states=sequences.starts,
        actions=sequences.actions,
        log_probs=sequences.log_probs,
        values=sequences.values,
        advantages=sequences.advantages,
        returns=sequences.targets,
    )
    return replace(made, state_steps=list(range(0, T, k)), sequences=cut), NetworkPolicy(policy)


def _whole(pieces: Any, T: int, B: int) -> Any:
    """`[k, T/k · B]`, in the order of `throughtime.rl.cut`, back to `[T, B]`."""
    k = pieces.shape[0]
    return jnp.moveaxis(pieces.reshape(k, T // k, B), 1, 0).reshape(T, B)


def _final_inputs(ppo: PPO, state: TrainState, acted: Acted) -> Any:
    """The network's input for each step's true successor, `[T, B, I]`."""
    policy, actors = state.policy, state.actors
    keys = _keys_of_steps(ppo, state.key)

    def one(environment: Any, inputs: tuple) -> tuple[Any, Any]:
        key, action, reward = inputs
        out = ppo.environments.step(key, environment, policy.to_environment(action))
        never = jnp.zeros(reward.shape, bool)
        remembered = PolicyState(actors.policy.network, action if policy.reads_previous_action else None)
        return out.state, policy.inputs(remembered, out.final_observation, never, reward)

    return jax.lax.scan(one, actors.environment, (keys, acted.actions, acted.rewards))[1]


def _keys_of_steps(ppo: PPO, key: PRNGKeyArray) -> Any:
    """The environments' keys in the order of the steps, as `PPO.gather` and `collect` split them."""
    T, k = ppo.config.rollout_length, ppo.bptt_length
    _, key_rollout, _ = jax.random.split(key, 3)
    _, key_env = jax.random.split(key_rollout)
    return jax.random.split(key_env, (T // k, k)).reshape(T)
