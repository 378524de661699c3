import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.gradients import (
    check_clipping,
    clip,
    clip_adaptive,
    clip_by_global_norm,
    clip_by_value,
    clip_per_layer,
)
from throughtime.memory import GRU, Stack

GRADS = {"a": np.array([3.0, -4.0], np.float32), "b": {"c": np.array([[12.0]], np.float32)}}  # norm 13


def grads():
    return {"a": jnp.asarray(GRADS["a"]), "b": {"c": jnp.asarray(GRADS["b"]["c"])}, "d": None}


def test_clipping_by_norm_keeps_the_direction():
    clipped, norm = clip_by_global_norm(grads(), 6.5)
    assert norm == 13.0
    np.testing.assert_allclose(clipped["a"], [1.5, -2.0], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"]["c"], [[6.0]], rtol=1e-6)
    assert clipped["d"] is None


def cosine(a, b):
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64) for tree in (a, b))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_clipping_by_norm_keeps_the_direction_and_by_value_does_not():
    """An exploding gradient of a recurrent network: a few elements tower above the rest."""
    rng = np.random.default_rng(0)
    exploding = {name: jnp.asarray(rng.standard_cauchy(size=(20, 30)), jnp.float32) for name in "ab"}
    for c in (0.01, 1.0, 10.0):
        assert cosine(clip_by_global_norm(exploding, c)[0], exploding) == pytest.approx(1.0, abs=1e-6)
    assert cosine(clip_by_value(exploding, 10.0)[0], exploding) < 0.7
    assert cosine(clip_by_value(exploding, 0.01)[0], exploding) < cosine(clip_by_value(exploding, 10.0)[0], exploding)


def test_each_layer_is_clipped_by_its_own_norm():
    layers = [GRU(2, 2, key=key) for key in jax.random.split(jax.random.key(0))]
    grads = jax.tree.map(jnp.ones_like, Stack(layers))  # 12 + 12 + 6 + 2 elements a layer: its norm is √32
    large = jax.tree.map(lambda g: 10 * g, grads.layers[1])
    grads = Stack([grads.layers[0], large])
    clipped, norm = clip_per_layer(grads, 8.0)
    np.testing.assert_allclose(norm, np.sqrt(32 + 3200), rtol=1e-6)
    for leaf in jax.tree.leaves(clipped.layers[0]):
        np.testing.assert_array_equal(leaf, 1.0)  # √32 < 8: untouched, whatever the other layer does
    for leaf in jax.tree.leaves(clipped.layers[1]):
        np.testing.assert_allclose(leaf, 8 / np.sqrt(32), rtol=1e-6)


def test_adaptive_clipping_limits_each_unit_by_its_own_weights():
    params = {"w": np.array([[3.0, 0.6], [4.0, 0.8]]), "b": np.array([0.0, 0.0])}  # columns of norm 5 and 1
    grads = {"w": np.array([[0.0, 0.06], [0.4, 0.08]]), "b": np.array([3e-5, 4e-5])}  # of norm 0.4 and 0.1
    params, grads = (jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), tree) for tree in (params, grads))
    clipped, norm = clip_adaptive(grads, params, 0.05)
    # 0.05 · 5 = 0.25 < 0.4; 0.05 · 1 = 0.05 < 0.1; a bias of zeros counts as one of norm 0.001: 5e-5.
    np.testing.assert_allclose(clipped["w"], [[0.0, 0.03], [0.25, 0.04]], rtol=1e-6)
    np.testing.assert_array_equal(clipped["b"], grads["b"])
    np.testing.assert_allclose(norm, np.sqrt(0.4**2 + 0.1**2), rtol=1e-6)
    clipped, _ = clip_adaptive({"b": 10 * grads["b"]}, {"b": params["b"]}, 0.05)
    np.testing.assert_allclose(clipped["b"], [3e-5, 4e-5], rtol=1e-5)
    untouched, _ = clip_adaptive(grads, params, 0.5)
    np.testing.assert_array_equal(untouched["w"], grads["w"])


def test_one_function_serves_every_config():
    params = jax.tree.map(lambda g: 0.1 * g, grads())
    expected = {
        "norm": clip_by_global_norm(grads(), 0.5),
        "value": clip_by_value(grads(), 0.5),
        "layer": clip_per_layer(grads(), 0.5),
        "adaptive": clip_adaptive(grads(), params, 0.5),
    }
    results = []
    for by, (clipped, _) in expected.items():
        result, norm = clip(grads(), params, by, 0.5)
        assert norm == 13.0  # before clipping
        assert result["d"] is None
        for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(clipped), strict=True):
            np.testing.assert_array_equal(a, b)
        results.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result)]))
        unclipped, norm = clip(grads(), params, by, None)
        assert norm == 13.0
        np.testing.assert_array_equal(unclipped["a"], GRADS["a"])
    assert len({tuple(r) for r in results}) == 4


def test_an_unknown_way_of_clipping_is_refused():
    with pytest.raises(ConfigError, match=r"gradient_clip_by = 'layers'(.|\n)*Did you mean 'layer'\?"):
        check_clipping("layers")


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
    for limit in (clip_by_value, clip_by_global_norm, clip_per_layer, lambda g, c: clip_adaptive(g, g, c)):
        clipped, norm = limit(ones, 1.0)
        assert clipped["a"].dtype == jnp.bfloat16
        np.testing.assert_allclose(norm, np.sqrt(1000.0), rtol=1e-6)


def test_a_nan_stays_visible():
    for limit in (clip_by_value, clip_by_global_norm, clip_per_layer, lambda g, c: clip_adaptive(g, g, c)):
        _, norm = limit({"a": jnp.array([jnp.nan, 1.0])}, 1.0)
        assert np.isnan(norm)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_an_impossible_limit_is_refused(limit):
    for clipped in (clip_by_value, clip_by_global_norm, clip_per_layer, lambda g, c: clip_adaptive(g, g, c)):
        with pytest.raises(ConfigError, match=f"is {limit}"):
            clipped(grads(), limit)
