"""Whole episodes of an agent, kept step by step: what interventions, saliency and value estimates read."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment
from throughtime.proof.evidence._acting import Ablation, Acting, act, begin, state_leaves
from throughtime.rl import ActionDistribution
from throughtime.runs.evaluation import HOST_BATCH, check_finite, give_back, step_limit


class Recording(NamedTuple):
    """N whole episodes, T steps at most: `[T, N, ...]`. What lies behind an episode's end is not `alive`."""

    observations: Float[Array, "T N *shape"]
    inputs: Float[Array, "T N I"]  # what the network read: the observation first, then previous action and reward
    distribution: ActionDistribution  # of acting
    actions: Array  # as drawn
    rewards: Float[Array, "T N"]
    terminated: Bool[Array, "T N"]
    successors: Float[Array, "T N *shape"]  # the true next observations
    alive: Bool[Array, "T N"]
    scale: list[Array]  # the standard deviation of each number of the network's state, over all steps and episodes


def record(
    policy: Policy,
    env: Environment,
    *,
    episodes: int = 128,
    seed: int = 0,
    deterministic: bool = True,
    alone: bool = False,
) -> Recording:
    """Plays whole episodes and keeps all of them.

    Args:
        policy: acts.
        env: where.
        episodes: N; of Python environments at most `HOST_BATCH`, all of which are open at once.
        seed: of the episodes (and of the actions, where they are drawn).
        deterministic: takes the most probable action; otherwise draws it.
        alone: takes the policy's memory away: each step is acted as if it were the first of an episode.

    Raises:
        ConfigError: an environment whose episodes need not end.
        NonFiniteError: a reward that is NaN or infinite.
        EnvironmentStepError: a Python environment that failed more often than it may be restarted.
    """
    key = jax.random.key(seed)
    vector = VectorEnvironment(env, min(episodes, HOST_BATCH) if isinstance(env, HostEnvironment) else episodes)
    recording, environments = _record(policy, vector, step_limit(env), key, deterministic, alone)
    give_back(env, environments)
    check_finite(np.where(recording.alive, recording.rewards, 0.0).sum(axis=0), env)
    T = max(int(np.asarray(recording.alive).any(axis=1).sum()), 1)
    return jax.tree.map(lambda a: a[:T], recording._replace(scale=[]))._replace(scale=recording.scale)


@eqx.filter_jit
def _record(
    policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray, deterministic: bool, alone: bool
) -> tuple[Recording, Any]:
    key_reset, key_steps = jax.random.split(key)
    acting = begin(policy, env, key_reset)
    states = [jnp.zeros_like(_wide(leaf[0])) for leaf in state_leaves(acting.policy.network)]
    zeros = states, [jnp.abs(leaf) for leaf in states]

    def one(carry: tuple[Acting, list[Array], list[Array]], _):
        acting, total, squares = carry
        acting, done = act(policy, env, acting, key_steps, Ablation(alone=alone), None, deterministic=deterministic)
        numbers = [_wide(leaf) for leaf in state_leaves(done.state)]
        alive = done.alive.astype(jnp.float32)
        total = [s + jnp.tensordot(alive.astype(x.dtype), x, 1) for s, x in zip(total, numbers, strict=True)]
        squares = [s + jnp.tensordot(alive, jnp.square(jnp.abs(x)), 1) for s, x in zip(squares, numbers, strict=True)]
        kept = (done.observation, done.inputs, done.distribution, done.action, done.reward, done.terminated)
        return (acting, total, squares), (*kept, done.successor, done.alive)

    (acting, total, squares), rows = jax.lax.scan(one, (acting, *zeros), None, length=limit)
    count = jnp.sum(rows[-1], dtype=jnp.float32)
    # √(E|z|² − |E z|²), of complex numbers too.
    variances = [q / count - jnp.square(jnp.abs(s) / count) for s, q in zip(total, squares, strict=True)]
    return Recording(*rows, [jnp.sqrt(jnp.maximum(v, 0.0)) for v in variances]), acting.environment


def _wide(leaf: Array) -> Array:
    """In single precision."""
    return leaf.astype(jnp.complex64 if jnp.iscomplexobj(leaf) else jnp.float32)
