"""What the return is worth without the memory's content: reset, frozen, swapped between episodes, and noisy states.

Every ablation plays the same episodes (the same seeds) with the same weights; only the state that one step hands to
the next is tampered with. What is lost against the intact agent, episode by episode, is what that content is worth.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.agents import Policy
from throughtime.core import ConfigError
from throughtime.envs import Environment, HostEnvironment, VectorEnvironment
from throughtime.proof.evidence._acting import Ablation, Acting, act, begin
from throughtime.runs.evaluation import HOST_BATCH, check_finite, give_back, step_limit

NOISE_SIZES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
LEAST_EPISODES = 16


class Ablations(NamedTuple):
    """Returns of N episodes under each ablation, the same episodes throughout."""

    intact: Float[np.ndarray, " N"]
    periods: tuple[int, ...]  # k: the state is reset before steps k, 2k, … of an episode
    reset_every: Float[np.ndarray, "K N"]
    frozen: Float[np.ndarray, " N"]  # the state stays what the first step made it
    swapped: Float[np.ndarray, " N"]  # before each step an episode gets the state of another one at the same step
    noise_sizes: tuple[float, ...]  # in units of each number's standard deviation
    noise: Float[np.ndarray, "S N"]


def ablate(
    policy: Policy,
    env: Environment,
    scale: list[Array],
    *,
    periods: Sequence[int] | None = None,
    noise_sizes: Sequence[float] = NOISE_SIZES,
    episodes: int = 512,
    seed: int = 0,
) -> Ablations:
    """Plays the same episodes with the state intact, reset, frozen, swapped and noisy.

    Args:
        policy: takes its most probable actions.
        env: where.
        scale: of the state, as `record` measured it: noise of size 1 is as large as the state's own variation.
        periods: k of "reset every k steps", each at least 1; by default `default_periods`.
        noise_sizes: standard deviations of the noise that is added to the state before each step.
        episodes: N, at least 16; of Python environments at most `HOST_BATCH`, all of which are open at once.
        seed: of the episodes.

    Raises:
        ConfigError: too few episodes, an impossible period, or an environment whose episodes need not end.
        NonFiniteError: a reward that is NaN or infinite.
        EnvironmentStepError: a Python environment that failed more often than it may be restarted.
    """
    limit = step_limit(env)
    if episodes < LEAST_EPISODES:
        raise ConfigError(
            f"episodes = {episodes}",
            "An interval over so few says nothing, and states are swapped between episodes.",
            f"Give {LEAST_EPISODES} or more.",
        )
    periods = tuple(default_periods(limit, env.required_lag) if periods is None else periods)
    if any(k < 1 for k in periods):
        raise ConfigError(f"periods = {periods}", "The state is reset every k steps.", "Give each a k of 1 or more.")
    settings = [Ablation()]
    settings += [Ablation(every=k) for k in periods]
    settings += [Ablation(frozen=True), Ablation(swapped=True)]
    settings += [Ablation(noise=float(size)) for size in noise_sizes]
    hosted = isinstance(env, HostEnvironment)
    vector = VectorEnvironment(env, min(episodes, HOST_BATCH) if hosted else episodes)
    stacked = Ablation(
        every=jnp.asarray([a.every for a in settings], jnp.int32),
        frozen=jnp.asarray([a.frozen for a in settings]),
        swapped=jnp.asarray([a.swapped for a in settings]),
        noise=jnp.asarray([a.noise for a in settings], jnp.float32),
        alone=jnp.asarray([a.alone for a in settings]),
    )
    played = []
    # Python environments are given back before the next ones are opened.
    for part in np.split(np.arange(len(settings)), len(settings) if hosted else 1):
        these = jax.tree.map(lambda a, part=part: a[part], stacked)
        result, environments = _play_all(policy, vector, limit, jax.random.key(seed), these, scale)
        played.append(np.asarray(result))
        give_back(env, jax.tree.map(lambda a: a[0], environments) if hosted else None)
    returns = np.concatenate(played)
    check_finite(returns.reshape(-1), env)
    K = len(periods)
    return Ablations(
        returns[0], periods, returns[1 : K + 1], returns[K + 1], returns[K + 2], tuple(noise_sizes), returns[K + 3 :]
    )


def default_periods(limit: int, required_lag: int | None) -> list[int]:
    """1, 2, 4, … below the longest episode, and the lag that the task needs with its neighbour.

    A reset every k steps cuts all memories of k steps and more: it should hurt up to k = required lag, and not beyond.
    """
    periods = {2**i for i in range(limit.bit_length()) if 2**i < limit}
    if required_lag:
        periods |= {required_lag, required_lag + 1}
    return sorted(periods)


@eqx.filter_jit
def _play_all(
    policy: Policy, env: VectorEnvironment, limit: int, key: PRNGKeyArray, settings: Ablation, scale: list[Array]
) -> tuple[Float[Array, "A N"], Any]:
    """Returns, and the environments' last states (of Python environments only: the others' are of no use)."""
    key_reset, key_steps = jax.random.split(key)

    def play(ablation: Ablation) -> tuple[Float[Array, " N"], Any]:
        def body(carry: tuple[Acting, Float[Array, " N"]]):
            acting, total = carry
            weight = jnp.power(jnp.float32(env.env.discount), acting.t.astype(jnp.float32))
            acting, done = act(policy, env, acting, key_steps, ablation, scale, deterministic=True)
            return acting, total + jnp.where(done.alive, weight * done.reward, 0.0)

        def more(carry: tuple[Acting, Float[Array, " N"]]):
            return jnp.any(carry[0].alive) & (carry[0].t < limit)

        start = (begin(policy, env, key_reset), jnp.zeros(env.batch_size))
        acting, total = jax.lax.while_loop(more, body, start)
        return total, acting.environment if isinstance(env.env, HostEnvironment) else None

    return jax.lax.map(play, settings)
