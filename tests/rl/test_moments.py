"""Running moments against NumPy's over everything at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.rl import Moments


def moments_of(batches, shape):
    moments = Moments.create(shape)
    update = jax.jit(Moments.update)
    for batch in batches:
        moments = update(moments, jnp.asarray(batch, jnp.float32))
    return moments


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_many_batches_are_one(shape):
    rng = np.random.default_rng(0)
    scale, shift = 10.0 ** rng.uniform(-1, 1, shape), rng.normal(size=shape) * 5
    data = rng.normal(size=(300, 4, 5, *shape)) * scale + shift
    moments = moments_of(data, shape)
    # 1e-4 of an observation stands for the start: mean 0, variance 1.
    assert_allclose(moments.mean, data.mean((0, 1, 2)), rtol=1e-4)
    assert_allclose(moments.var, data.var((0, 1, 2)), rtol=1e-3)
    assert_allclose(moments.weight, 300 * 4 * 5, rtol=1e-6)


def test_batches_that_differ_in_mean():
    """The variance between batches counts: three batches of constants have none within."""
    data = np.repeat([[1.0], [2.0], [6.0]], 50, axis=1)
    moments = moments_of(data, ())
    assert_allclose(moments.mean, 3.0, rtol=1e-5)
    assert_allclose(moments.var, 14 / 3, rtol=1e-4)  # (4 + 1 + 9) / 3


def test_a_large_offset_keeps_the_variance():
    rng = np.random.default_rng(0)
    data = 1000.0 + rng.normal(size=(200, 64))
    assert_allclose(moments_of(data, ()).var, data.var(), rtol=0.01)


def test_batches_of_different_sizes_weigh_by_their_size():
    rng = np.random.default_rng(0)
    batches = [rng.normal(loc=i, size=n) for i, n in enumerate((1, 50, 7))]
    moments = moments_of(batches, ())
    assert_allclose(moments.mean, np.concatenate(batches).mean(), rtol=1e-4)
    assert_allclose(moments.var, np.concatenate(batches).var(), rtol=1e-3)


def test_nothing_seen_changes_nothing():
    fresh = Moments.create((2,))
    x = jnp.array([[0.5, -3.0]])
    assert_allclose(fresh.standardise(x), x, rtol=1e-6)
    for before, after in zip(fresh, fresh.update(jnp.zeros((0, 4, 2))), strict=True):
        assert_array_equal(before, after)


def test_standardise_scales_and_clips():
    moments = Moments(jnp.asarray(10.0), jnp.array([1.0, 0.0]), jnp.array([4.0, 0.0]))
    # (5 − 1) / 2 = 2; a feature that never varied is divided by √1e-8 and clipped at 10.
    assert_allclose(moments.standardise(jnp.array([[5.0, 0.0], [-99.0, 1.0]])), [[2, 0], [-10, 10]], rtol=1e-5)
    assert_allclose(moments.standardise(jnp.array([[5.0, 1.0]]), limit=1.5), [[1.5, 1.5]])


def test_a_number_that_never_changes_does_not_vary():
    rng = np.random.default_rng(0)
    moments = Moments.create((4,))
    assert np.asarray(moments.varies()).all()  # nothing was seen: nothing is known
    for _ in range(50):
        x = rng.normal(size=(200, 4)) * [0.0, 0.0, 1e-3, 1.0] + [0.0, 7.3, 5.0, 0.0]
        moments = moments.update(jnp.asarray(x, jnp.float32))
    np.testing.assert_array_equal(moments.varies(), [False, False, True, True])
