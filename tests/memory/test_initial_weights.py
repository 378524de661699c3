"""What a memory starts from: its matrices, its biases, and no buffer shared between two parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import GRU, LSTM, MEMORIES, Elman, Jordan, initialisers, make_memory

KEY = jax.random.key(0)


def assert_orthogonal(matrix, atol=1e-5):
    matrix = np.asarray(matrix, np.float64)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=atol)


def test_recurrent_matrices_are_orthogonal_gate_by_gate():
    assert_orthogonal(Elman(2, 6, key=KEY).weight_hh)
    assert_orthogonal(Jordan(2, 6, output_size=6, key=KEY).weight_yh)
    for memory in (GRU(2, 6, key=KEY), LSTM(2, 6, key=KEY)):
        parts = [np.asarray(memory.gate(name)["weight_hh"]) for name in memory.gates]
        for part in parts:
            assert_orthogonal(part)
        assert not np.allclose(parts[0], parts[1])  # each gate its own draw


def test_orthogonal_in_bfloat16_and_with_a_gain():
    matrix = initialisers.orthogonal(KEY, (8, 4), jnp.bfloat16)
    assert matrix.dtype == jnp.bfloat16
    assert_orthogonal(matrix, atol=2e-2)
    assert_orthogonal(initialisers.orthogonal(KEY, (4, 4), gain=3.0) / 3.0)


def test_relu_starts_from_the_identity():
    np.testing.assert_array_equal(Elman(2, 4, f="relu", key=KEY).weight_hh, np.eye(4))
    np.testing.assert_array_equal(Elman(2, 4, f=jax.nn.relu, key=KEY).weight_hh, np.eye(4))


def test_glorot_stays_within_its_limit_and_reaches_it():
    weight = np.abs(np.asarray(initialisers.glorot(KEY, (30, 66))))
    assert 0.24 < weight.max() <= 0.25  # sqrt(6 / 96)


def test_forget_bias():
    for given, expected in (({}, 1.0), ({"forget_bias": 2.5}, 2.5)):
        memory = LSTM(2, 4, key=KEY, **given)
        np.testing.assert_array_equal(memory.gate("forget")["bias_h"], expected)
        for name in ("input", "output", "candidate"):
            np.testing.assert_array_equal(memory.gate(name)["bias_h"], 0.0)


def test_chrono_biases_spread_over_the_time_scales():
    u = np.exp(initialisers.chrono(KEY, 500, 100.0))  # uniform in [1, 99]
    assert 1.0 <= u.min() < 3.0
    assert 97.0 < u.max() <= 99.001
    assert abs(u.mean() - 50.0) < 5.0


def test_chrono_sets_the_gates_that_keep():
    lstm, gru = LSTM(2, 6, chrono=100.0, key=KEY), GRU(2, 6, chrono=100.0, key=KEY)
    for kept in (lstm.gate("forget")["bias_h"], gru.gate("update")["bias_h"]):
        assert np.all(kept > 0.0)
        assert np.all(kept < np.log(99.001))
        assert np.ptp(kept) > 0.5
    np.testing.assert_array_equal(lstm.gate("input")["bias_h"], -lstm.gate("forget")["bias_h"])
    for memory, name in ((lstm, "output"), (lstm, "candidate"), (gru, "reset"), (gru, "candidate")):
        np.testing.assert_array_equal(memory.gate(name)["bias_h"], 0.0)


@pytest.mark.parametrize("steps", [1.9, 0.0, -3.0, float("nan"), float("inf")])
def test_chrono_below_two_steps_is_refused(steps):
    with pytest.raises(ConfigError, match="chrono is"):
        initialisers.chrono(KEY, 3, steps)


def test_no_two_parameters_share_a_buffer():
    """A training step that donates its parameters would fail on one that appears twice."""
    for name, spec in MEMORIES.items():
        options = {"learn_initial_state": True} if "learn_initial_state" in spec.options else {}
        leaves = jax.tree.leaves(make_memory(name, 2, 3, num_layers=2, key=KEY, **options))
        assert len({id(leaf) for leaf in leaves}) == len(leaves), name


def test_a_learned_initial_state_starts_at_zero_and_is_used():
    memory = LSTM(2, 3, learn_initial_state=True, key=KEY)
    state = memory.initial_state(2)
    np.testing.assert_array_equal(state.h, np.zeros((2, 3)))
    memory = eqx.tree_at(lambda m: m.initial_c, memory, jnp.arange(3.0))
    np.testing.assert_array_equal(memory.initial_state(2).c, [[0.0, 1.0, 2.0]] * 2)
