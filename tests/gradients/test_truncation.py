"""Where the gradient is cut, and that only the gradient is. (That the methods agree is a law: tests/laws.)"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.gradients import unroll_checkpointed, unroll_truncated
from throughtime.memory import GRU

T, B = 7, 2
MEMORY = GRU(2, 3, key=jax.random.key(0))
XS = jnp.asarray(np.random.default_rng(0).normal(size=(T, B, 2)), jnp.float32)
RESETS = jnp.zeros((T, B), bool)


@pytest.mark.parametrize("length", [1, 3, 7, 9])
@pytest.mark.parametrize("unroll", [unroll_truncated, unroll_checkpointed])
def test_outputs_and_state_are_those_of_unroll(unroll, length):
    state = MEMORY.initial_state(B)
    final, ys = MEMORY.unroll(state, XS, RESETS)
    other_final, other_ys = jax.jit(lambda s, xs, r: unroll(MEMORY, s, xs, r, length))(state, XS, RESETS)
    np.testing.assert_allclose(other_ys, ys, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other_final.h, final.h, rtol=1e-6, atol=1e-6)


def test_the_gradient_is_cut_every_k_steps():
    """Which outputs (rows) see which inputs (columns): pieces of 3 + 3 + 1 steps, and nothing across."""

    @jax.jit
    @jax.jacrev
    def outputs(xs):
        _, ys = unroll_truncated(MEMORY, MEMORY.initial_state(B), xs, RESETS, 3)
        return jnp.sum(ys, axis=(1, 2))

    seen = np.any(np.asarray(outputs(XS)) != 0, axis=(2, 3))
    pieces = np.array([0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(seen, np.tril(pieces[:, None] == pieces))


def test_a_length_below_one_is_refused():
    for unroll in (unroll_truncated, unroll_checkpointed):
        with pytest.raises(ConfigError, match="is 0"):
            unroll(MEMORY, MEMORY.initial_state(B), XS, RESETS, 0)
