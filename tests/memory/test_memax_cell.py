"""memax cells behind the contract: what the adapter promises for each of them, with finite data."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import MemaxMemory

pytest.importorskip("memax")

T, B, I, H, O = 6, 2, 3, 4, 2  # noqa: E741
KEY = jax.random.key(0)


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module", params=["GRU", "FFM"])
def memory(request):
    """A serial cell, and one with a parallel scan, complex numbers and a counter in its state."""
    return MemaxMemory.named(request.param, I, H, O, key=KEY)


@pytest.fixture(scope="module")
def xs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, B, I)), jnp.float32)


@pytest.fixture(scope="module")
def unroll():
    return eqx.filter_jit(lambda memory, state, xs, resets: memory.unroll(state, xs, resets))


NONE = jnp.zeros((T, B), bool)
RESETS = NONE.at[3, 0].set(True)


def assert_close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        if x.dtype != bool:  # memax notes in the state whether a start lay in the call: no output depends on it
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_unroll_equals_the_loop_over_step(memory, xs, unroll):
    state, ys = memory.initial_state(B), []
    expected_state, expected = unroll(memory, state, xs, NONE)
    step = eqx.filter_jit(lambda memory, state, x: memory.step(state, x))
    for x in xs:
        state, y = step(memory, state, x)
        ys.append(y)
    assert expected.shape == (T, B, O)
    assert_close((state, jnp.stack(ys)), (expected_state, expected))


def test_packed_sequences_equal_the_sequences_run_apart(memory, xs, unroll):
    _, ys = unroll(memory, memory.initial_state(B), xs, RESETS)
    _, whole = unroll(memory, memory.initial_state(B), xs, NONE)
    # Of other lengths than T, and so with other trees of additions.
    _, rest = unroll(memory, memory.initial_state(B), xs[3:], NONE[3:])
    assert_close(ys[:, 1], whole[:, 1])
    assert_close(ys[:3, 0], whole[:3, 0])
    assert_close(ys[3:, 0], rest[:, 0])
    assert np.abs(ys[3:, 0] - whole[3:, 0]).max() > 1e-4  # the reset does something


def test_a_reset_at_the_first_step_drops_any_state_even_nan(memory, xs, unroll):
    state = jax.tree.map(lambda a: a * jnp.nan if eqx.is_inexact_array(a) else a, memory.initial_state(B))
    assert_close(unroll(memory, state, xs, NONE.at[0].set(True)), unroll(memory, memory.initial_state(B), xs, NONE))


def test_gradients_reach_the_cell_and_do_not_cross_a_reset(memory, xs):
    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(diff, resets):
        memory, xs = diff
        return jnp.sum(memory.unroll(memory.initial_state(B), xs, resets)[1][3:, 0])

    d_memory, d_xs = gradient((memory, xs), RESETS)
    assert any(np.any(leaf != 0.0) for leaf in jax.tree.leaves(d_memory))
    np.testing.assert_array_equal(d_xs[:3], 0.0)
    assert np.any(gradient((memory, xs), NONE)[1][:3] != 0.0)


def test_taps_of_zero_change_nothing_and_have_the_gradient_of_the_state(memory, xs):
    """∂L/∂(the state that step 2 hands on), for an L of what comes after, is ∂L/∂(the state before step 3)."""
    taps = jax.tree.map(lambda a: jnp.zeros((T, *a.shape), a.dtype), memory.initial_state(B))

    @jax.jit
    def both(xs, taps):
        inexact, rest = eqx.partition(taps, eqx.is_inexact_array)
        value = lambda t: jnp.sum(memory.unroll(memory.initial_state(B), xs, RESETS, eqx.combine(t, rest))[1][3:])  # noqa: E731
        plain, ys = memory.unroll(memory.initial_state(B), xs, RESETS)
        tapped, tapped_ys = memory.unroll(memory.initial_state(B), xs, RESETS, taps)
        before = memory.unroll(memory.initial_state(B), xs[:3], RESETS[:3])[0]
        moving, fixed = eqx.partition(before, eqx.is_inexact_array)
        after = lambda s: jnp.sum(memory.unroll(eqx.combine(s, fixed), xs[3:], RESETS[3:])[1])  # noqa: E731
        return (plain, ys), (tapped, tapped_ys), jax.grad(value)(inexact), jax.grad(after)(moving)

    plain, tapped, d_taps, d_state = both(xs, taps)
    assert_close(plain, tapped)
    assert_close(jax.tree.map(lambda a: a[2], d_taps), d_state)
    assert any(np.any(leaf != 0.0) for leaf in jax.tree.leaves(d_state))


def test_no_steps(memory, xs):
    state, ys = memory.unroll(memory.initial_state(B), xs[:0], NONE[:0])
    assert ys.shape == (0, B, O)
    assert_close(state, memory.initial_state(B))


def test_a_single_layer_tells_its_own_sizes():
    from memax.equinox.set_actions.gru import GRU

    memory = MemaxMemory(GRU(recurrent_size=5, key=KEY), input_size=5)
    assert (memory.input_size, memory.output_size) == (5, 5)
    with pytest.raises(ConfigError, match="does not take inputs of 3 features"):
        MemaxMemory(GRU(recurrent_size=5, key=KEY), input_size=3)


def test_what_is_no_cell_and_what_is_no_name_is_refused():
    with pytest.raises(ConfigError, match="the cell is a Linear"):
        MemaxMemory(eqx.nn.Linear(2, 2, key=KEY), 2)
    with pytest.raises(ConfigError, match="no layer 'GRUU'"):
        MemaxMemory.named("GRUU", I, H, O, key=KEY)


def test_without_memax_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "memax.equinox.train_utils", None)
    with pytest.raises(ConfigError, match=r"memax is not installed[\s\S]*throughtime\[memax\]"):
        MemaxMemory.named("GRU", I, H, O, key=KEY)
