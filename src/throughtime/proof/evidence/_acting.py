"""One step of acting with a memory state that something may have been done to: what all evidence is made of."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from throughtime.agents import Policy, PolicyState
from throughtime.core import select_rows
from throughtime.envs import VectorEnvironment
from throughtime.rl import ActionDistribution


class Ablation(NamedTuple):
    """What is done to the memory's state within an episode; the default is nothing. An episode's step 0 is spared.

    The previous action and reward, where the policy reads them, are inputs and not state: they stay (but for `alone`).
    """

    every: Int[Array, ""] | int = 0  # the initial state is put back before steps every, 2·every, …; 0: never
    frozen: Bool[Array, ""] | bool = False  # what the first step has written is never written over
    swapped: Bool[Array, ""] | bool = (
        False  # before each step every episode gets the state of its neighbour in the batch
    )
    noise: Float[Array, ""] | float = 0.0  # is added before each step, in units of each number's standard deviation
    alone: Bool[Array, ""] | bool = False  # each step is acted as if it were an episode's first: the observation alone


class Acting(NamedTuple):
    """B environments in their first episode, or beyond it (not `alive`)."""

    environment: Any
    observation: Float[Array, "B *shape"]
    policy: PolicyState
    reward: Float[Array, " B"]
    alive: Bool[Array, " B"]
    t: Int[Array, ""]


class Acted(NamedTuple):
    """What one step was."""

    observation: Float[Array, "B *shape"]
    inputs: Float[Array, "B I"]
    state: PyTree  # the network's, after it
    distribution: ActionDistribution
    action: Array  # as drawn
    reward: Float[Array, " B"]
    terminated: Bool[Array, " B"]
    successor: Float[Array, "B *shape"]  # the true next observation
    alive: Bool[Array, " B"]


def begin(policy: Policy, env: VectorEnvironment, key: PRNGKeyArray) -> Acting:
    """All environments at their first observation."""
    observation, state = env.reset(key)
    B = env.batch_size
    return Acting(
        state, observation, policy.initial_state(B), jnp.zeros(B), jnp.ones(B, bool), jnp.zeros((), jnp.int32)
    )


def act(
    policy: Policy,
    env: VectorEnvironment,
    acting: Acting,
    key: PRNGKeyArray,
    ablation: Ablation,
    scale: list[Array] | None,
    *,
    deterministic: bool,
) -> tuple[Acting, Acted]:
    """One step of each environment.

    Args:
        policy: acts, by its own `reset_where`, `inputs` and `remember`: a fault in these shows.
        env: the batch.
        acting: where it stands.
        key: the same for each step: the step's own is made of it and of the time.
        ablation: what is done to the state.
        scale: the standard deviation of each number of the network's state, in the order of `state_leaves`; None where
            no noise is added.
        deterministic: takes the most probable action; otherwise draws it.
    """
    key_action, key_env, key_noise = jax.random.split(jax.random.fold_in(key, acting.t), 3)
    B, first = env.batch_size, acting.t == 0
    reset = jnp.broadcast_to(first | ablation.alone, (B,))
    state = policy.reset_where(reset, acting.policy)
    network = _ablate(policy, state.network, acting.t, key_noise, ablation, scale)
    x = policy.inputs(PolicyState(network, state.previous_action), acting.observation, reset, acting.reward)
    after, distribution, _ = policy.network.step(network, x)
    after = select_rows(jnp.broadcast_to(~first & ablation.frozen, (B,)), network, after)
    if deterministic:
        action = distribution.mode()
    else:
        action = distribution.sample(policy.noise(key_action, (B,)))
    out = env.step(key_env, acting.environment, policy.to_environment(action))
    acted = Acted(
        acting.observation,
        x,
        after,
        distribution,
        action,
        out.reward,
        out.terminated,
        out.final_observation,
        acting.alive,
    )
    alive = acting.alive & ~(out.terminated | out.truncated)
    return Acting(out.state, out.obs, policy.remember(after, action), out.reward, alive, acting.t + 1), acted


def state_leaves(state: PyTree) -> list[Array]:
    """The arrays of a state that hold numbers with a fraction: those that noise can be added to."""
    return jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array))


def _ablate(
    policy: Policy, state: PyTree, t: Int[Array, ""], key: PRNGKeyArray, ablation: Ablation, scale: list[Array] | None
) -> PyTree:
    leaves = jax.tree.leaves(state)
    if not leaves:
        return state
    B, later = leaves[0].shape[0], t > 0
    back = later & (ablation.every > 0) & (t % jnp.maximum(ablation.every, 1) == 0)
    state = select_rows(jnp.broadcast_to(back, (B,)), policy.initial_state(B).network, state)
    neighbour = jax.tree.map(lambda a: jnp.roll(a, 1, axis=0), state)
    state = select_rows(jnp.broadcast_to(later & ablation.swapped, (B,)), neighbour, state)
    if scale is None:
        return state

    def noisy(state: PyTree) -> PyTree:
        moved, rest = eqx.partition(state, eqx.is_inexact_array)
        numbers, structure = jax.tree.flatten(moved)
        keys = jax.random.split(key, len(numbers)) if numbers else []
        numbers = [
            a + (ablation.noise * s[None].astype(jnp.float32)).astype(a.dtype) * jax.random.normal(k, a.shape, a.dtype)
            for a, s, k in zip(numbers, scale, keys, strict=True)
        ]
        return eqx.combine(jax.tree.unflatten(structure, numbers), rest)

    return jax.lax.cond(later & (ablation.noise > 0), noisy, lambda state: state, state)
