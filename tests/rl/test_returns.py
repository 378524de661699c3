"""GAE against a table derived by hand.

γ = ½ throughout. With δ_t = r_t + γ·(1 − terminated_t)·V(next_t) − V_t and A_t = δ_t + γλ·(1 − ended_t)·A_{t+1}.
All columns share r = 1, 2, 4 and V = 2, 4, 8; V(next) = 4, 8, 16 unless the comment says otherwise.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.rl import generalised_advantages, true_next_values

NAN = float("nan")

# name: (V(next), terminated, truncated, A for λ = ½, A for λ = 0, A for λ = 1)
TABLE = {
    # δ = 1 + 2 − 2, 2 + 4 − 4, 4 + 8 − 8 = 1, 2, 4.
    # λ = ½ (γλ = ¼): A_2 = 4, A_1 = 2 + 4/4 = 3, A_0 = 1 + 3/4. λ = 1 (γλ = ½): A_1 = 2 + 4/2 = 4, A_0 = 1 + 4/2 = 3,
    # which is the return 1 + ½·2 + ¼·4 + ⅛·16 = 5 less V_0 = 2.
    "goes on": ([4, 8, 16], [0, 0, 0], [0, 0, 0], [1.75, 3, 4], [1, 2, 4], [3, 4, 4]),
    # δ_1 = 2 + 0 − 4 = −2: no bootstrap, and the trace is cut. λ = ½: A_0 = 1 − 2/4. λ = 1: A_0 = 1 − 2/2.
    "terminated": ([4, NAN, 16], [0, 1, 0], [0, 0, 0], [0.5, -2, 4], [1, -2, 4], [0, -2, 4]),
    # V(final) = 6: δ_1 = 2 + 3 − 4 = 1, and the trace is cut. λ = ½: A_0 = 1 + 1/4. λ = 1: A_0 = 1 + 1/2.
    "truncated": ([4, 6, 16], [0, 0, 0], [0, 1, 0], [1.25, 1, 4], [1, 1, 4], [1.5, 1, 4]),
    # Counts as terminated.
    "both": ([4, NAN, 16], [0, 1, 0], [0, 1, 0], [0.5, -2, 4], [1, -2, 4], [0, -2, 4]),
    # At the rollout's end: δ_2 = 4 + 0 − 8 = −4. λ = ½: A_1 = 2 − 4/4 = 1, A_0 = 1 + 1/4. λ = 1: A_1 = 0, A_0 = 1.
    "terminated last": ([4, 8, NAN], [0, 0, 1], [0, 0, 0], [1.25, 1, -4], [1, 2, -4], [1, 0, -4]),
    # V(final) = 2: δ_2 = 4 + 1 − 8 = −3. λ = ½: A_1 = 2 − 3/4, A_0 = 1 + 1.25/4. λ = 1: A_1 = 2 − 3/2, A_0 = 1 + ½/2.
    "truncated last": ([4, 8, 2], [0, 0, 0], [0, 0, 1], [1.3125, 1.25, -3], [1, 2, -3], [1.25, 0.5, -3]),
    # δ_0 = 1 − 2 = −1; then δ_1 = 2 + 3 − 4 = 1 with V(final) = 6; A_2 = 4 does not reach either.
    "each step ends": ([NAN, 6, 16], [1, 0, 0], [0, 1, 0], [-1, 1, 4], [-1, 1, 4], [-1, 1, 4]),
}
LAMBDAS = {0.5: 3, 0.0: 4, 1.0: 5}


def columns(index, dtype):
    return jnp.asarray(np.array([row[index] for row in TABLE.values()], dtype).T)


@pytest.mark.parametrize("trace", LAMBDAS)
def test_the_table(trace):
    B = len(TABLE)
    rewards = jnp.asarray(np.repeat([[1.0], [2.0], [4.0]], B, axis=1), jnp.float32)
    advantages = generalised_advantages(
        rewards,
        2 * rewards,
        columns(0, np.float32),
        columns(1, bool),
        columns(2, bool),
        discount=0.5,
        trace=trace,
    )
    for b, (name, row) in enumerate(TABLE.items()):
        assert_array_equal(np.asarray(advantages)[:, b], row[LAMBDAS[trace]], err_msg=name)  # exact in binary


def test_one_step():
    # δ_0 = 1 + ½·4 − 2 = 1 where the episode goes on or was truncated, 1 − 2 = −1 where it terminated.
    one = jnp.ones((1, 3))
    terminated, truncated = jnp.array([[False, True, False]]), jnp.array([[False, False, True]])
    advantages = generalised_advantages(one, 2 * one, 4 * one, terminated, truncated, discount=0.5, trace=0.5)
    assert_array_equal(advantages, [[1, -1, 1]])


def test_no_step():
    empty, flags = jnp.zeros((0, 2)), jnp.zeros((0, 2), bool)
    assert generalised_advantages(empty, empty, empty, flags, flags, discount=0.5, trace=0.5).shape == (0, 2)


def test_without_ends_it_is_the_sum_of_discounted_deltas():
    """Equation 16 written out: A_t = Σ_l (γλ)^l δ_{t+l}, in float64."""
    rng = np.random.default_rng(0)
    r, v, n = rng.normal(size=(3, 20, 2)).astype(np.float32)
    no = jnp.zeros((20, 2), bool)
    advantages = generalised_advantages(*map(jnp.asarray, (r, v, n)), no, no, discount=0.97, trace=0.9)
    delta = r + 0.97 * n.astype(np.float64) - v
    expected = [sum((0.97 * 0.9) ** i * delta[t + i] for i in range(20 - t)) for t in range(20)]
    assert_allclose(advantages, expected, rtol=1e-4, atol=1e-5)


def test_the_true_successor():
    values = jnp.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    final = jnp.array([[7.0, NAN], [NAN, 8.0], [9.0, NAN]])
    truncated = jnp.array([[True, False], [False, True], [True, False]])
    nexts = true_next_values(values, jnp.array([4.0, 40.0]), final, truncated)
    # Column 0 is truncated at steps 0 and 2 (also the last one: then V(obs_T) is not the successor), column 1 at 1.
    assert_array_equal(nexts, [[7, 20], [3, 8], [9, 40]])


def test_the_true_successor_of_one_step():
    nexts = true_next_values(
        jnp.ones((1, 2)), jnp.array([4.0, 5.0]), jnp.array([[6.0, 7.0]]), jnp.array([[False, True]])
    )
    assert_array_equal(nexts, [[4, 7]])
