"""The native kernels beside the equations in NumPy float64, on shapes, resets and dtypes that hypothesis draws.

The laws (tests/laws) hold them to everything else, in float64. Here: float32 and bfloat16, odd sizes, one row to more
rows than a block has, vmap, scan, checkpoint, and what is not a number.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy_memories import REFERENCES, run

from throughtime.kernels import kernels, library
from throughtime.memory import make_memory

pytestmark = pytest.mark.skipif(library().instruction_set is None, reason=library().reason)

CELLS = [
    ("elman", {}),
    ("elman", {"f": "relu"}),
    ("elman", {"f": "identity", "spectral_radius": 0.9}),
    ("elman", {"f": "sigmoid"}),
    ("lstm", {}),
    ("lstm", {"peepholes": True}),
    ("gru", {}),
    ("gru", {"reset": "before"}),
]


@pytest.fixture(autouse=True)
def native():
    with kernels("native"):
        yield


def build(cell, I, H, seed, dtype=np.float32):  # noqa: E741
    name, options = cell
    memory = make_memory(name, I, H, learn_initial_state=True, key=jax.random.key(0), **options)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(scale=0.5 / len(a) ** 0.5, size=a.shape), dtype), memory)


def as_float64(memory):
    with jax.enable_x64(True):
        return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), memory)


def reference(memory, cell, xs, resets):
    """The outputs by the equations, in NumPy and float64."""
    with jax.enable_x64(True):
        return run(REFERENCES[cell[0]](as_float64(memory), cell[1]), xs.astype(np.float64), resets)[1]


def data(T, B, I, seed):  # noqa: E741
    rng = np.random.default_rng(seed)
    return rng.normal(size=(T, B, I)).astype(np.float32), rng.random((T, B)) < 0.2


def native_loss(diff, resets, w):
    memory, xs = diff
    _, ys = memory.unroll(memory.initial_state(xs.shape[1]), xs, resets)
    return jnp.sum(ys * w), ys


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cell=st.sampled_from(CELLS),
    T=st.integers(0, 9),
    B=st.sampled_from([1, 2, 5, 9, 70]),
    I=st.sampled_from([1, 2, 7, 33]),
    H=st.sampled_from([1, 3, 17, 32, 100]),
    seed=st.integers(0, 10**6),
)
def test_float32_is_near_the_equations_in_float64(cell, T, B, I, H, seed):  # noqa: E741
    memory = build(cell, I, H, seed)
    xs, resets = data(T, B, I, seed)
    _, ys = memory.unroll(memory.initial_state(B), jnp.asarray(xs), jnp.asarray(resets))
    if T:
        expected = reference(memory, cell, xs, resets)
        np.testing.assert_allclose(ys, expected, rtol=2e-5, atol=2e-5)
    assert ys.shape == (T, B, H)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cell=st.sampled_from(CELLS),
    T=st.integers(1, 9),
    B=st.sampled_from([1, 5, 9, 70]),
    I=st.sampled_from([1, 7, 33]),
    H=st.sampled_from([1, 3, 17, 100]),
    seed=st.integers(0, 10**6),
)
def test_float32_gradients_are_near_those_of_pure_xla_in_float64(cell, T, B, I, H, seed):  # noqa: E741
    memory = build(cell, I, H, seed)
    xs, resets = data(T, B, I, seed)
    w = np.random.default_rng(seed + 1).normal(size=(T, B, H)).astype(np.float32)
    gradient = eqx.filter_grad(native_loss, has_aux=True)
    got, _ = gradient((memory, jnp.asarray(xs)), jnp.asarray(resets), jnp.asarray(w))
    with jax.enable_x64(True), kernels("xla"):
        exact = (as_float64(memory), jnp.asarray(xs, jnp.float64))
        expected, _ = gradient(exact, jnp.asarray(resets), jnp.asarray(w, jnp.float64))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a / scale, np.asarray(b) / scale, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_bfloat16_keeps_its_dtype_and_computes_in_float32(cell):
    memory, (xs, resets) = build(cell, 5, 17, 0), data(6, 3, 5, 0)
    rounded = jax.tree.map(lambda a: a.astype(jnp.bfloat16), memory)
    xs16 = jnp.asarray(xs, jnp.bfloat16)
    state, ys = rounded.unroll(rounded.initial_state(3), xs16, jnp.asarray(resets))
    assert ys.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.bfloat16)}
    expected = reference(rounded, cell, np.asarray(xs16), resets)
    np.testing.assert_allclose(np.asarray(ys, np.float32), expected, rtol=2**-8, atol=1e-3)  # one rounding, at the end


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_vmap_over_seeds_equals_a_loop(cell):
    memories = [build(cell, 3, 5, seed) for seed in range(3)]
    xs, resets = data(4, 6, 3, 0)
    w = jnp.ones((4, 6, 5))

    def gradient(memory, xs):
        return eqx.filter_grad(native_loss, has_aux=True)((memory, xs), jnp.asarray(resets), w)

    stacked = jax.tree.map(lambda *a: jnp.stack(a), *memories)
    together = eqx.filter_vmap(gradient, in_axes=(eqx.if_array(0), None))(stacked, jnp.asarray(xs))
    apart = jax.tree.map(lambda *a: jnp.stack(a), *[gradient(m, jnp.asarray(xs)) for m in memories])
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", [CELLS[4], CELLS[6]], ids=str)
def test_scan_and_checkpoint_around_a_layer_change_nothing(cell):
    memory, (xs, resets) = build(cell, 3, 5, 0), data(8, 6, 3, 0)
    xs, resets = jnp.asarray(xs), jnp.asarray(resets)

    def whole(memory):
        return jnp.sum(memory.unroll(memory.initial_state(6), xs, resets)[1] ** 2)

    def pieces(memory):
        @jax.checkpoint
        def body(state, piece):
            state, ys = memory.unroll(state, *piece)
            return state, jnp.sum(ys**2)

        cut = (xs.reshape(4, 2, 6, 3), resets.reshape(4, 2, 6))
        return jnp.sum(jax.lax.scan(body, memory.initial_state(6), cut)[1])

    for a, b in zip(*(jax.tree.leaves(eqx.filter_grad(f)(memory)) for f in (whole, pieces)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_is_not_finite_goes_where_the_equations_send_it(cell, value):
    memory, (xs, _) = build(cell, 3, 5, 0), data(5, 9, 3, 0)
    xs[2, 4, 1] = value
    resets = np.zeros((5, 9), bool)
    with np.errstate(all="ignore"):
        expected = reference(memory, cell, xs, resets)
    _, ys = memory.unroll(memory.initial_state(9), jnp.asarray(xs), jnp.asarray(resets))
    np.testing.assert_array_equal(np.isnan(ys), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(ys), np.isinf(expected))
    np.testing.assert_allclose(ys, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("H", [5, 32])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_gradients_are_finite_where_those_of_pure_xla_are(cell, H, value):
    """Also at saturated gates, whose gradient is exactly zero, and where padding meets an infinity."""
    memory, (xs, _) = build(cell, 3, H, 0), data(5, 9, 3, 0)
    xs[2, 4, 1], xs[1, 7] = value, 3e4
    mask = np.ones((5, 9, H), np.float32)
    if np.isnan(value):
        mask[2:, 4] = 0.0  # what is not a number is left out of the loss
    resets = jnp.zeros((5, 9), bool)

    def loss(diff):
        memory, xs, state = diff
        ys = memory.unroll(state, xs, resets)[1]
        return jnp.sum(jnp.where(mask > 0, ys, 0.0))

    diff = (memory, jnp.asarray(xs), memory.initial_state(9))
    got = eqx.filter_grad(loss)(diff)
    with kernels("xla"):
        expected = eqx.filter_grad(loss)(diff)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
        scale = np.abs(np.asarray(b)[np.isfinite(b)]).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * scale)


def test_only_what_is_asked_for_is_differentiated():
    """By the inputs alone, by the state alone, by one weight alone: as by all of them together."""
    memory, (xs, resets) = build(CELLS[4], 3, 5, 0), data(6, 9, 3, 0)
    state, resets = memory.initial_state(9), jnp.asarray(resets)

    def loss(memory, xs, state):
        return jnp.sum(memory.unroll(state, xs, resets)[1] ** 2)

    every = jax.grad(loss, argnums=(0, 1, 2))(memory, jnp.asarray(xs), state)
    one = jax.jit(jax.grad(lambda xs: loss(memory, xs, state)))(jnp.asarray(xs))
    np.testing.assert_allclose(one, every[1], rtol=1e-6, atol=1e-7)
    one = jax.jit(jax.grad(lambda state: loss(memory, jnp.asarray(xs), state)))(state)
    np.testing.assert_allclose(one.c, every[2].c, rtol=1e-6, atol=1e-7)
    one = jax.grad(lambda w: loss(eqx.tree_at(lambda m: m.bias_h, memory, w), jnp.asarray(xs), state))(memory.bias_h)
    np.testing.assert_allclose(one, every[0].bias_h, rtol=1e-6, atol=1e-7)


def test_gates_never_exceed_one():
    """A forget gate of 1 + ε would make a cell grow: a counter of 10,000 steps at a saturated gate stays."""
    memory = make_memory("lstm", 1, 4, forget_bias=30.0, key=jax.random.key(0))
    zeros = eqx.tree_at(lambda m: (m.weight_xh, m.weight_hh), memory, replace_fn=jnp.zeros_like)
    state = jax.tree.map(lambda a: jnp.full_like(a, 0.7), zeros.initial_state(1))
    last, _ = zeros.unroll(state, jnp.zeros((10_000, 1, 1)), jnp.zeros((10_000, 1), bool))
    np.testing.assert_array_equal(last.c, np.float32(0.7))


def test_results_do_not_depend_on_how_many_rows_go_together():
    memory, (xs, resets) = build(CELLS[4], 3, 32, 0), data(6, 150, 3, 0)
    _, together = memory.unroll(memory.initial_state(150), jnp.asarray(xs), jnp.asarray(resets))
    for row in (0, 71, 149):
        part = slice(row, row + 1)
        _, alone = memory.unroll(memory.initial_state(1), jnp.asarray(xs[:, part]), jnp.asarray(resets[:, part]))
        np.testing.assert_array_equal(alone, together[:, part])
