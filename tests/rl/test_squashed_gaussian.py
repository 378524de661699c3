"""The squashed and the clipped normal against SciPy and numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.rl import ClippedGaussian, DiagonalGaussian, SquashedGaussian

MEAN, STD = np.array([[0.5, -1.0], [2.0, 0.0]]), np.array([[0.3, 1.5], [1.0, 0.05]])
OTHER_MEAN, OTHER_STD = np.array([[0.0, 1.0], [1.5, 0.01]]), np.array([[0.5, 1.2], [1.3, 0.06]])


def squashed(mean, std):
    return SquashedGaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(np.log(std), jnp.float32))


def density(action, mean, std):
    """By the change of variables, in float64."""
    return scipy.stats.norm(mean, std).pdf(np.arctanh(action)) / (1 - action**2)


def integral(function):
    """Over (-1, 1), in the variable in which the integrand is smooth."""
    return scipy.integrate.quad(lambda u: function(np.tanh(u)) * (1 - np.tanh(u) ** 2), -15, 15, points=[0], limit=400)[
        0
    ]


def test_log_prob_is_the_change_of_variables():
    action = np.array([[0.1, 0.9], [-0.7, 0.02]])
    assert_allclose(
        squashed(MEAN, STD).log_prob(jnp.asarray(action, jnp.float32)),
        np.log(density(action, MEAN, STD)).sum(1),
        rtol=1e-4,
    )


@pytest.mark.parametrize("i", range(4))
def test_the_density_is_one_and_its_entropy_and_divergence_are_integrals(i):
    m, s, m2, s2 = (a.ravel()[i] for a in (MEAN, STD, OTHER_MEAN, OTHER_STD))
    p, q = squashed([m], [s]), squashed([m2], [s2])
    grid = np.tanh(np.linspace(m - 9 * s, m + 9 * s, 4001)).astype(np.float32)
    grid = grid[np.abs(grid) < 0.99999]
    likely = np.exp(np.asarray(jax.vmap(p.log_prob)(jnp.asarray(grid[:, None]))).astype(np.float64))
    assert_allclose(np.trapezoid(likely, grid.astype(np.float64)), 1.0, atol=2e-3)
    floor = 1e-300
    expected = integral(lambda a: -density(a, m, s) * np.log(density(a, m, s) + floor))
    assert_allclose(p.entropy(), expected, atol=2e-3)
    apart = integral(
        lambda a: density(a, m, s) * (np.log(density(a, m, s) + floor) - np.log(density(a, m2, s2) + floor))
    )
    assert_allclose(p.kl(q), apart, rtol=2e-3, atol=2e-3)


def test_a_draw_comes_with_its_log_density_also_where_tanh_has_rounded_to_one():
    noise = np.array([[0.3, -1.2], [9.0, 2.0]])
    p = squashed(MEAN, STD)
    action, log_prob = p.sample_with_log_prob(jnp.asarray(noise, jnp.float32))
    u = MEAN + STD * noise
    assert_allclose(action, np.tanh(u), rtol=1e-5)
    assert float(action[1, 0]) == 1.0  # u = 11
    # log tanh' = log 4 − 2|u| − 2 log(1 + exp(−2|u|)), from the definition of tanh by exponentials
    slope = np.log(4) - 2 * np.abs(u) - 2 * np.log1p(np.exp(-2 * np.abs(u)))
    assert_allclose(log_prob, (scipy.stats.norm(MEAN, STD).logpdf(u) - slope).sum(1), rtol=1e-5)
    assert_array_equal(p.sample(jnp.asarray(noise, jnp.float32)), action)
    gradient = jax.grad(lambda m: p._replace(mean=m).sample_with_log_prob(jnp.asarray(noise, jnp.float32))[1].sum())
    assert np.isfinite(gradient(p.mean)).all()
    assert np.isfinite(p.log_prob(action)).all()


def test_gradient_of_the_log_density_along_a_draw():
    """d/dm [log N(u; m, s) − log tanh'(u)] with u = m + s·ε is 2 tanh(u): the normal's part does not depend on m."""
    noise = jnp.array([[0.4]])
    p = squashed([[0.2]], [[0.5]])
    got = jax.grad(lambda m: p._replace(mean=m).sample_with_log_prob(noise)[1].sum())(p.mean)
    assert_allclose(got, [[2 * np.tanh(0.2 + 0.5 * 0.4)]], rtol=1e-5)


def test_the_deterministic_action_is_tanh_of_the_mean():
    assert_allclose(squashed(MEAN, STD).mode(), np.tanh(MEAN), rtol=1e-6)


def test_clipped_draws_stay_in_range_and_have_the_normals_density():
    p = ClippedGaussian(jnp.array([[0.9, -0.2]]), jnp.log(jnp.array([[0.5, 0.5]])))
    assert_allclose(p.sample(jnp.array([[1.0, -1.0]])), [[1.0, -0.7]], rtol=1e-6)
    assert_array_equal(p.mode(), p.mean)
    action = jnp.array([[1.0, -0.7]])
    assert_array_equal(p.log_prob(action), DiagonalGaussian(*p).log_prob(action))
    # A tree that stays of its kind under transformations.
    assert isinstance(jax.tree.map(lambda x: x + 1.0, p), ClippedGaussian)
