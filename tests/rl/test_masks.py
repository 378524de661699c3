"""Masked distributions against a softmax over the allowed actions alone, in NumPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.rl import Categorical, MultiCategorical, forbid, is_allowed, uniform_choice

rng = np.random.default_rng(0)
LOGITS, OTHERS = (rng.normal(size=(50, 6)).astype(np.float32) * 5 for _ in range(2))
ALLOWED = rng.permuted(np.arange(6) < rng.integers(1, 7, (50, 1)), axis=1)
SIZES = (2, 4)
ALLOWED_PARTS = np.concatenate([rng.permuted(np.arange(n) < rng.integers(1, n + 1, (50, 1)), axis=1) for n in SIZES], 1)


def masked_softmax(logits, allowed):
    """p [N, A] in float64, 0 where not allowed."""
    weight = np.where(allowed, np.exp(logits.astype(np.float64)), 0.0)
    return weight / weight.sum(axis=-1, keepdims=True)


def sum_of(p, terms):
    """Σ over what has probability at all."""
    return np.where(p > 0, p * np.where(p > 0, terms, 0.0), 0.0).sum(axis=-1)


def log(p):
    return np.log(np.where(p > 0, p, 1.0))


def test_entropy_divergence_and_log_probabilities_are_those_of_a_masked_softmax():
    ours, other = (Categorical(jnp.asarray(x)).restricted(jnp.asarray(ALLOWED)) for x in (LOGITS, OTHERS))
    p, q = (masked_softmax(x, ALLOWED) for x in (LOGITS, OTHERS))
    assert_allclose(ours.entropy(), -sum_of(p, log(p)), atol=1e-5)
    assert_allclose(ours.kl(other), sum_of(p, log(p) - log(q)), atol=1e-4)
    for a in range(6):
        rows = ALLOWED[:, a]
        said = ours.log_prob(jnp.full(50, a))
        assert_allclose(said[rows], np.log(p[rows, a]), atol=1e-5)
        assert (np.asarray(said)[~rows] < -1e20).all()
    assert_array_equal(ours.mode(), p.argmax(axis=-1))


def test_several_actions_are_masked_each():
    ours = MultiCategorical(jnp.asarray(LOGITS), SIZES).restricted(jnp.asarray(ALLOWED_PARTS))
    split = zip(np.split(LOGITS, [2], 1), np.split(ALLOWED_PARTS, [2], 1), strict=True)
    parts = [masked_softmax(logits, allowed) for logits, allowed in split]
    assert_allclose(ours.entropy(), sum(-sum_of(p, log(p)) for p in parts), atol=1e-5)
    assert_array_equal(ours.mode(), np.stack([p.argmax(axis=-1) for p in parts], axis=-1))


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0 - 2**-24])
def test_no_forbidden_action_is_drawn_even_at_the_edges(noise):
    drawn = np.asarray(Categorical(jnp.asarray(LOGITS)).restricted(jnp.asarray(ALLOWED)).sample(jnp.full(50, noise)))
    assert ALLOWED[np.arange(50), drawn].all()


@pytest.mark.parametrize("temperature", [1.0, 1e-3])
def test_gradients_are_finite_and_reach_allowed_actions_alone(temperature):
    def loss(logits):
        ours = Categorical(forbid(logits, jnp.asarray(ALLOWED)) / temperature)
        other = Categorical(forbid(jax.lax.stop_gradient(logits) + 1.0, jnp.asarray(ALLOWED)) / temperature)
        return jnp.sum(100.0 * ours.entropy() + ours.kl(other) + ours.log_prob(ours.mode()))

    gradient = np.asarray(jax.grad(loss)(jnp.asarray(LOGITS)))
    assert np.isfinite(gradient).all()
    assert (gradient[~ALLOWED] == 0).all()
    assert temperature < 1 or (gradient[ALLOWED & (ALLOWED.sum(1, keepdims=True) > 1)] != 0).all()


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
def test_what_is_forbidden_can_be_told(temperature):
    assert_array_equal(is_allowed(forbid(jnp.asarray(LOGITS), jnp.asarray(ALLOWED)) / temperature), ALLOWED)


def test_uniform_choice_is_uniform_over_what_is_allowed():
    noise = jnp.asarray((np.arange(6_000) + 0.5) / 6_000, jnp.float32)
    for row in ALLOWED[:10]:
        counts = np.bincount(uniform_choice(noise, jnp.broadcast_to(jnp.asarray(row), (6_000, 6))), minlength=6)
        assert_array_equal(counts, np.where(row, 6_000 / row.sum(), 0))
