"""The losses of SAC and TD3 against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.testing import assert_allclose

from throughtime.rl import (
    correlated_noise,
    deterministic_policy_loss,
    polyak,
    smoothed_actions,
    soft_policy_loss,
    soft_value,
    temperature_loss,
    twin_critic_loss,
)

Q = jnp.array([[1.0, -2.0], [3.0, -5.0]])  # two critics, two steps
LOG_PROBS = jnp.array([-0.5, 2.0])
ALPHA = jnp.float32(0.1)


def test_soft_value_takes_the_smaller_critic_and_pays_for_entropy():
    # 1 + 0.1 · 0.5 and −5 − 0.1 · 2
    assert_allclose(soft_value(Q, LOG_PROBS, ALPHA), [1.05, -5.2], rtol=1e-6)
    assert_allclose(soft_value(Q, LOG_PROBS, jnp.float32(0)), [1.0, -5.0], rtol=1e-6)


def test_critic_loss_adds_both_critics_and_leaves_the_targets_alone():
    targets = jnp.array([0.0, -1.0])
    # ½ ((1 + 1) / 2 + (9 + 16) / 2)
    assert_allclose(twin_critic_loss(Q, targets), 0.5 * (1.0 + 12.5))
    d_q, d_targets = jax.grad(twin_critic_loss, argnums=(0, 1))(Q, targets)
    assert_allclose(d_q, [[0.5, -0.5], [1.5, -2.0]])  # (Q − y) / 2 steps
    assert_allclose(d_targets, 0.0)


def test_policy_losses():
    # −mean(1.05, −5.2)
    assert_allclose(soft_policy_loss(Q, LOG_PROBS, ALPHA), 2.075, rtol=1e-6)
    d_q, d_log = jax.grad(soft_policy_loss, argnums=(0, 1))(Q, LOG_PROBS, ALPHA)
    assert_allclose(d_q, [[-0.5, 0.0], [0.0, -0.5]])  # through the smaller critic only
    assert_allclose(d_log, [0.05, 0.05], rtol=1e-6)
    assert_allclose(deterministic_policy_loss(Q), 0.5)  # the first critic alone
    assert_allclose(jax.grad(deterministic_policy_loss)(Q), [[-0.5, -0.5], [0.0, 0.0]])


def test_temperature_rises_where_entropy_is_below_its_target():
    log_alpha = jnp.log(ALPHA)
    # entropy −0.75, target −1: α · (−0.75 + 1)
    assert_allclose(temperature_loss(log_alpha, LOG_PROBS, -1.0), 0.025, rtol=1e-5)
    gradient = jax.grad(temperature_loss, argnums=(0, 1))
    above, through = gradient(log_alpha, LOG_PROBS, -1.0)
    below, _ = gradient(log_alpha, LOG_PROBS, 0.0)
    assert_allclose(above, 0.025, rtol=1e-5)  # descended: α falls
    assert_allclose(below, -0.075, rtol=1e-5)
    assert_allclose(through, 0.0)


def test_smoothing_clips_the_noise_and_then_the_action():
    actions, noise = jnp.array([[0.0], [0.9], [-0.9]]), jnp.array([[1.0], [10.0], [-1.0]])
    # 0.2; 0.9 + 0.5 clipped; −0.9 − 0.2 clipped
    assert_allclose(smoothed_actions(actions, noise, std=0.2, limit=0.5), [[0.2], [1.0], [-1.0]], rtol=1e-6)
    assert_allclose(smoothed_actions(actions * 0, noise, std=0.2, limit=0.5), [[0.2], [0.5], [-0.2]], rtol=1e-6)


def test_polyak_moves_by_its_rate():
    slow, fast = {"w": jnp.array([0.0, 10.0])}, {"w": jnp.array([1.0, 20.0])}
    assert_allclose(polyak(slow, fast, 0.1)["w"], [0.1, 11.0], rtol=1e-6)
    for rate, same in ((0.0, slow), (1.0, fast)):
        np.testing.assert_array_equal(polyak(slow, fast, rate)["w"], same["w"])


def test_correlated_noise_by_its_recursion():
    rng = np.random.default_rng(0)
    before, fresh = rng.normal(size=(2, 3)), rng.normal(size=(40, 2, 3))
    expected, x = [], before
    for noise in fresh:
        x = 0.9 * x + 0.19**0.5 * noise  # 1 − 0.9² = 0.19: the variance stays 1
        expected.append(x)
    found = correlated_noise(jnp.asarray(before, jnp.float32), jnp.asarray(fresh, jnp.float32), 0.9)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
