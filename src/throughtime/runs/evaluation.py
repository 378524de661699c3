"""Scoring a policy on fresh episodes, its memory carried through each of them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy, PolicyState
from throughtime.core import ConfigError, NonFiniteError, real_numbers
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment, raise_error_of, release
from throughtime.rl import Categorical

HOST_BATCH = 32  # Python environments open at once; each may hold a simulator


class Evaluation(NamedTuple):
    """Scores of whole episodes, one each."""

    returns: Float[np.ndarray, " N"]  # discounted by the environment's own `discount` (1.0 for most)
    lengths: Float[np.ndarray, " N"]

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Evaluation({self.mean:.4g}, 95% interval {low:.4g} to {high:.4g}, {len(self.returns)} episodes)"

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% normal interval of the mean over episodes (of this one policy, not over trainings)."""
        half = 1.96 * float(np.std(self.returns, ddof=1)) / len(self.returns) ** 0.5 if len(self.returns) > 1 else 0.0
        return self.mean - half, self.mean + half


def evaluate(
    policy: Policy,
    env: Environment,
    *,
    episodes: int = 1000,
    seed: int = 0,
    deterministic: bool = True,
    batch_size: int = 1024,
) -> Evaluation:
    """Plays whole episodes.

    Args:
        policy: what acts.
        env: where (on `env.scored`).
        episodes: N.
        seed: of the episodes (and of the actions, where they are drawn).
        deterministic: takes the most probable action; otherwise draws it.
        batch_size: episodes played side by side, at most; of Python environments, `HOST_BATCH` at most.

    Raises:
        ConfigError: no episodes, or an environment whose episodes need not end.
        NonFiniteError: a reward that is NaN or infinite.
        EnvironmentStepError: a Python environment that failed more often than it may be restarted.
    """
    env = env.scored
    limit = step_limit(env)
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}", "A mean needs at least one episode.", "Give 1 or more.")
    if isinstance(env, HostEnvironment):
        batch_size = min(batch_size, HOST_BATCH)
    # Equal batches, so that one compiled program serves all.
    batches = -(-episodes // batch_size)
    B = -(-episodes // batches)
    results = []
    for key in jax.random.split(jax.random.key(seed), batches):
        totals, lengths, environments = _play(policy, VectorEnvironment(env, B), limit, key, deterministic)
        results.append(jax.device_get((totals, lengths)))
        give_back(env, environments)
    returns, lengths = (np.concatenate(parts)[:episodes] for parts in zip(*results, strict=True))
    check_finite(returns, env)
    return Evaluation(returns, lengths)


@eqx.filter_jit
def _play(
    policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray, deterministic: bool
) -> tuple[Float[Array, " B"], Float[Array, " B"], Any]:
    """Returns and lengths of one episode in each of B environments, and the environments' states."""
    key_reset, key = jax.random.split(key)
    observation, state = env.reset(key_reset)
    B = env.batch_size

    class Carry(NamedTuple):
        environment: Any
        observation: Array
        policy: PolicyState
        reward: Float[Array, " B"]
        alive: Bool[Array, " B"]
        total: Float[Array, " B"]
        length: Float[Array, " B"]
        t: Array

    def body(carry: Carry) -> Carry:
        key_action, key_env = jax.random.split(jax.random.fold_in(key, carry.t))
        reset = jnp.broadcast_to(carry.t == 0, (B,))
        memory, action = policy.act(
            carry.policy,
            carry.observation,
            reset,
            reward=carry.reward,
            key=None if deterministic else key_action,
        )
        out = env.step(key_env, carry.environment, action)
        weight = jnp.power(jnp.asarray(env.env.discount, jnp.float32), carry.t.astype(jnp.float32))
        alive = carry.alive & ~(out.terminated | out.truncated)
        return Carry(
            out.state,
            out.obs,
            memory,
            out.reward,
            alive,
            carry.total + jnp.where(carry.alive, weight * out.reward, 0.0),
            carry.length + carry.alive.astype(jnp.float32),
            carry.t + 1,
        )

    zeros = jnp.zeros(B)
    carry = Carry(state, observation, policy.initial_state(B), zeros, jnp.ones(B, bool), zeros, zeros, jnp.asarray(0))
    end = jax.lax.while_loop(lambda c: jnp.any(c.alive) & (c.t < limit), body, carry)
    return end.total, end.length, end.environment


class EpisodeRecord(NamedTuple):
    """One episode, step by step; T steps."""

    observations: Float[np.ndarray, "T *shape"]
    actions: np.ndarray  # as the environment took them
    probabilities: Float[np.ndarray, "T A"] | None  # of discrete actions
    rewards: Float[np.ndarray, " T"]
    values: Float[np.ndarray, " T"]
    hidden: Float[np.ndarray, "T H"] | None  # the actor's memory after each observation, flattened; None without one


def record_episode(policy: Policy, env: Environment, *, seed: int = 0) -> EpisodeRecord:
    """Plays one episode with the most probable actions and keeps all of it.

    Args:
        policy: what acts.
        env: where.
        seed: of the episode.
    """
    limit = step_limit(env)
    carry, played = _record(policy, VectorEnvironment(env, 1), limit, jax.random.key(seed))
    record, ended = jax.device_get(played)
    give_back(env, carry[0])
    T = int(np.argmax(ended)) + 1
    arrays: list[Any] = [None if x is None else x[:T, 0] for x in record]
    return EpisodeRecord(*arrays)


@eqx.filter_jit
def _record(policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray):
    key_reset, key_steps = jax.random.split(key)
    observation, state = env.reset(key_reset)

    def body(carry, key):
        environment, observation, memory, reward, reset = carry
        memory = policy.reset_where(reset, memory)
        x = policy.inputs(memory, observation, reset, reward)
        network, distribution, value = policy.network.step(memory.network, x)
        action = distribution.mode()
        out = env.step(key, environment, policy.to_environment(action))
        leaves = [real_numbers(leaf) for leaf in jax.tree.leaves(network.actor)]
        row = (
            observation,
            policy.to_environment(action),
            jax.nn.softmax(distribution.logits) if isinstance(distribution, Categorical) else None,
            out.reward,
            value,
            jnp.concatenate(leaves, axis=1) if leaves else None,
        )
        ended = out.terminated | out.truncated
        after = policy.remember(network, action)
        return (out.state, out.obs, after, out.reward, ended), (row, ended[0])

    carry = (state, observation, policy.initial_state(1), jnp.zeros(1), jnp.ones(1, bool))
    return jax.lax.scan(body, carry, jax.random.split(key_steps, limit))


def check_finite(returns: Float[np.ndarray, " N"], env: Environment) -> None:
    """Refuses returns that say nothing.

    Raises:
        NonFiniteError: a return that is NaN or infinite.
    """
    if not np.isfinite(returns).all():
        raise NonFiniteError(
            f"Episode {int(np.argmin(np.isfinite(returns)))} has a return that is not finite.",
            f"{env.name} gave a NaN or an infinite reward.",
            "Correct the environment's reward.",
        )


def give_back(env: Environment, state: Any) -> None:
    """Raises what went wrong in Python environments; gives them back in any case."""
    try:
        raise_error_of(env, state)
    finally:
        release(env, state)


def step_limit(env: Environment) -> int:
    """The most steps of an episode.

    Raises:
        ConfigError: there is no such number.
    """
    limit = env.max_episode_steps
    if limit is None:
        raise ConfigError(
            f"{env.name} has no longest episode.",
            "Whole episodes are scored, and one that never ends cannot be.",
            "Give the environment a step limit (max_episode_steps).",
        )
    return limit
