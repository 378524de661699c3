"""Steps of a policy with all that they hid, and any network's memory of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.agents.network import Tower
from throughtime.core import real_numbers, select_rows
from throughtime.envs import Environment, VectorEnvironment
from throughtime.runs.acting import Acting, act, begin


class Trajectories(NamedTuple):
    """T steps in each of B rows; an episode that ends is followed by the next one in the same row."""

    inputs: Float[np.ndarray, "T B I"]  # what the network read: normalised observation, previous action and reward
    observations: Float[np.ndarray, "T B *shape"]
    actions: np.ndarray  # [T, B, ...], as the environment took them
    rewards: Float[np.ndarray, "T B"]
    resets: Bool[np.ndarray, "T B"]  # the observation is the first of its episode
    hidden: np.ndarray  # [T, B] int or [T, B, D]: `Environment.hidden_state` at the observation


def act_out(
    policy: Policy, env: Environment, *, steps: int, rows: int, seed: int, deterministic: bool = True
) -> Trajectories:
    """Plays, and keeps what was hidden too.

    Args:
        policy: what acts.
        env: where.
        steps: T.
        rows: B.
        seed: of the episodes (and of the actions, where they are drawn).
        deterministic: takes the most probable action; otherwise draws it.
    """
    key = jax.random.key(seed)
    return Trajectories(*jax.device_get(_act_out(policy, VectorEnvironment(env, rows), steps, key, deterministic)))


@eqx.filter_jit
def _act_out(policy: Policy, env: VectorEnvironment, steps: int, key: PRNGKeyArray, deterministic: bool):
    key_reset, key_noise, key_steps = jax.random.split(key, 3)

    def body(acting: Acting, inputs):
        noise, key = inputs
        acting, did = act(policy, env, acting, key, None if deterministic else noise)
        hidden = jax.vmap(env.env.hidden_state)(did.environment)
        return acting, (did.inputs, did.observation, did.action, did.reward, did.reset, hidden)

    noise = policy.noise(key_noise, (steps, env.batch_size))
    return jax.lax.scan(body, begin(policy, env, key_reset), (noise, jax.random.split(key_steps, steps)))[1]


def memory_states(tower: Tower, trajectories: Trajectories) -> Float[np.ndarray, "T B F"]:
    """The state of a memory after each observation, flattened: of the network that acted, or of another one.

    Args:
        tower: reads `trajectories.inputs`. One without a state (`none`) gives its output instead.
        trajectories: what is read.
    """
    return np.asarray(_memory_states(tower, jnp.asarray(trajectories.inputs), jnp.asarray(trajectories.resets)))


@eqx.filter_jit
def _memory_states(tower: Tower, inputs: Float[Array, "T B I"], resets: Bool[Array, "T B"]) -> Float[Array, "T B F"]:
    B = inputs.shape[1]
    initial = tower.initial_state(B)

    def body(state: Any, step):
        x, reset = step
        state, y = tower.step(select_rows(reset, initial, state), x)
        leaves = [real_numbers(leaf) for leaf in jax.tree.leaves(state)]
        return state, jnp.concatenate(leaves or [y], axis=1)

    return jax.lax.scan(body, initial, (inputs, resets))[1]
