from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import named_arrays, replace_arrays


class Pair(NamedTuple):
    left: jax.Array
    right: object


class Net(eqx.Module):
    layers: tuple
    weight_hh: jax.Array
    size: int = eqx.field(static=True)
    f: object


def tree():
    return {
        "actor": Net((Pair(jnp.ones(2, jnp.bfloat16), None),), jnp.arange(6.0).reshape(2, 3), 3, jnp.tanh),
        "clock": np.arange(3, dtype=np.float64),
        "key": jax.random.key(7),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 2),
        "steps": 5,
    }


def numpy_arrays():
    return {name: np.array(a) for name, a in named_arrays(tree()).items()}


def test_names_are_dotted_paths_of_the_arrays_in_order():
    assert list(named_arrays(tree())) == ["actor.layers.0.left", "actor.weight_hh", "clock", "key", "keys"]


def test_replacing_puts_everything_back():
    new = {name: (a + 1).astype(a.dtype) for name, a in numpy_arrays().items()}
    replaced = replace_arrays(tree(), new)
    assert jax.tree.structure(replaced) == jax.tree.structure(tree())
    for name, a in named_arrays(replaced).items():
        assert np.asarray(a).tobytes() == new[name].tobytes()
        assert a.dtype == new[name].dtype
    assert isinstance(replaced["clock"], np.ndarray)
    assert replaced["actor"].f is jnp.tanh
    assert replaced["steps"] == 5


def test_keys_draw_as_before():
    replaced = replace_arrays(tree(), numpy_arrays())
    for name in ("key", "keys"):
        old, new = tree()[name], replaced[name]
        assert jax.random.key_impl(old) == jax.random.key_impl(new)
    assert jax.random.bits(replaced["key"]) == jax.random.bits(tree()["key"])


def test_the_arrays_put_in_are_copied():
    new = numpy_arrays()
    replaced = replace_arrays(tree(), new)
    for a in new.values():
        a[...] = 0
    np.testing.assert_array_equal(replaced["actor"].weight_hh, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(replaced["clock"], np.arange(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("actor.weight_hh"), "'actor.weight_hh' is missing"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "'more' is surplus"),
        (lambda arrays: arrays.update(clock=np.zeros(4)), r"'clock' has shape \(4,\), expected \(3,\)"),
        (lambda arrays: arrays.update(clock=np.zeros(3, np.float32)), "'clock' has dtype float32, expected float64"),
    ],
)
def test_a_leaf_that_does_not_fit_is_named(change, message):
    arrays = numpy_arrays()
    change(arrays)
    with pytest.raises(ValueError, match=message):
        replace_arrays(tree(), arrays)


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"'a\.b'"):
        named_arrays({"a": {"b": np.zeros(1)}, "a.b": np.zeros(1)})
