"""The memory horizon by intervention: change what was seen k steps ago, keep all else, and see whether actions move.

For step s of a recorded episode the observation is replaced by another one that the environment gave *at the same step*
of another episode; all other observations, and all actions, stay as they were. The network is run over both sequences.
How far the action distribution at step t = s + k moves,

    D(t, k) = KL(π_t ‖ π_t with the observation of step t − k changed),

is what the agent still has, at t, of what it saw k steps before: 0 where it has forgotten, or never took it in.

- The *curve* at lag k is the mean of D(t, k) over all episodes and steps t for which step t − k had an alternative (at
  some steps every episode sees the same: nothing can be told apart there, and nothing is changed).
- A *decision step* is a t at which not all recorded episodes take the same most probable action (every t, where actions
  are continuous). The decision curve is the same mean over these alone; where there are none, it is the curve.
- The *threshold* is the larger of 0.01 nats (below it fewer than 8 in 100 actions can change, by Pinsker's inequality)
  and ten times the noise floor: the largest KL between acting and recomputing the very same sequence.
- The *horizon* is the longest lag k ≥ 1 at which the decision curve is above the threshold; 0 where there is none.

An agent without memory has D(t, k) = 0 for every k ≥ 1, and a window of n inputs has it for every k ≥ n: their horizons
are 0 and at most n − 1, whatever they were trained on. The interval is a percentile bootstrap over episodes.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from throughtime.agents import Policy
from throughtime.proof.evidence.recording import Recording
from throughtime.rl import Categorical

LEAST_KL = 0.01
NOISE_FACTOR = 10.0
RESAMPLES = 1_000
MAX_SOURCES = 64


@dataclass(frozen=True, eq=False)
class MemoryHorizon:
    """How far back what was seen still moves what is done.

    Args:
        lag: the horizon, in steps.
        interval: its 95% interval over episodes; None for a single episode.
        measured: the longest lag at which anything could be changed (at a decision step).
        threshold: in nats.
        noise_floor: in nats.
        decision_steps: t at which episodes differ in the action they take; empty where they never do.
        curve: `[K]`, mean KL at lag 0, 1, …, over all steps; NaN where nothing could be changed.
        decision_curve: `[K]`, over decision steps alone (the curve where there are none).
        flips: `[K]`, the share of the decision curve's steps whose most probable action changes; None for continuous
            actions.
        sources: s, the steps whose observations were changed.
        effects: `[S, T]`, of the first episode: KL at step t when step s is changed; NaN where it has no alternative.
    """

    lag: int
    interval: tuple[int, int] | None
    measured: int
    threshold: float
    noise_floor: float
    decision_steps: np.ndarray
    curve: np.ndarray
    decision_curve: np.ndarray
    flips: np.ndarray | None
    sources: np.ndarray
    effects: np.ndarray

    def __str__(self) -> str:
        return f"{self.lag} step{'' if self.lag == 1 else 's'}"


def memory_horizon(
    policy: Policy, recording: Recording, *, seed: int = 0, max_sources: int = MAX_SOURCES, threshold: float = LEAST_KL
) -> MemoryHorizon:
    """Intervenes on recorded episodes; see the module for what is measured.

    Args:
        policy: the agent; its network is run over whole sequences.
        recording: its episodes, taken with its most probable actions.
        seed: of the alternatives that are chosen, and of the bootstrap.
        max_sources: observations of at most so many steps are changed, spread evenly, step 0 among them.
        threshold: the least KL that counts, in nats.
    """
    alive = np.asarray(recording.alive)
    T, _ = alive.shape
    rng = np.random.default_rng(seed)
    sources = np.unique(np.linspace(0, T - 1, min(max_sources, T)).round().astype(int))
    seen = np.asarray(recording.observations).reshape(*alive.shape, -1)[..., : _seen(policy)]
    donors = np.stack([_alternatives(seen[s], alive[s], rng) for s in sources])
    kl, flipped, noise = jax.device_get(
        _intervene(policy, recording, jnp.asarray(sources, jnp.int32), jnp.asarray(donors, jnp.int32))
    )
    exists = (donors >= 0)[:, None] & alive[None] & (np.arange(T)[None, :, None] >= sources[:, None, None])
    decides = _decision_steps(recording)
    everywhere, at_decisions = _by_lag(kl, exists, sources), _by_lag(kl, exists & decides[None, :, None], sources)
    if not at_decisions[1].any():
        decides, at_decisions = np.zeros(T, bool), everywhere
    used = exists & (decides[None, :, None] | ~decides.any())
    curve, decision_curve = _mean(everywhere), _mean(at_decisions)
    floor = float(noise)
    theta = max(threshold, NOISE_FACTOR * floor)
    lag = int(_longest(decision_curve[None], theta)[0])
    flips = None
    if isinstance(recording.distribution, Categorical):
        flips = _mean(_by_lag(flipped.astype(np.float32), used, sources))
    measured = int(np.max(np.flatnonzero(np.isfinite(decision_curve)), initial=0))
    interval = _interval(at_decisions, theta, rng)
    where = np.flatnonzero(decides)
    effects = np.where(exists[:, :, 0], kl[:, :, 0], np.nan)
    return MemoryHorizon(lag, interval, measured, theta, floor, where, curve, decision_curve, flips, sources, effects)


@eqx.filter_jit
def _intervene(
    policy: Policy, recording: Recording, sources: Int[Array, " S"], donors: Int[Array, "S N"]
) -> tuple[Float[Array, "S T N"], Bool[Array, "S T N"], Float[Array, ""]]:
    """KL and whether the most probable action changed, by source and step; and the noise floor."""
    T, N, _ = recording.inputs.shape
    seen = _seen(policy)
    resets = jnp.broadcast_to((jnp.arange(T) == 0)[:, None], (T, N))
    start = policy.network.initial_state(N)

    def distribution(inputs: Float[Array, "T N I"]) -> Any:
        return policy.network.unroll(start, inputs, resets)[1]

    base = distribution(recording.inputs)
    difference = recording.distribution.kl(base)  # pyright: ignore[reportArgumentType]
    noise = jnp.max(jnp.where(recording.alive, jnp.abs(difference), 0.0))

    def one(source_and_donors):
        source, donor = source_and_donors
        own = recording.inputs[source]
        other = own[jnp.maximum(donor, 0), :seen]
        changed = own.at[:, :seen].set(jnp.where((donor >= 0)[:, None], other, own[:, :seen]))
        after = distribution(recording.inputs.at[source].set(changed))
        flipped = base.mode() != after.mode()
        return jnp.maximum(base.kl(after), 0.0), flipped.reshape(T, N, -1).any(axis=-1)

    return *jax.lax.map(one, (sources, donors)), noise


def _seen(policy: Policy) -> int:
    """How many numbers, the first of the observation and of the input, are changed.

    An action mask, behind them, stays: with another one any two distributions may lie infinitely far apart.
    """
    return int(np.prod(policy.observation_shape)) if policy.mask is None else policy.mask.start


def _alternatives(
    seen: Float[np.ndarray, "N F"], alive: Bool[np.ndarray, " N"], rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """For each episode another one, at random, that saw something else at this step; −1 where there is none."""
    differs = (np.abs(seen[:, None] - seen[None]) > 1e-6).any(axis=2) & alive[None] & alive[:, None]
    chosen = np.argmax(np.where(differs, rng.random(differs.shape), -1.0), axis=1)
    return np.where(differs.any(axis=1), chosen, -1)


def _decision_steps(recording: Recording) -> Bool[np.ndarray, " T"]:
    """Steps at which the episodes that still run do not all take the same most probable action."""
    alive = np.asarray(recording.alive)
    if not isinstance(recording.distribution, Categorical):
        return np.ones(len(alive), bool)
    modes = np.asarray(recording.distribution.mode())
    low = np.where(alive, modes, np.iinfo(modes.dtype).max).min(axis=1)
    high = np.where(alive, modes, -1).max(axis=1)
    return alive.any(axis=1) & (low != high)


Sums = tuple[np.ndarray, np.ndarray]
"""Sum and count by lag and episode, `[K, N]` each."""


def _by_lag(values: Float[np.ndarray, "S T N"], used: Bool[np.ndarray, "S T N"], sources: np.ndarray) -> Sums:
    T, N = values.shape[1:]
    total, count = np.zeros((T, N)), np.zeros((T, N))
    for index, source in enumerate(sources):  # lag k of step t = source + k: a shift of whole arrays
        total[: T - source] += np.where(used[index, source:], values[index, source:], 0.0)
        count[: T - source] += used[index, source:]
    return total, count


def _mean(sums: Sums) -> Float[np.ndarray, " K"]:
    total, count = sums[0].sum(axis=1), sums[1].sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _interval(sums: Sums, threshold: float, rng: np.random.Generator) -> tuple[int, int] | None:
    N = sums[0].shape[1]
    if N < 2:
        return None
    weights = rng.multinomial(N, np.full(N, 1 / N), RESAMPLES).astype(float)
    total, count = weights @ sums[0].T, weights @ sums[1].T
    lags = _longest(np.where(count > 0, total / np.maximum(count, 1), np.nan), threshold)
    low, high = np.quantile(lags, (0.025, 0.975))
    return int(np.floor(low)), int(np.ceil(high))


def _longest(curves: Float[np.ndarray, "R K"], threshold: float) -> Int[np.ndarray, " R"]:
    above = np.nan_to_num(curves, nan=0.0) >= threshold
    above[:, 0] = True  # lag 0 is no memory
    return curves.shape[1] - 1 - np.argmax(above[:, ::-1], axis=1)
