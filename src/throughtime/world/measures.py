"""How good a world model is: open-loop error by steps ahead, calibration, and one episode real beside imagined."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.world.data import Sequences
from throughtime.world.model import WorldModel

PARTICLES = 16  # imagined futures whose mean is the prediction


class OpenLoop(NamedTuple):
    """Root mean squared errors by steps ahead, in standard deviations of the observation.

    K is at most the longest time that any window was still in its episode: beyond it there is nothing to compare.
    """

    model: Float[np.ndarray, " K"]
    persistence: Float[np.ndarray, " K"]  # of "nothing changes"
    windows: Int[np.ndarray, " K"]  # how many were still in their episode


class Calibration(NamedTuple):
    """What was said one step ahead, in bins of equally many steps, and what then came."""

    said: Float[np.ndarray, " N"]
    came: Float[np.ndarray, " N"]
    steps: Int[np.ndarray, " N"]

    @property
    def error(self) -> float:
        """Mean |said − came| over all steps (expected calibration error)."""
        return float(np.average(np.abs(self.said - self.came), weights=self.steps))


class SideBySide(NamedTuple):
    """One real episode, and the same actions imagined from its first observation on."""

    actions: np.ndarray  # [L, ...]
    observations: Float[np.ndarray, "L O"]  # o_1 … o_L
    imagined: Float[np.ndarray, "L O"]  # means over particles
    rewards: Float[np.ndarray, " L"]
    imagined_rewards: Float[np.ndarray, " L"]
    continuations: Float[np.ndarray, " L"]  # imagined probabilities that it goes on
    terminated: bool


def open_loop(model: WorldModel, sequences: Sequences, *, warmup: int, steps: int, key: PRNGKeyArray) -> OpenLoop:
    """The error of what is imagined 1 … K steps ahead along the actions that were really taken.

    The model reads `warmup` observations, then no more; a window ends with its episode (the last observation counts).
    A prediction is the mean of 16 imagined observations.

    Args:
        model: with a memory or without.
        sequences: not learned from, `[T, B]`, of at least warmup + K steps.
        warmup: observations read, 1 or more.
        steps: K, at most.
        key: draws latents and observations.

    Raises:
        ConfigError: sequences too short.
    """
    T = sequences.resets.shape[0]
    if warmup < 1 or steps < 1 or warmup + steps > T:
        raise ConfigError(f"warmup = {warmup} and steps = {steps}, of {T} steps", "A window has no room.", "Give less.")
    run = jax.jit(partial(_open_loop, warmup=warmup, steps=steps))
    squares, persistence, count = jax.device_get(run(model, sequences, key))
    K = np.count_nonzero(count)  # windows only ever become fewer
    squares, persistence, count = squares[:K], persistence[:K], np.asarray(count[:K], int)
    return OpenLoop(np.sqrt(squares / count), np.sqrt(persistence / count), count)


def _open_loop(
    model: WorldModel, sequences: Sequences, key: PRNGKeyArray, *, warmup: int, steps: int
) -> tuple[Float[Array, " K"], Float[Array, " K"], Float[Array, " K"]]:
    B = sequences.resets.shape[1]
    key_read, key_imagine = jax.random.split(key)
    state, _ = _filter(model, jax.tree.map(lambda x: x[:warmup], sequences), key_read)
    ahead = jax.tree.map(lambda x: x[warmup - 1 : warmup - 1 + steps], sequences)
    ended = ahead.terminated | ahead.truncated
    here = jnp.cumsum(jnp.concatenate([jnp.zeros((1, B), jnp.int32), ended[:-1].astype(jnp.int32)]), axis=0) == 0

    def imagine(key: PRNGKeyArray) -> Float[Array, "K B O"]:
        return model.open_loop(state, ahead.actions, key)[1].observations

    said = jnp.mean(jax.lax.map(imagine, jax.random.split(key_imagine, PARTICLES)), axis=0)
    flat = sequences.successors.reshape(-1, said.shape[-1])
    spread = jnp.std(flat, axis=0)
    varies = spread > 1e-6
    scale = jnp.broadcast_to(jnp.where(varies, 1.0 / jnp.maximum(spread, 1e-6), 0.0), said.shape)
    stays = jnp.broadcast_to(ahead.observations[:1], said.shape)

    def square(x: Float[Array, "K B O"]) -> Float[Array, " K"]:
        each = jnp.sum(jnp.square((x - ahead.successors) * scale), axis=-1) / jnp.maximum(
            jnp.sum(varies, dtype=jnp.float32), 1.0
        )
        return jnp.sum(jnp.where(here, each, 0.0), axis=1)

    return square(said), square(stays), jnp.sum(here, axis=1).astype(jnp.float32)


def one_step(
    model: WorldModel, sequences: Sequences, key: PRNGKeyArray
) -> tuple[Float[Array, "T B"], Float[Array, "T B"]]:
    """The reward and the continuation that the model says of each step, having read everything before it."""
    return jax.jit(lambda model, sequences, key: _filter(model, sequences, key)[1])(model, sequences, key)


def _filter(model: WorldModel, sequences: Sequences, key: PRNGKeyArray) -> tuple[Any, tuple[Array, Array]]:
    """Reads sequences that begin with an episode: the state at the last observation, and what each step would bring."""
    T, B = sequences.resets.shape
    before = jnp.zeros_like(sequences.actions[:1])
    before = jnp.concatenate([before, sequences.actions[:-1]])

    def body(state: Any, inputs: Any) -> tuple[Any, Any]:
        observation, reset, before, action, key = inputs
        key_read, key_imagine = jax.random.split(key)
        state = model.observe(state, before, observation, reset, key_read)
        _, reward, continuation = model.imagine(state, action, key_imagine)
        return state, (reward, continuation)

    steps = (sequences.observations, sequences.resets, before, sequences.actions, jax.random.split(key, T))
    return jax.lax.scan(body, model.start(B), steps)


def calibration(said: Float[Array, "T B"], came: Float[Array, "T B"], bins: int = 10) -> Calibration:
    """Bins of equally many steps, by what was said; equal predictions stay together.

    Args:
        said: predictions.
        came: outcomes of the same steps.
        bins: at most so many.
    """
    said_flat, came_flat = np.asarray(said, float).ravel(), np.asarray(came, float).ravel()
    edges = np.unique(np.quantile(said_flat, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, said_flat, side="right")
    there = [np.flatnonzero(place == i) for i in range(len(edges) + 1)]
    there = [rows for rows in there if len(rows)]
    return Calibration(
        np.array([said_flat[rows].mean() for rows in there]),
        np.array([came_flat[rows].mean() for rows in there]),
        np.array([len(rows) for rows in there]),
    )


def side_by_side(model: WorldModel, sequences: Sequences, key: PRNGKeyArray, row: int = 0) -> SideBySide:
    """The first episode of a row, and what the model imagines of it after its first observation alone.

    Args:
        model: imagines.
        sequences: each row begins with an episode.
        key: draws latents and observations.
        row: which.
    """
    one = jax.tree.map(lambda x: x[:, row : row + 1], sequences)
    ends = np.flatnonzero(np.asarray(one.terminated | one.truncated)[:, 0])
    L = int(ends[0]) + 1 if len(ends) else len(one.rewards)
    one = jax.tree.map(lambda x: x[:L], one)

    @jax.jit
    def imagine(model: WorldModel, one: Sequences, key: PRNGKeyArray) -> Any:
        first: Bool[Array, " 1"] = jnp.ones(1, bool)
        state = model.observe(model.start(1), one.actions[0], one.observations[0], first, key)
        state = jax.tree.map(lambda x: jnp.repeat(x, PARTICLES, axis=0), state)
        return model.open_loop(state, jnp.repeat(one.actions, PARTICLES, axis=1), key)[1]

    rollout = jax.device_get(imagine(model, one, key))
    return SideBySide(
        np.asarray(one.actions[:, 0]),
        np.asarray(one.successors[:, 0]),
        rollout.observations.mean(axis=1),
        np.asarray(one.rewards[:, 0]),
        rollout.rewards.mean(axis=1),
        rollout.continuations.mean(axis=1),
        bool(one.terminated[-1, 0]),
    )
