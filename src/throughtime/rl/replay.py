"""Prioritised replay of whole sequences, with the memory's state before each of them.

Experience is kept as one ring of time steps for each environment, in pieces of `period` steps. A sequence of `length`
steps begins with a piece and runs on into those that follow, so sequences overlap where `length` exceeds `period`. The
memory's state is stored once a piece: the one *before* its first observation is read. A sequence may contain the end of
an episode: its resets say so, and a memory that heeds them carries nothing across.

References: Schaul et al. 2016, "Prioritized experience replay" (arXiv 1511.05952); Kapturowski et al. 2019, "Recurrent
experience replay in distributed reinforcement learning" (R2D2).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from throughtime.core import ConfigError


class Replay(NamedTuple):
    """What is stored: a tree of arrays, to be carried through a compiled loop and saved with a run."""

    steps: PyTree  # leaves [C, B, ...], time slot by environment
    states: PyTree  # leaves [C / period, B, ...], before the first observation of each piece
    priorities: Float[Array, "K B"]  # of the sequence that begins with each piece
    pieces: Int[Array, ""]  # written since the beginning, overwritten ones too


class Index(NamedTuple):
    """Which sequences were drawn."""

    piece: Int[Array, " N"]  # counted since the beginning
    environment: Int[Array, " N"]


class Sample(NamedTuple):
    """N sequences."""

    drawn: Index
    steps: PyTree  # leaves [length, N, ...]
    states: PyTree  # leaves [N, ...], before steps[0]
    weights: Float[Array, " N"]  # (1 / (M p))^β over M sequences, divided by the largest of the sample


@dataclass(frozen=True)
class SequenceReplay:
    """A replay of fixed size: pure functions of a `Replay`.

    Args:
        capacity: time steps kept of each environment; a multiple of `period`.
        period: steps between the beginnings of two sequences.
        length: steps of a sequence, burn-in included; at most `capacity`.
        exponent: α: a sequence is drawn with probability ∝ priority^α. 0 draws all alike.
        correction: β of the importance weights. 0 turns them off, 1 corrects in full.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    capacity: int
    period: int
    length: int
    exponent: float = 0.9
    correction: float = 0.6

    def __post_init__(self):
        for name in ("capacity", "period", "length"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It counts time steps.", "Give 1 or more.")
        if self.capacity % self.period:
            raise ConfigError(
                f"capacity = {self.capacity} is no multiple of period = {self.period}.",
                "Whole pieces are stored.",
                f"Take {-(-self.capacity // self.period) * self.period}.",
            )
        if self.length > self.capacity:
            raise ConfigError(
                f"length = {self.length} exceeds capacity = {self.capacity}.",
                "No sequence would ever be whole.",
                f"Raise capacity to {-(-self.length // self.period) * self.period} or more.",
            )
        for name in ("exponent", "correction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It lies between 0 and 1.")

    @property
    def rows(self) -> int:
        """Pieces that are kept (K)."""
        return self.capacity // self.period

    @property
    def span(self) -> int:
        """Pieces that a sequence runs through."""
        return -(-self.length // self.period)

    def empty(self, step: PyTree, state: PyTree) -> Replay:
        """Nothing stored yet.

        Args:
            step: one time step of all B environments, leaves `[B, ...]` (shapes and dtypes count, values do not).
            state: the memory's state of all B environments, leaves `[B, ...]`.
        """
        batch = {x.shape[0] for x in jax.tree.leaves((step, state))}
        if len(batch) != 1:
            raise ConfigError(
                f"The leaves of step and state are for {sorted(batch)} environments.", "They share the batch axis."
            )

        def room(x: Any, slots: int) -> Array:
            return jnp.zeros((slots, *x.shape), x.dtype)

        return Replay(
            jax.tree.map(lambda x: room(x, self.capacity), step),
            jax.tree.map(lambda x: room(x, self.rows), state),
            jnp.zeros((self.rows, batch.pop())),
            jnp.zeros((), jnp.int32),
        )

    def add(self, replay: Replay, steps: PyTree, state: PyTree) -> Replay:
        """Stores one piece of each environment over the oldest one.

        The sequence that begins with it gets the largest priority there is (1 at the start), so that it is drawn soon.

        Args:
            replay: what is stored.
            steps: leaves `[period, B, ...]`.
            state: the memory's state before `steps[0]` is read, leaves `[B, ...]`.
        """
        row = replay.pieces % self.rows
        highest = jnp.max(replay.priorities)
        return Replay(
            jax.tree.map(
                lambda all, new: jax.lax.dynamic_update_slice_in_dim(all, new, row * self.period, 0),
                replay.steps,
                steps,
            ),
            jax.tree.map(lambda all, new: all.at[row].set(new), replay.states, state),
            replay.priorities.at[row].set(jnp.where(highest > 0, highest, 1.0)),
            replay.pieces + 1,
        )

    def whole(self, replay: Replay) -> Bool[Array, " K"]:
        """Whether all of the sequence that begins in each row is stored."""
        # The row's piece is the latest one that fell on it: rows count from the piece that will be overwritten next.
        age = (replay.pieces - 1 - jnp.arange(self.rows, dtype=jnp.int32)) % self.rows  # pieces written since
        return (age >= self.span - 1) & (age < replay.pieces)

    def size(self, replay: Replay) -> Int[Array, ""]:
        """How many sequences can be drawn."""
        return jnp.sum(self.whole(replay), dtype=jnp.int32) * replay.priorities.shape[1]

    def sample(self, replay: Replay, key: PRNGKeyArray, count: int) -> Sample:
        """Draws sequences independently, each with probability ∝ priority^α.

        Args:
            replay: holds at least one whole sequence (`size`); else what is drawn means nothing.
            key: for the draw.
            count: N.
        """
        K, B = replay.priorities.shape
        mass = jnp.where(self.whole(replay)[:, None], replay.priorities, 0.0)
        mass = jnp.where(mass > 0, jnp.power(mass, self.exponent), 0.0).reshape(-1)
        edges = jnp.cumsum(mass)
        # Upwards of zero and below the last edge, so that no sequence without mass is ever drawn.
        at = jax.random.uniform(key, (count,)) * edges[-1]
        flat = jnp.clip(jnp.searchsorted(edges, at, side="right"), 0, K * B - 1).astype(jnp.int32)
        flat = jnp.where(mass[flat] > 0, flat, jnp.argmax(mass).astype(jnp.int32))
        row, environment = flat // B, flat % B
        slots = (row[None] * self.period + jnp.arange(self.length, dtype=jnp.int32)[:, None]) % self.capacity
        probability = mass[flat] / edges[-1]
        weights = jnp.power(self.size(replay).astype(jnp.float32) * probability, -self.correction)
        age = (replay.pieces - 1 - row) % self.rows
        return Sample(
            Index(replay.pieces - 1 - age, environment),
            jax.tree.map(lambda x: x[slots, environment[None]], replay.steps),
            jax.tree.map(lambda x: x[row, environment], replay.states),
            weights / jnp.max(weights),
        )

    def prioritise(self, replay: Replay, index: Index, priorities: Float[Array, " N"]) -> Replay:
        """Gives sequences new priorities; those that were overwritten meanwhile are passed over.

        Args:
            replay: what is stored.
            index: as `sample` returned it; of a sequence drawn twice, one of its priorities is kept.
            priorities: `[N]`, positive.
        """
        row = self._row(replay, index)
        return replay._replace(priorities=replay.priorities.at[row, index.environment].set(priorities, mode="drop"))

    def refresh(self, replay: Replay, index: Index, states: PyTree) -> Replay:
        """Puts newer states in the place of stored ones: what today's weights remember at the same point.

        Args:
            replay: what is stored.
            index: the pieces *before* whose first step the states belong; not stored ones are passed over.
            states: leaves `[N, ...]`.
        """
        row = self._row(replay, index)
        stored = jax.tree.map(
            lambda all, new: all.at[row, index.environment].set(new, mode="drop"), replay.states, states
        )
        return replay._replace(states=stored)

    def _row(self, replay: Replay, index: Index) -> Int[Array, " N"]:
        """Where pieces lie; out of range where they do not."""
        stored = (index.piece < replay.pieces) & (index.piece >= replay.pieces - self.rows) & (index.piece >= 0)
        return jnp.where(stored, index.piece % self.rows, self.rows)
