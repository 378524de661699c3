"""The unfolded network's copies, shared and untied. (That it equals the folded one is a law: tests/laws.)"""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import throughtime as tt
from throughtime.core import ConfigError
from throughtime.gradients import unfold
from throughtime.memory import Elman

T, B = 4, 2


def test_each_copys_gradient_is_its_own_steps_share():
    """Against the five lines of the textbook: ∂L/∂W_hh = Σ_t h_{t-1}ᵀ δ_t, for an Elman network in NumPy."""
    with jax.enable_x64(True):
        memory = Elman(2, 3, dtype=jnp.float64, key=jax.random.key(0))
        rng = np.random.default_rng(0)
        xs, targets = rng.normal(size=(T, B, 2)), rng.normal(size=(T, B, 3))
        W_xh, W_hh, b = (np.asarray(a) for a in (memory.weight_xh, memory.weight_hh, memory.bias_h))
        hs = [np.full((B, 3), 0.2)]
        for x in xs:
            hs.append(np.tanh(x @ W_xh + hs[-1] @ W_hh + b))
        shares, d_h = [], np.zeros((B, 3))
        for t in reversed(range(T)):
            delta = (d_h + 2 * (hs[t + 1] - targets[t])) * (1 - hs[t + 1] ** 2)
            shares.insert(0, hs[t].T @ delta)
            d_h = delta @ W_hh.T

        @jax.jit
        @jax.grad
        def gradient(network):
            state = memory.initial_state(B)._replace(h=jnp.asarray(hs[0]))
            return jnp.sum(jnp.square(network(state, jnp.asarray(xs), jnp.zeros((T, B), bool))[1] - targets))

        untied = gradient(unfold(memory, T).untied())
        assert len(untied.copies) == T
        for copy, share in zip(untied.copies, shares, strict=True):
            np.testing.assert_allclose(copy.weight_hh, share, rtol=1e-10)
        shared = gradient(unfold(memory, T))
        assert len(shared.copies) == 1
        np.testing.assert_allclose(shared.copies[0].weight_hh, sum(shares), rtol=1e-10)


def test_all_layers_share_one_set_of_parameters_until_they_are_untied():
    network = tt.unfold(Elman(2, 3, key=jax.random.key(0)), 5)
    assert all(network.layer(t) is network.layer(0) for t in range(5))
    moved = eqx.tree_at(lambda n: n.copies[0].bias_h, network, jnp.ones(3))
    assert all((moved.layer(t).bias_h == 1).all() for t in range(5))
    moved = eqx.tree_at(lambda n: n.copies[0].bias_h, network.untied(), jnp.ones(3))
    assert [bool((moved.layer(t).bias_h == 1).all()) for t in range(5)] == [True] + [False] * 4


def test_what_does_not_fit_is_refused():
    memory = Elman(2, 3, key=jax.random.key(0))
    unchecked = inspect.unwrap(unfold)  # without the tests' own checks of types
    for no_memory in ("gru", Elman, None):
        with pytest.raises(ConfigError, match="is no memory"):
            unchecked(no_memory, 3)
    for T in (2.5, "3", True):
        with pytest.raises(ConfigError, match=f"T is {T}"):
            unchecked(memory, T)
    for T in (0, -2):
        with pytest.raises(ConfigError, match=f"T is {T}"):
            unfold(memory, T)
    with pytest.raises(ConfigError, match=r"xs has 4 steps, the unfolded network 3(.|\n)*unfold\(memory, 4\)"):
        unfold(memory, 3)(memory.initial_state(B), jnp.zeros((4, B, 2)), jnp.zeros((4, B), bool))
