"""Checkpointed BPTT: exact, and within the bytes that it was given, as XLA counts them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.gradients import (
    checkpointed_bytes,
    checkpointed_loss,
    segment_for_budget,
    unroll_checkpointed,
)
from throughtime.kernels import kernels, library
from throughtime.memory import GRU, make_memory

MEMORY = GRU(2, 3, key=jax.random.key(0))


def square(y, target):
    return jnp.sum(jnp.square(y - target))


@pytest.mark.parametrize(("name", "layers", "segment"), [("lstm", 1, 7), ("gru", 2, 3)])
def test_loss_and_gradient_are_those_of_full_bptt(name, layers, segment):
    T, B = 7, 2
    with jax.enable_x64(True):
        memory = make_memory(name, 2, 3, num_layers=layers, dtype=jnp.float64, key=jax.random.key(0))
        rng = np.random.default_rng(0)
        xs, targets = jnp.asarray(rng.normal(size=(T, B, 2))), jnp.asarray(rng.normal(size=(T, B, 3)))
        resets = jnp.zeros((T, B), bool).at[4, 1].set(True)
        start = jax.tree.map(lambda a: a + 0.3, memory.initial_state(B))

        def full(diff):
            memory, start, xs = diff
            final, ys = memory.unroll(start, xs, resets)
            return square(ys, targets) + square(ys[2], 1.0), final

        def checkpointed(diff):
            def loss(y, target):
                target, extra = target
                return square(y, target) + extra * square(y, 1.0)

            extra = jnp.zeros(T).at[2].set(1.0)
            return checkpointed_loss(*diff, resets, loss, (targets, extra), segment)

        diff = (memory, start, xs)
        (expected, *_), (loss, *_) = values = [
            jax.tree.leaves(jax.jit(jax.value_and_grad(f, has_aux=True))(diff)) for f in (full, checkpointed)
        ]
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        for a, b in zip(*values, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)


def test_no_steps_have_no_loss():
    state = MEMORY.initial_state(2)
    loss, final = checkpointed_loss(
        MEMORY, state, jnp.zeros((0, 2, 2)), jnp.zeros((0, 2), bool), square, jnp.zeros((0, 2, 3)), 4
    )
    assert loss == 0.0
    np.testing.assert_array_equal(final.h, state.h)


def temporaries(memory, T, B, segment, outputs):
    """What XLA sets aside for the gradient, in bytes."""

    def loss(memory, state, xs, resets, targets):
        if outputs:
            return square(unroll_checkpointed(memory, state, xs, resets, segment)[1], targets[:, None, None])
        return checkpointed_loss(memory, state, xs, resets, square, targets, segment)[0]

    shapes = [(T, B, memory.input_size), (T, B), (T,)]
    arrays = [jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, (jnp.float32, bool, jnp.float32), strict=True)]
    program = jax.jit(jax.grad(loss)).lower(memory, memory.initial_state(B), *arrays).compile()
    return program.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    ("name", "layers", "outputs"), [("gru", 1, False), ("gru", 1, True), ("lstm", 2, False), ("elman", 1, False)]
)
def test_the_budget_is_kept_and_used(name, layers, outputs):
    T, B = 4001, 8
    memory = make_memory(name, 2, 32, num_layers=layers, key=jax.random.key(0))
    budget = 2 * checkpointed_bytes(memory, B, T, 20, outputs=outputs)
    segment = segment_for_budget(memory, B, T, budget, outputs=outputs)
    assert 40 < segment < T
    assert checkpointed_bytes(memory, B, T, segment, outputs=outputs) <= budget
    assert checkpointed_bytes(memory, B, T, segment + 1, outputs=outputs) > budget
    used = temporaries(memory, T, B, segment, outputs)
    weights, inputs = sum(a.nbytes for a in jax.tree.leaves(memory)), T * (B * (4 * memory.input_size + 1) + 4)
    assert 0.4 * budget <= used <= budget + 8 * weights + inputs  # not counted: the weights' gradients, a copy of xs


needs_native = pytest.mark.skipif(library().instruction_set is None, reason=library().reason)
BOTH = pytest.mark.parametrize("choice", ["xla", pytest.param("native", marks=needs_native)], indirect=True)


@pytest.fixture
def choice(request):
    with kernels(request.param):
        yield request.param


@BOTH
def test_the_border_states_and_one_segment_are_counted(choice):
    """By hand, for a GRU of 3 units, float32: 3 per border; a step keeps so many and some flags, three times.

    Pure XLA: before the step h, after it h, and the projected input (9). Native: four parts of 32 columns, and h.
    """
    kept = 15 if choice == "xla" else 4 * 32 + 3
    one, two = (checkpointed_bytes(MEMORY, 1, 100, segment) for segment in (1, 2))
    step = two - one + 50 * 12  # 50 borders fewer
    assert 3 * 4 * kept <= step <= 3 * (4 * kept + 1)
    with_outputs = checkpointed_bytes(MEMORY, 1, 100, 1, outputs=True)
    assert with_outputs - one == 2 * 100 * 12


@BOTH
def test_a_large_budget_takes_the_whole_sequence_at_once_and_computes_nothing_again(choice):
    whole = 2 if choice == "xla" else 0  # loops: forwards and backwards, or none that XLA sees
    T = segment_for_budget(MEMORY, 2, 50, 10**9)
    assert T == 50
    state, xs, resets = MEMORY.initial_state(2), jnp.zeros((50, 2, 2)), jnp.zeros((50, 2), bool)

    def loops(unroll):
        return jax.jit(jax.grad(lambda xs: jnp.sum(unroll(xs)[1]))).lower(xs).compile().as_text().count(" while(")

    assert loops(lambda xs: unroll_checkpointed(MEMORY, state, xs, resets, T)) == whole
    assert loops(lambda xs: unroll_checkpointed(MEMORY, state, xs, resets, 10)) > whole


def test_too_small_a_budget_is_refused_and_the_least_one_named():
    with pytest.raises(ConfigError, match="budget_bytes is 1000") as error:
        segment_for_budget(MEMORY, 2, 10_000, 1000)
    least = int(str(error.value).split("at least ")[1].split()[0])
    assert segment_for_budget(MEMORY, 2, 10_000, least) > 1
    with pytest.raises(ConfigError, match="outputs=False"):
        segment_for_budget(MEMORY, 2, 10_000, least, outputs=True)


def test_impossible_sizes_are_refused():
    state, xs, resets = MEMORY.initial_state(2), jnp.zeros((5, 2, 2)), jnp.zeros((5, 2), bool)
    for call in (
        lambda: unroll_checkpointed(MEMORY, state, xs, resets, 0),
        lambda: checkpointed_loss(MEMORY, state, xs, resets, square, jnp.zeros((5, 2, 3)), 0),
    ):
        with pytest.raises(ConfigError, match="segment is 0"):
            call()
    with pytest.raises(ConfigError, match="T is 0"):
        segment_for_budget(MEMORY, 2, 0, 1000)
    with pytest.raises(ConfigError, match="batch_size is -1"):
        segment_for_budget(MEMORY, -1, 5, 1000)
