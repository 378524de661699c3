"""n-step double-Q targets against the sum written out, and the rescaling against its definition."""

import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.rl import double_q_values, n_step_targets, rescale, sequence_priority, unscale


def by_hand(rewards, next_values, terminated, truncated, discount, n):
    T, B = rewards.shape
    targets = np.zeros((T, B))
    for t in range(T):
        for b in range(B):
            total, k = 0.0, t
            while True:
                total += discount ** (k - t) * rewards[k, b]
                if k - t + 1 == n or terminated[k, b] or truncated[k, b] or k == T - 1:
                    break
                k += 1
            if not terminated[k, b]:
                total += discount ** (k - t + 1) * next_values[k, b]
            targets[t, b] = total
    return targets


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_targets_are_the_sum_written_out(n):
    rng = np.random.default_rng(n)
    T, B = 12, 40
    rewards, values = rng.normal(size=(2, T, B))
    terminated, truncated = rng.random((2, T, B)) < 0.15  # both at once too
    values[terminated] = np.nan  # nobody has to compute what lies beyond the end
    expected = by_hand(rewards, np.nan_to_num(values), terminated, truncated, 0.9, n)
    got = n_step_targets(
        *(jnp.asarray(x, jnp.float32) for x in (rewards, values)),
        jnp.asarray(terminated),
        jnp.asarray(truncated),
        discount=0.9,
        n=n,
    )
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_truncation_bootstraps_and_termination_does_not():
    one = jnp.ones((1, 1))
    yes, no = jnp.ones((1, 1), bool), jnp.zeros((1, 1), bool)
    assert n_step_targets(one, 10 * one, no, yes, discount=0.5, n=3).item() == 6.0
    assert n_step_targets(one, 10 * one, yes, no, discount=0.5, n=3).item() == 1.0
    assert n_step_targets(one, 10 * one, yes, yes, discount=0.5, n=3).item() == 1.0


def test_rescaling_is_its_definition_and_comes_back():
    x = np.array([-3e4, -50.0, -1.0, -1e-3, 0.0, 0.01, 0.5, 7.0, 1e3, 1e5])
    h = np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + 1e-3 * x
    np.testing.assert_allclose(rescale(jnp.asarray(x, jnp.float32)), h, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(unscale(jnp.asarray(h, jnp.float32)), x, rtol=1e-5, atol=1e-6)


def test_double_q_takes_the_action_from_one_network_and_its_value_from_the_other():
    online, target = jnp.array([[1.0, 3.0, 2.0]]), jnp.array([[9.0, -4.0, 5.0]])
    value, action = double_q_values(online, target)
    assert (value.item(), action.item()) == (-4.0, 1)


def test_priority_mixes_the_largest_and_the_mean_error_of_the_steps_that_count():
    errors = jnp.array([[1.0, jnp.nan], [-3.0, 2.0], [100.0, jnp.nan]])
    mask = jnp.array([[True, False], [True, False], [False, False]])
    np.testing.assert_allclose(sequence_priority(errors, mask, mixture=0.75), [0.75 * 3 + 0.25 * 2, 0.0])
