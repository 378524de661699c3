"""What a memory says of the true successors, against stepping each row by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from boundary import quick_jit
from throughtime.agents.successors import successor_features
from throughtime.memory import make_memory

T, B, SIZE = 9, 4, 3


@pytest.mark.parametrize("name", ["lstm", "tdnn"])
def test_successors_by_stepping_each_row(name):
    memory = make_memory(name, SIZE, 5, key=jax.random.key(0))
    rng = np.random.default_rng(0)
    xs, next_xs = (jnp.asarray(rng.normal(size=(T, B, SIZE)), jnp.float32) for _ in range(2))
    ended = np.zeros((T, B), bool)
    ended[2, 0] = True  # in the middle
    ended[[4, 5, 8], 2] = True  # twice in a row, and at the very end
    resets = np.concatenate([[[False, True, False, False]], ended[:-1]])
    start = jax.tree.map(lambda x: x + 0.3, memory.initial_state(B))

    got = quick_jit(successor_features)(memory, start, xs, next_xs, jnp.asarray(resets))
    step = quick_jit(lambda state, x: memory.step(state, x))
    for b in range(B):
        state = jax.tree.map(lambda x, b=b: x[b : b + 1], start)
        for t in range(T):
            if resets[t, b]:
                state = memory.initial_state(1)
            state, _ = step(state, xs[t, b][None])
            goes_on = not ended[t, b] and t < T - 1
            successor = xs[t + 1, b] if goes_on else next_xs[t, b]
            assert_allclose(got[t, b], step(state, successor[None])[1][0], atol=1e-6)
