"""Laws of the sequence replay: what goes in comes out, whole and contiguous, as often as its priority says."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.rl import SequenceReplay
from throughtime.rl.replay import Index

B = 3


class State(NamedTuple):
    h: jax.Array  # [B, 2]: time and environment of the step that it belongs before


def piece(start, period):
    """Steps that say when and where they happened."""
    t = jnp.arange(start, start + period, dtype=jnp.int32)
    when = {"time": jnp.tile(t[:, None], (1, B)), "environment": jnp.tile(jnp.arange(B, dtype=jnp.int32), (period, 1))}
    state = State(jnp.stack([jnp.full(B, start, jnp.float32), jnp.arange(B, dtype=jnp.float32)], axis=1))
    return when, state


def filled(replay, pieces):
    when, state = piece(0, replay.period)
    stored = replay.empty(jax.tree.map(lambda x: x[0], when), state)
    add = jax.jit(replay.add)
    for number in range(pieces):
        stored = add(stored, *piece(number * replay.period, replay.period))
    return stored


@pytest.mark.parametrize("pieces", [2, 3, 4, 5, 9, 14])
@pytest.mark.parametrize(("period", "length"), [(4, 8), (4, 6), (4, 4), (4, 3), (1, 5), (5, 20)])
def test_what_goes_in_comes_out_whole_and_in_order(pieces, period, length):
    replay = SequenceReplay(capacity=5 * period, period=period, length=length)
    stored = filled(replay, pieces)
    written = pieces * period
    oldest = max(0, written - replay.capacity)
    starts = [t for t in range(0, written, period) if t >= oldest and t // period + replay.span <= pieces]
    assert int(replay.size(stored)) == len(starts) * B
    if not starts:
        return
    sample = replay.sample(stored, jax.random.key(pieces), 500)
    first = np.asarray(sample.steps["time"][0])
    np.testing.assert_array_equal(sample.steps["time"], first + np.arange(length)[:, None])
    np.testing.assert_array_equal(sample.steps["environment"], np.tile(sample.drawn.environment, (length, 1)))
    # The state is the one before the first step, of the same environment.
    np.testing.assert_array_equal(sample.states.h, np.stack([first, sample.drawn.environment], axis=1))
    np.testing.assert_array_equal(sample.drawn.piece * period, first)
    assert set(zip(first.tolist(), np.asarray(sample.drawn.environment).tolist(), strict=True)) == {
        (start, b) for start in starts for b in range(B)
    }


def test_sequences_are_drawn_as_often_as_their_priorities_say_and_weighted_against_it():
    replay = SequenceReplay(capacity=16, period=4, length=8, exponent=0.5, correction=1.0)
    stored = filled(replay, 4)  # pieces 0, 1 and 2 begin whole sequences
    number = jnp.arange(9, dtype=jnp.int32)
    index = Index(number // B, number % B)
    priorities = np.linspace(0.5, 4.5, 9)
    stored = replay.prioritise(stored, index, jnp.asarray(priorities, jnp.float32))
    sample = replay.sample(stored, jax.random.key(0), 90_000)
    drawn = np.asarray(sample.drawn.piece * B + sample.drawn.environment)
    probability = np.sqrt(priorities) / np.sqrt(priorities).sum()
    expected = probability * len(drawn)
    counts = np.bincount(drawn, minlength=9)
    assert np.sum((counts - expected) ** 2 / expected) < 26.1  # χ² with 8 degrees of freedom, 99.9%
    weights = 1 / (9 * probability)
    np.testing.assert_allclose(sample.weights, (weights / weights.max())[drawn], rtol=1e-5)


def test_new_sequences_get_the_largest_priority():
    replay = SequenceReplay(capacity=12, period=4, length=4)
    stored = filled(replay, 1)
    stored = replay.prioritise(stored, Index(jnp.zeros(1, jnp.int32), jnp.ones(1, jnp.int32)), jnp.array([7.0]))
    stored = replay.add(stored, *piece(4, 4))
    np.testing.assert_array_equal(stored.priorities[:2], [[1.0, 7.0, 1.0], [7.0, 7.0, 7.0]])


def test_what_was_overwritten_is_neither_prioritised_nor_refreshed():
    replay = SequenceReplay(capacity=8, period=4, length=4)
    stored = filled(replay, 2)
    old = Index(jnp.array([0], jnp.int32), jnp.array([1], jnp.int32))
    stored = replay.add(stored, *piece(8, 4))  # piece 2 falls on piece 0
    after = replay.refresh(replay.prioritise(stored, old, jnp.array([9.0])), old, State(jnp.full((1, 2), -1.0)))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), after, stored))
    not_yet = Index(jnp.array([3], jnp.int32), jnp.array([1], jnp.int32))
    after = replay.refresh(stored, not_yet, State(jnp.full((1, 2), -1.0)))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), after, stored))


def test_a_refreshed_state_is_what_is_drawn_next():
    replay = SequenceReplay(capacity=8, period=4, length=4)
    stored = filled(replay, 2)
    index = Index(jnp.array([1], jnp.int32), jnp.array([2], jnp.int32))
    stored = replay.refresh(stored, index, State(jnp.array([[0.5, 0.25]])))
    sample = replay.sample(stored, jax.random.key(0), 200)
    hit = np.asarray((sample.drawn.piece == 1) & (sample.drawn.environment == 2))
    assert hit.any()
    assert (np.asarray(sample.states.h)[hit] == [0.5, 0.25]).all()
    assert (np.asarray(sample.states.h)[~hit][:, 0] == np.asarray(sample.drawn.piece)[~hit] * 4).all()


def test_it_is_carried_through_a_compiled_loop_with_one_trace():
    replay = SequenceReplay(capacity=12, period=4, length=8)
    traces = 0

    @jax.jit
    def loop(stored, count):
        nonlocal traces
        traces += 1

        def body(i, stored):
            when, _ = piece(0, 4)
            when = {**when, "time": when["time"] + 4 * i}
            state = State(jnp.full((B, 2), 4.0 * i.astype(jnp.float32)))
            return replay.add(stored, when, state)

        return jax.lax.fori_loop(0, count, body, stored)

    empty = filled(replay, 0)
    looped, expected = loop(loop(empty, 4), 0), filled(replay, 4)
    assert traces == 1
    np.testing.assert_array_equal(looped.steps["time"], expected.steps["time"])


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((10, 4, 4), "Take 12."),
        ((8, 4, 9), "Raise capacity to 12"),
        ((0, 4, 4), "capacity = 0"),
        ((8, 4, 0), "length = 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, words):
    with pytest.raises(ConfigError, match=words):
        SequenceReplay(*sizes)
    with pytest.raises(ConfigError, match="exponent"):
        SequenceReplay(8, 4, 4, exponent=1.5)
    with pytest.raises(ConfigError, match="batch axis"):
        SequenceReplay(8, 4, 4).empty(jnp.zeros((2, 1)), jnp.zeros((3, 1)))
