"""Scoring a policy on fresh episodes, its memory carried through each of them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.core import ConfigError, NonFiniteError
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment, raise_error_of, release
from throughtime.runs.acting import Acted, Acting, act, begin

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
    results = []
    B, keys = episode_batches(env, episodes, seed, batch_size)
    for key in keys:
        totals, lengths, environments = _play(policy, VectorEnvironment(env, B), limit, key, deterministic)
        results.append(jax.device_get((totals, lengths)))
        give_back(env, environments)
    returns, lengths = (np.concatenate(parts)[:episodes] for parts in zip(*results, strict=True))
    check_finite(returns, env)
    return Evaluation(returns, lengths)


def episode_batches(
    env: Environment, episodes: int, seed: int, batch_size: int = 1024
) -> tuple[int, Iterable[PRNGKeyArray]]:
    """How N episodes are dealt into equal batches, so that one compiled program serves all: B, and a key for each.

    Raises:
        ConfigError: no episodes.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}", "A mean needs at least one episode.", "Give 1 or more.")
    if isinstance(env, HostEnvironment):
        batch_size = min(batch_size, HOST_BATCH)
    batches = -(-episodes // batch_size)
    return -(-episodes // batches), jax.random.split(jax.random.key(seed), batches)


@eqx.filter_jit
def _play(
    policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray, deterministic: bool
) -> tuple[Float[Array, " B"], Float[Array, " B"], Any]:
    """Returns and lengths of one episode in each of B environments, and the environments' states."""
    key_reset, key = jax.random.split(key)
    B = env.batch_size

    class Carry(NamedTuple):
        acting: Acting
        alive: Bool[Array, " B"]
        total: Float[Array, " B"]
        length: Float[Array, " B"]
        t: Array

    def body(carry: Carry) -> Carry:
        acting, did = act_at(policy, env, carry.acting, key, carry.t, deterministic)
        weight = jnp.power(jnp.asarray(env.env.discount, jnp.float32), carry.t.astype(jnp.float32))
        return Carry(
            acting,
            carry.alive & ~did.ended,
            carry.total + jnp.where(carry.alive, weight * did.reward, 0.0),
            carry.length + carry.alive.astype(jnp.float32),
            carry.t + 1,
        )

    zeros = jnp.zeros(B)
    carry = Carry(begin(policy, env, key_reset), jnp.ones(B, bool), zeros, zeros, jnp.asarray(0))
    end = jax.lax.while_loop(lambda c: jnp.any(c.alive) & (c.t < limit), body, carry)
    return end.total, end.length, end.acting.environment


def act_at(
    policy: Policy, env: VectorEnvironment, acting: Acting, key: PRNGKeyArray, t: Array, deterministic: bool
) -> tuple[Acting, Acted]:
    """Step t of the episodes that `key` stands for: the same whoever plays them."""
    key_action, key_env = jax.random.split(jax.random.fold_in(key, t))
    noise = None if deterministic else policy.noise(key_action, acting.reset.shape)
    return act(policy, env, acting, key_env, noise)


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
