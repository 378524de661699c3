"""PPO's losses against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from throughtime.rl import approximate_kl, clipped_policy_loss, standardise, value_loss


def log(*ratios):
    return jnp.log(jnp.array(ratios, jnp.float32))


# ε = 0.2. The smaller of ρA and clip(ρ)A: the clip holds only where it makes the objective worse.
#   ρ = 1.5, A = +1: min(1.5, 1.2) = 1.2      ρ = 1.5, A = −1: min(−1.5, −1.2) = −1.5
#   ρ = 0.5, A = +1: min(0.5, 0.8) = 0.5      ρ = 0.5, A = −1: min(−0.5, −0.8) = −0.8
#   ρ = 1.1, A = +2: min(2.2, 2.2) = 2.2
CASES = [(1.5, 1.0, 1.2), (1.5, -1.0, -1.5), (0.5, 1.0, 0.5), (0.5, -1.0, -0.8), (1.1, 2.0, 2.2)]


@pytest.mark.parametrize(("ratio", "advantage", "objective"), CASES)
def test_clipped_policy_loss_of_one(ratio, advantage, objective):
    assert_allclose(clipped_policy_loss(log(ratio), jnp.array([advantage]), 0.2), -objective, rtol=1e-6)


def test_clipped_policy_loss_is_the_mean_over_all_axes():
    ratios, advantages, objectives = np.array(CASES[:4], np.float32).T.reshape(3, 2, 2)
    # −(1.2 − 1.5 + 0.5 − 0.8) / 4 = 0.15
    loss = clipped_policy_loss(jnp.log(jnp.asarray(ratios)), jnp.asarray(advantages), 0.2)
    assert_allclose(loss, 0.15, rtol=1e-5)
    assert_allclose(loss, -objectives.mean(), rtol=1e-5)


def test_where_the_clip_holds_there_is_no_gradient():
    gradient = jax.grad(clipped_policy_loss)(log(1.5, 1.5, 0.5, 0.5), jnp.array([1.0, -1.0, 1.0, -1.0]), 0.2)
    # d(−ρA/4)/d log ρ = −ρA/4 for the second and third.
    assert_allclose(gradient, [0, 0.375, -0.125, 0], atol=1e-6)


def test_value_loss():
    values, old, targets = jnp.array([1.0, 3.0]), jnp.array([1.0, 0.0]), jnp.array([2.0, 5.0])
    # ½ · mean(1, 4) = 1.25
    assert_allclose(value_loss(values, old, targets, None), 1.25)
    # Clipped to 0 ± 1 the second value is 1, its error (1 − 5)² = 16: the larger. ½ · mean(1, 16) = 4.25
    assert_allclose(value_loss(values, old, targets, 1.0), 4.25)
    # The clip never makes it smaller: 0 ± 1 is 1, right at the target, yet the error of 3 is taken. ½ · mean(1, 4)
    assert_allclose(value_loss(values, old, jnp.array([2.0, 1.0]), 1.0), 1.25)


def test_approximate_kl():
    # ρ − 1 − log ρ: ρ = 1 gives 0, ρ = e gives e − 2, ρ = 1/e gives 1/e.
    expected = (0 + (np.e - 2) + 1 / np.e) / 3
    assert_allclose(approximate_kl(jnp.array([0.0, 1.0, -1.0])), expected, rtol=1e-6)


def test_approximate_kl_keeps_its_digits_near_zero():
    # ρ − 1 − log ρ ≈ x²/2: in float32 the plain formula would give 0 or worse.
    assert_allclose(approximate_kl(jnp.full(3, 1e-3)), 0.5e-6, rtol=0.01)


def test_approximate_kl_estimates_the_kl():
    rng = np.random.default_rng(0)
    actions = rng.normal(size=100_000)  # π_old = N(0, 1), π = N(0.3, 1): KL = 0.3²/2
    log_ratio = -0.5 * (actions - 0.3) ** 2 + 0.5 * actions**2
    assert_allclose(approximate_kl(jnp.asarray(log_ratio, jnp.float32)), 0.045, rtol=0.03)


def test_standardise():
    # Mean 3, deviations −2, 0, 2, population standard deviation √(8/3).
    assert_allclose(standardise(jnp.array([1.0, 3.0, 5.0])), np.array([-2, 0, 2]) / np.sqrt(8 / 3), rtol=1e-6)


def test_standardise_of_equal_numbers_is_zero():
    assert_allclose(standardise(jnp.full((2, 2), 7.0)), np.zeros((2, 2)))
