"""Updates with a gradient that is not finite: left out, counted, and traced to their source."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import NonFiniteError, select_rows
from throughtime.gradients import Guard, parameter_names
from throughtime.memory import make_memory

MEMORY = make_memory("gru", 2, 2, num_layers=2, key=jax.random.key(0))
NAMES = parameter_names(MEMORY)
GOOD = jax.tree.map(jnp.ones_like, MEMORY)


def with_bad(name, value=float("nan")):
    return jax.tree_util.tree_map_with_path(
        lambda path, g: g.at[0].set(value) if jax.tree_util.keystr(path, simple=True, separator=".") == name else g,
        GOOD,
    )


def counts(guard):
    return int(guard.updates), int(guard.skipped), int(guard.in_row), int(guard.first)


def test_skipped_updates_are_counted_in_all_and_in_a_row():
    guard, seen = Guard.create(MEMORY), []
    for bad in (False, True, True, False, True):
        ok, guard = guard.check(with_bad(NAMES[3]) if bad else GOOD)
        assert bool(ok) is not bad
        seen.append(counts(guard))
    assert seen == [(1, 0, 0, 0), (2, 1, 1, 2), (3, 2, 2, 2), (4, 2, 0, 2), (5, 3, 1, 5)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_source_is_that_of_the_first_of_the_row(value):
    guard = Guard.create(MEMORY, 2)
    fine, bad = jnp.zeros(3), jnp.array([0.0, value])
    _, guard = guard.check(with_bad("layers.0.weight_hh", value), [fine, fine], jnp.int32(7))
    _, guard = guard.check(with_bad("layers.1.bias_h", value), [fine, bad], jnp.int32(8))
    assert int(guard.first_iteration) == 7
    words = guard.first_source(NAMES, ["loss", "log-probabilities"])
    assert "layers.0.weight_hh (1 of 8 parameters)" in words
    assert "layers.1.bias_h" not in words
    assert "forward pass was finite (loss, log-probabilities)" in words
    _, guard = guard.check(GOOD, [fine, fine])
    _, guard = guard.check(with_bad("layers.1.bias_h", value), [fine, bad])
    words = guard.first_source(NAMES, ["loss", "log-probabilities"])
    assert "layers.1.bias_h (1 of 8 parameters)" in words
    assert "not finite already: log-probabilities." in words
    error = guard.error(NAMES, ["loss", "log-probabilities"], "epoch 2")
    assert isinstance(error, NonFiniteError)
    assert str(error).startswith("1 updates in a row")
    assert "the first of them was update 4 (epoch 2)." in str(error)


def test_many_bad_parameters_are_not_all_listed():
    _, guard = Guard.create(MEMORY).check(jax.tree.map(lambda g: g * jnp.nan, GOOD))
    words = guard.first_source(NAMES)
    assert words == f"The gradients of all 8 parameters were not finite: {', '.join(NAMES[:4])} and 4 more."


def test_a_norm_that_overflows_is_not_finite_either():
    ok, guard = Guard.create(MEMORY).check(jax.tree.map(lambda g: g * 1e30, GOOD))
    assert not ok
    assert "squares overflowed" in guard.first_source(NAMES)


def test_a_compiled_training_leaves_out_the_bad_update_and_nothing_else():
    """Sixty steps of a quadratic in one scan, the gradient of one of them poisoned: as if it had not been there."""

    def train(steps, bad_at):
        def body(carry, t):
            w, guard = carry
            grads = {"w": 2 * (w - 3.0) * jnp.where(t == bad_at, jnp.nan, 1.0)}
            ok, guard = guard.check(grads)
            return (select_rows(ok, w - 0.1 * grads["w"], w), guard), None

        w = jnp.zeros(2)
        return jax.lax.scan(body, (w, Guard.create({"w": w})), jnp.arange(steps))[0]

    w, guard = jax.jit(train, static_argnums=0)(60, 11)
    expected, _ = jax.jit(train, static_argnums=0)(59, -1)
    np.testing.assert_array_equal(w, expected)
    assert counts(guard) == (60, 1, 0, 12)
