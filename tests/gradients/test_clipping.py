import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.gradients import clip_by_global_norm, clip_by_value

GRADS = {"a": np.array([3.0, -4.0], np.float32), "b": {"c": np.array([[12.0]], np.float32)}}  # norm 13


def grads():
    return {"a": jnp.asarray(GRADS["a"]), "b": {"c": jnp.asarray(GRADS["b"]["c"])}, "d": None}


def test_clipping_by_norm_keeps_the_direction():
    clipped, norm = clip_by_global_norm(grads(), 6.5)
    assert norm == 13.0
    np.testing.assert_allclose(clipped["a"], [1.5, -2.0], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"]["c"], [[6.0]], rtol=1e-6)
    assert clipped["d"] is None


def test_gradients_within_the_norm_are_not_touched():
    clipped, norm = clip_by_global_norm(grads(), 13.0)
    assert norm == 13.0
    np.testing.assert_array_equal(clipped["a"], GRADS["a"])
    clipped, norm = clip_by_global_norm({"a": jnp.zeros(3)}, 1.0)
    assert norm == 0.0
    np.testing.assert_array_equal(clipped["a"], np.zeros(3))


def test_clipping_by_value_limits_each_element():
    clipped, norm = clip_by_value(grads(), 3.5)
    assert norm == 13.0
    np.testing.assert_array_equal(clipped["a"], [3.0, -3.5])
    np.testing.assert_array_equal(clipped["b"]["c"], [[3.5]])


def test_bfloat16_keeps_its_dtype_and_its_norm_is_summed_in_float32():
    ones = {"a": jnp.ones(1000, jnp.bfloat16)}  # a bfloat16 sum of ones stops at 256
    for clip in (clip_by_value, clip_by_global_norm):
        clipped, norm = clip(ones, 1.0)
        assert clipped["a"].dtype == jnp.bfloat16
        np.testing.assert_allclose(norm, np.sqrt(1000.0), rtol=1e-6)


def test_a_nan_stays_visible():
    for clip in (clip_by_value, clip_by_global_norm):
        _, norm = clip({"a": jnp.array([jnp.nan, 1.0])}, 1.0)
        assert np.isnan(norm)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_an_impossible_limit_is_refused(limit):
    for clip in (clip_by_value, clip_by_global_norm):
        with pytest.raises(ConfigError, match=f"is {limit}"):
            clip(grads(), limit)
