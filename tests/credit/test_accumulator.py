"""RUDDER's LSTM against its equations in float64 NumPy, and the laws of a memory that credit relies on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.credit.accumulator import Accumulator

pytestmark = pytest.mark.usefixtures("quick_compiler")

T, B, I, H = 6, 3, 2, 4  # noqa: E741


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_it_adds_up_by_its_equations_and_starts_anew_where_it_is_reset():
    memory = Accumulator(I, H, key=jax.random.key(0))
    W_xn, W_hi, b_n, b_i = (
        np.asarray(x, float) for x in (memory.weight_xn, memory.weight_hi, memory.bias_n, memory.bias_i)
    )
    rng = np.random.default_rng(0)
    xs, resets = rng.normal(size=(T, B, I)) * 3, rng.random((T, B)) < 0.3
    expected = np.zeros((T, B, H))
    for b in range(B):
        c = np.zeros(H)
        for t in range(T):
            c = np.zeros(H) if resets[t, b] else c
            c = c + sigmoid(c @ W_hi + b_i) * np.tanh(xs[t, b] @ W_xn + b_n)
            expected[t, b] = c
    unroll = jax.jit(lambda xs, resets: memory.unroll(memory.initial_state(B), xs, resets))
    state, ys = unroll(jnp.asarray(xs, jnp.float32), jnp.asarray(resets))
    np.testing.assert_allclose(ys, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state.c, expected[-1], rtol=1e-5, atol=1e-5)
    dirty = jnp.asarray(xs, jnp.float32).at[1, 0].set(jnp.nan)
    _, again = unroll(dirty, jnp.asarray(resets).at[2].set(True))
    assert np.isfinite(np.asarray(again)[2:]).all()


def test_it_begins_as_the_published_code_does():
    memory = Accumulator(40, 200, key=jax.random.key(1))
    assert float(memory.bias_i.mean()) == pytest.approx(-3.0, abs=0.3)
    assert float(memory.bias_n.std()) == pytest.approx(1.0, abs=0.2)
    assert float(memory.weight_xn.std()) == pytest.approx(0.1, abs=0.01)
    assert float(memory.weight_hi.std()) == pytest.approx(0.1, abs=0.01)
