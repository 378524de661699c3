"""The order of `cut` and `join_starts`, on arrays whose entries say where they are from."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from throughtime.rl import cut, join_starts

T, B = 12, 3
# Entry [t, b] is 100·b + t.
LABELS = np.arange(T)[:, None] + 100 * np.arange(B)[None]


@pytest.mark.parametrize("length", [1, 3, 4, 12])
def test_sequences_are_contiguous_and_of_one_environment(length):
    pieces = np.asarray(cut(jnp.asarray(LABELS), length))
    assert pieces.shape == (length, T // length * B)
    for n in range(pieces.shape[1]):
        s, b = divmod(n, B)
        assert_array_equal(pieces[:, n], 100 * b + s * length + np.arange(length))


def test_feature_axes_stay():
    tree = {"x": jnp.asarray(LABELS[..., None] * np.ones((1, 1, 5)), jnp.float32), "flag": jnp.asarray(LABELS % 2 == 0)}
    pieces = cut(tree, 4)
    assert pieces["x"].shape == (4, 9, 5)
    assert_array_equal(pieces["x"][..., 3], cut(jnp.asarray(LABELS), 4))
    assert_array_equal(pieces["flag"], cut(jnp.asarray(LABELS), 4) % 2 == 0)


@pytest.mark.parametrize("length", [1, 3, 4, 12])
def test_the_states_lie_in_the_order_of_the_sequences(length):
    stored = jnp.asarray(LABELS[::length, :, None])  # [T/length, B, 1]: the label of the step it was stored at
    joined = join_starts({"h": stored})["h"]
    assert_array_equal(joined[:, 0], cut(jnp.asarray(LABELS), length)[0])
