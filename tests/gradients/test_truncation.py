"""Truncated BPTT against a slow literal loop. (That the methods agree where they should is a law: tests/laws.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.gradients import unroll_checkpointed, unroll_truncated
from throughtime.memory import GRU, LSTM, make_memory

T, B = 7, 2
MEMORY = GRU(2, 3, key=jax.random.key(0))
XS = jnp.asarray(np.random.default_rng(0).normal(size=(T, B, 2)), jnp.float32)
RESETS = jnp.zeros((T, B), bool)


pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.mark.parametrize("length", [1, 3, 7])
@pytest.mark.parametrize("unroll", [unroll_truncated, unroll_checkpointed])
def test_outputs_and_state_are_those_of_unroll(unroll, length):
    state = MEMORY.initial_state(B)
    final, ys = MEMORY.unroll(state, XS, RESETS)
    other_final, other_ys = jax.jit(lambda s, xs, r: unroll(MEMORY, s, xs, r, length))(state, XS, RESETS)
    np.testing.assert_allclose(other_ys, ys, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other_final.h, final.h, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("k1", "k2", "first"),  # first: of the inputs that the output of each step is backpropagated to
    [
        (3, None, [0, 0, 0, 3, 3, 3, 4]),
        (1, None, [0, 1, 2, 3, 4, 5, 6]),
        (1, 3, [0, 0, 0, 1, 2, 3, 4]),
        (2, 5, [0, 0, 0, 0, 1, 1, 2]),
        (4, 6, [0, 0, 0, 0, 1, 1, 1]),
        (3, 7, [0] * 7),
    ],
)
def test_which_outputs_see_which_inputs(k1, k2, first):
    """Each piece of k1 steps, the last one shorter, sees the k2 steps that end with it."""

    @jax.jit
    @jax.jacrev
    def outputs(xs):
        _, ys = unroll_truncated(MEMORY, MEMORY.initial_state(B), xs, RESETS, k1, k2)
        return jnp.sum(ys, axis=(1, 2))

    seen = np.any(np.asarray(outputs(XS)) != 0, axis=(2, 3))
    steps = np.arange(T)
    np.testing.assert_array_equal(seen, (steps >= np.array(first)[:, None]) & (steps <= steps[:, None]))


def literal_gradient(memory, start, xs, resets, targets, k1, k2):
    """Williams & Peng's BPTT(h; h') word for word: at each k1-th step and at the last, back through k2 steps."""
    before, loss = [start], 0.0  # the states before each step
    for t in range(len(xs)):
        step_loss, state = one_step(memory, before[t], xs[t], resets[t], targets[t])
        before.append(state)
        loss += step_loss
    d_memory, d_start = jax.tree.map(np.zeros_like, (memory, start))
    done = 0
    for end in range(1, len(xs) + 1):
        if end % k1 and end < len(xs):
            continue
        d_state = jax.tree.map(jnp.zeros_like, start)
        for t in reversed(range(max(0, end - k2), end)):
            seed = jnp.float64(t >= done)  # the loss of the steps since the last time, and no other
            d_step, d_state = one_step_back(memory, before[t], xs[t], resets[t], targets[t], seed, d_state)
            d_memory = jax.tree.map(np.add, d_memory, d_step)
        if end <= k2:
            d_start = jax.tree.map(np.add, d_start, d_state)
        done = end
    return loss, (d_memory, d_start)


@jax.jit
def one_step(memory, state, x, reset, target):
    fresh = memory.initial_state(len(x))
    state = jax.tree.map(lambda a, b: jnp.where(reset[:, None], a, b), fresh, state)
    state, y = memory.step(state, x)
    return jnp.sum(jnp.square(y - target)), state


@jax.jit
def one_step_back(memory, state, x, reset, target, d_loss, d_state):
    return jax.vjp(lambda m, s: one_step(m, s, x, reset, target), memory, state)[1]((d_loss, d_state))


@pytest.mark.parametrize(("cls", "k1", "k2"), [(GRU, 3, 3), (GRU, 1, 4), (GRU, 2, 3), (GRU, 2, 7), (LSTM, 3, 5)])
def test_the_gradient_is_that_of_the_literal_loop(cls, k1, k2):
    with jax.enable_x64(True):
        memory = cls(2, 3, learn_initial_state=True, dtype=jnp.float64, key=jax.random.key(1))
        start = jax.tree.map(lambda a: a + 0.3, memory.initial_state(B))
        rng = np.random.default_rng(1)
        xs, targets = jnp.asarray(rng.normal(size=(T, B, 2))), jnp.asarray(rng.normal(size=(T, B, 3)))
        resets = jnp.zeros((T, B), bool).at[3, 0].set(True)
        expected_loss, expected = literal_gradient(memory, start, xs, resets, targets, k1, k2)

        @jax.jit
        @jax.value_and_grad
        def truncated(diff):
            _, ys = unroll_truncated(*diff, xs, resets, k1, k2)
            return jnp.sum(jnp.square(ys - targets))

        loss, gradient = truncated((memory, start))
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
        for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_the_final_state_goes_back_k2_steps():
    def last(xs):
        return jnp.sum(unroll_truncated(MEMORY, MEMORY.initial_state(B), xs, RESETS, 2, 3)[0].h)

    seen = np.any(np.asarray(jax.jit(jax.grad(last))(XS)) != 0, axis=(1, 2))
    np.testing.assert_array_equal(seen, [False] * 4 + [True] * 3)


def test_a_memory_without_a_state_can_be_truncated():
    memory = make_memory("none", 2, 3, key=jax.random.key(0))
    expected = memory.unroll(memory.initial_state(B), XS, RESETS)[1]
    ys = jax.jit(lambda xs: unroll_truncated(memory, memory.initial_state(B), xs, RESETS, 2, 3)[1])(XS)
    np.testing.assert_allclose(ys, expected, rtol=1e-6)


@pytest.mark.parametrize(("k1", "k2", "words"), [(0, None, "k1 is 0"), (-1, 3, "k1 is -1"), (4, 3, "k1 is 4.*k2 is 3")])
def test_impossible_lengths_are_refused(k1, k2, words):
    with pytest.raises(ConfigError, match=words):
        unroll_truncated(MEMORY, MEMORY.initial_state(B), XS, RESETS, k1, k2)
