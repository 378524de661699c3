"""Whole episodes of a policy, kept step by step: what reports draw and `watch` shows."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.core import real_numbers
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment
from throughtime.rl import Categorical
from throughtime.runs.acting import Acting, begin
from throughtime.runs.evaluation import act_at, check_finite, episode_batches, give_back, step_limit

CHUNK = 64
"""Steps of one call of the compiled program; an episode is over where one of them says so."""


class EpisodeRecord(NamedTuple):
    """One episode, step by step; T steps."""

    observations: Float[np.ndarray, "T *shape"]
    actions: np.ndarray  # as the environment took them
    probabilities: Float[np.ndarray, "T A"] | None  # of discrete actions
    rewards: Float[np.ndarray, " T"]
    values: Float[np.ndarray, " T"]
    hidden: Float[np.ndarray, "T H"] | None  # the actor's memory after each observation, flattened; None without one
    states: Any  # the environment's at each observation, leaves [T, ...]; None of a Python environment
    terminated: bool
    truncated: bool
    score: float  # the return, discounted by the environment's own `discount` (1.0 for most)


def record_episode(policy: Policy, env: Environment, *, seed: int = 0) -> EpisodeRecord:
    """Plays one episode with the most probable actions and keeps all of it.

    Args:
        policy: what acts.
        env: where.
        seed: of the episode.
    """
    return record_episodes(policy, env, episodes=1, seed=seed)[0]


def record_episodes(
    policy: Policy, env: Environment, *, episodes: int, seed: int = 0, deterministic: bool = True
) -> list[EpisodeRecord]:
    """Plays the very episodes that `evaluate` scores with the same arguments, and keeps all of them.

    Args:
        policy: what acts.
        env: where (on `env.scored`).
        episodes: N.
        seed: of the episodes (and of the actions, where they are drawn).
        deterministic: takes the most probable action; otherwise draws it.

    Raises:
        ConfigError: no episodes, or an environment whose episodes need not end.
        NonFiniteError: a reward that is NaN or infinite.
        EnvironmentStepError: a Python environment that failed more often than it may be restarted.
    """
    env = env.scored
    limit = step_limit(env)
    B, keys = episode_batches(env, episodes, seed)
    records = [
        record for key in keys for record in _batch(policy, VectorEnvironment(env, B), limit, key, deterministic)
    ]
    check_finite(np.array([record.score for record in records]), env)
    return records[:episodes]


def _batch(
    policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray, deterministic: bool
) -> list[EpisodeRecord]:
    """One episode in each of B environments."""
    key_reset, key = jax.random.split(key)
    acting = eqx.filter_jit(begin)(policy, env, key_reset)
    chunks, alive, length = [], np.ones(env.batch_size, bool), min(limit, CHUNK)
    try:
        for start in range(0, limit, length):
            acting, rows = _record(policy, env, acting, key, jnp.asarray(start), length, deterministic)
            chunks.append(rows)
            alive &= ~np.asarray(rows.terminated | rows.truncated).any(axis=0)
            if not alive.any():
                break
    finally:
        give_back(env.env, acting.environment)
    steps = jax.tree.map(lambda *parts: jnp.concatenate(parts), *chunks)
    steps = jax.tree.map(lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x), steps)
    weights = env.env.discount ** np.arange(len(steps.rewards))
    records = []
    for b in range(env.batch_size):
        T = int(np.argmax((steps.terminated | steps.truncated)[:, b])) + 1
        mine = jax.tree.map(lambda x, b=b, T=T: x[:T, b], steps)
        records.append(
            EpisodeRecord(
                mine.observations,
                mine.actions,
                mine.probabilities,
                mine.rewards,
                mine.values,
                mine.hidden,
                None if isinstance(env.env, HostEnvironment) else mine.states,
                bool(mine.terminated[-1]),
                bool(mine.truncated[-1]),
                float(np.sum(weights[:T] * mine.rewards)),
            )
        )
    return records


class _Rows(NamedTuple):
    """Steps of B environments, `[T, B, ...]`."""

    observations: Array
    actions: Array
    probabilities: Array | None
    rewards: Float[Array, "T B"]
    values: Float[Array, "T B"]
    hidden: Array | None
    terminated: Bool[Array, "T B"]
    truncated: Bool[Array, "T B"]
    states: Any


@eqx.filter_jit
def _record(
    policy: Policy,
    env: VectorEnvironment,
    acting: Acting,
    key: PRNGKeyArray,
    start: Array,
    length: int,
    deterministic: bool,
) -> tuple[Acting, _Rows]:
    def body(acting: Acting, t: Array):
        acting, did = act_at(policy, env, acting, key, t, deterministic)
        leaves = [real_numbers(leaf) for leaf in jax.tree.leaves(did.network.actor)]
        row = (
            did.observation,
            did.action,
            jax.nn.softmax(did.distribution.logits) if isinstance(did.distribution, Categorical) else None,
            did.reward,
            did.value,
            jnp.concatenate(leaves, axis=1) if leaves else None,
            did.terminated,
            did.truncated,
            did.environment,
        )
        return acting, _Rows(*row)

    return jax.lax.scan(body, acting, start + jnp.arange(length))
