"""Distributions against SciPy, enumeration and numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.rl import Categorical, DiagonalGaussian, MultiCategorical

LOGITS = np.array([[0.3, -1.2, 2.0], [1000.0, 1000.0, 999.0], [-50.0, 0.0, -3.0]], np.float32)
P = np.exp(LOGITS.astype(np.float64) - LOGITS.max(1, keepdims=True))
P /= P.sum(1, keepdims=True)
MEAN, STD = np.array([[0.5, -1.0], [2.0, 0.0]]), np.array([[0.3, 2.0], [1.0, 0.05]])
OTHER_MEAN, OTHER_STD = np.array([[0.0, 1.0], [2.5, 0.01]]), np.array([[0.5, 1.5], [2.0, 0.06]])


def gaussian(mean, std):
    return DiagonalGaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(np.log(std), jnp.float32))


def test_categorical_log_prob_is_scipys():
    actions = np.array([2, 0, 1])
    log_prob = Categorical(jnp.asarray(LOGITS)).log_prob(jnp.asarray(actions))
    expected = [scipy.stats.rv_discrete(values=(range(3), p)).logpmf(a) for p, a in zip(P, actions, strict=True)]
    assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-6)


def test_categorical_entropy_and_kl_by_enumeration():
    distribution = Categorical(jnp.asarray(LOGITS))
    assert_allclose(distribution.entropy(), scipy.stats.entropy(P, axis=1), rtol=1e-5, atol=1e-6)
    assert_allclose(
        distribution.kl(Categorical(distribution.logits[::-1])), (P * np.log(P / P[::-1])).sum(1), rtol=1e-4
    )
    assert_allclose(distribution.kl(distribution), 0.0, atol=1e-7)


def test_categorical_mode_and_shapes():
    distribution = Categorical(jnp.asarray(LOGITS[:, None]))  # [3, 1, A]
    assert_array_equal(distribution.mode(), [[2], [0], [1]])
    for array in (distribution.entropy(), distribution.log_prob(distribution.mode())):
        assert array.shape == (3, 1)
    assert distribution.mode().dtype == distribution.sample(jnp.zeros((3, 1))).dtype == jnp.int32


def test_categorical_frequencies():
    n = 40_000
    noise = Categorical.noise(jax.random.key(0), (n,), 3)
    draws = Categorical(jnp.broadcast_to(LOGITS[0], (n, 3))).sample(noise)
    assert scipy.stats.chisquare(np.bincount(draws, minlength=3), n * P[0] / P[0].sum()).pvalue > 1e-3


def test_categorical_sample_is_the_inverse_of_the_cumulative_distribution():
    noise = np.array([0.0, 0.1, 0.25, 0.4, 0.75, 0.9999], np.float32)  # edges at 0.25 and 0.75
    logits = jnp.log(jnp.broadcast_to(jnp.array([0.25, 0.5, 0.25]), (6, 3)))
    first = Categorical(logits).sample(jnp.asarray(noise))
    off_the_edges = [0, 1, 3, 5]
    assert_array_equal(np.asarray(first)[off_the_edges], [0, 0, 1, 2])
    assert_array_equal(first, Categorical(logits).sample(jnp.asarray(noise)))  # nothing else is random


@pytest.mark.parametrize("size", [2, 3, 9])
def test_an_impossible_action_is_never_drawn(size):
    """Noise at the edges of each action's interval and around them, where rounding decides."""
    rng = np.random.default_rng(size)
    logits = rng.normal(scale=3, size=(300, size)).astype(np.float32)
    impossible = rng.random((300, size)) < 0.5
    impossible[np.arange(300), rng.integers(size, size=300)] = False
    logits[impossible] = -np.inf
    p = np.exp(logits.astype(np.float64))
    edges = np.cumsum(p / p.sum(1, keepdims=True), axis=1).astype(np.float32)
    step = np.arange(-4, 5, dtype=np.int32)
    near = (np.maximum(edges, 1e-30)[..., None].view(np.int32) + step).view(np.float32).reshape(300, -1)  # ulps
    noise = np.concatenate([near, np.zeros((300, 1)), np.full((300, 1), 1 - 2.0**-24)], axis=1).astype(np.float32)
    noise = np.clip(noise, 0.0, np.float32(1 - 2.0**-24))  # what `noise` can give
    tall = np.repeat(logits[:, None], noise.shape[1], axis=1)
    drawn = np.asarray(Categorical(jnp.asarray(tall)).sample(jnp.asarray(noise)))
    assert not impossible[np.arange(300)[:, None], drawn].any()


def test_gaussian_log_prob_is_scipys():
    action = np.array([[0.1, 3.0], [-4.0, 0.02]])
    expected = scipy.stats.norm(MEAN, STD).logpdf(action).sum(1)
    assert_allclose(gaussian(MEAN, STD).log_prob(jnp.asarray(action, jnp.float32)), expected, rtol=1e-5)


def test_gaussian_entropy_is_scipys():
    assert_allclose(gaussian(MEAN, STD).entropy(), scipy.stats.norm(MEAN, STD).entropy().sum(1), rtol=1e-5)


def test_gaussian_kl_by_integration():
    def kl(m, s, m2, s2):
        p, q = scipy.stats.norm(m, s), scipy.stats.norm(m2, s2)
        return scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), m - 12 * s, m + 12 * s)[0]

    expected = np.vectorize(kl)(MEAN, STD, OTHER_MEAN, OTHER_STD).sum(1)
    p, q = gaussian(MEAN, STD), gaussian(OTHER_MEAN, OTHER_STD)
    assert_allclose(p.kl(q), expected, rtol=1e-4)
    assert_allclose(p.kl(p), 0.0, atol=1e-6)


def test_gaussian_samples_are_an_affine_map_of_the_noise():
    noise = DiagonalGaussian.noise(jax.random.key(0), (2,), 2)
    p = gaussian(MEAN, STD)
    assert_allclose(p.sample(noise), MEAN + STD * np.asarray(noise), rtol=1e-5)
    assert_array_equal(p.sample(noise), p.sample(noise))
    assert_array_equal(p.mode(), np.float32(MEAN))


def test_gaussian_noise_is_standard_normal():
    noise = np.asarray(DiagonalGaussian.noise(jax.random.key(0), (100, 50), 2))
    assert noise.shape == (100, 50, 2)
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_noise_of_categorical_is_one_number_an_action():
    noise = np.asarray(Categorical.noise(jax.random.key(0), (100, 50), 7))
    assert noise.shape == (100, 50)
    assert scipy.stats.kstest(noise.ravel(), "uniform").pvalue > 1e-3


def test_several_categoricals_side_by_side_are_their_product():
    """Against the joint distribution over all 2 · 3 · 4 actions, from NumPy."""
    sizes, rng = (2, 3, 4), np.random.default_rng(0)
    logits, others = (rng.normal(size=9).astype(np.float32) for _ in range(2))

    def joint(logits):
        parts = [np.exp(p) / np.exp(p).sum() for p in np.split(logits.astype(np.float64), [2, 5])]
        return np.einsum("i,j,k->ijk", *parts)

    p, q = joint(logits), joint(others)
    d, other = MultiCategorical(jnp.asarray(logits), sizes), MultiCategorical(jnp.asarray(others), sizes)
    for action in np.ndindex(*sizes):
        got = float(d.log_prob(jnp.asarray(action, jnp.int32)))
        np.testing.assert_allclose(got, np.log(p[action]), rtol=1e-5)
    np.testing.assert_allclose(d.entropy(), -(p * np.log(p)).sum(), rtol=1e-5)
    np.testing.assert_allclose(d.kl(other), (p * np.log(p / q)).sum(), rtol=1e-4)
    assert tuple(np.asarray(d.mode())) == np.unravel_index(p.argmax(), sizes)
    n = 40_000
    many = MultiCategorical(jnp.broadcast_to(jnp.asarray(logits), (n, 9)), sizes)
    drawn = np.asarray(many.sample(MultiCategorical.noise(jax.random.key(0), (n,), 3)))
    counts = np.zeros(sizes)
    np.add.at(counts, tuple(drawn.T), 1)
    assert (np.abs(counts / n - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
