"""Exact beliefs against independent oracles; probes and scores where the answer is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import LinearGaussian, Tables, make
from throughtime.insight.belief import (
    exact_belief,
    fit_probe,
    kalman_filter,
    mean_gaussian_kl,
    mean_kl,
    principal_plane,
    r_squared,
)

S, A, O, T, B = 3, 2, 4, 5, 6  # noqa: E741


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.dirichlet(np.ones(shape[-1]), shape[:-1])  # noqa: E731
    terminal = np.zeros((S, A), bool)
    terminal[2, 1] = True
    return Tables(
        draw(S), draw(S, A, S), draw(A, S, O), np.zeros((S, A)), terminal, draw(S, O), rng.normal(size=(O, 2))
    )


@pytest.fixture(scope="module")
def history(tables):
    rng = np.random.default_rng(1)
    indices, actions = rng.integers(0, O, (T, B)), rng.integers(0, A, (T, B)).astype(np.int32)
    resets = np.zeros((T, B), bool)
    resets[0] = True
    resets[3, ::2] = True
    return indices, actions, resets


def by_enumeration(tables, indices, actions):
    """P(s_t | o_0 … o_t, a_0 … a_{t−1}) by summing over all hidden paths of one episode."""
    total = np.zeros(S)
    for path in itertools.product(range(S), repeat=len(indices)):
        p = tables.initial[path[0]] * tables.first_observation[path[0], indices[0]]
        for t in range(1, len(path)):
            a = actions[t - 1]
            p *= (not tables.terminal[path[t - 1], a]) * tables.transition[path[t - 1], a, path[t]]
            p *= tables.observation[a, path[t], indices[t]]
        total[path[-1]] += p
    return total / total.sum()


def test_bayes_filter_is_the_sum_over_all_hidden_paths(tables, history):
    indices, actions, resets = history
    beliefs = exact_belief(tables, tables.observations[indices], actions, resets)
    for b, t in itertools.product(range(B), range(T)):
        start = np.flatnonzero(resets[: t + 1, b])[-1]
        oracle = by_enumeration(tables, indices[start : t + 1, b], actions[start : t + 1, b])
        np.testing.assert_allclose(beliefs[t, b], oracle, atol=1e-5)


def test_what_cannot_be_observed_is_named(tables):
    tiger = make("tiger").tables()
    seen = np.eye(3)[[[0], [0]]]  # "nothing yet" is only ever the first
    with pytest.raises(ConfigError, match="at step 1 of row 0 has probability zero"):
        exact_belief(tiger, seen, np.zeros((2, 1), np.int32), np.array([[True], [False]]))
    beliefs = exact_belief(tiger, seen, np.zeros((2, 1), np.int32), np.array([[True], [True]]))
    np.testing.assert_allclose(beliefs, 0.5)
    with pytest.raises(ConfigError, match="not in the tables"):
        exact_belief(tiger, seen + 0.3, np.zeros((2, 1), np.int32), np.array([[True], [True]]))


def joint_conditional(model, ys):
    """The last state given all observations, by conditioning one joint Gaussian over x_0 … x_t and y_0 … y_t."""
    n, D, P = len(ys), len(model.initial_mean), model.observation.shape[-2]
    at = lambda x, t: x[t] if x.ndim == 3 else x  # noqa: E731
    mean, cov = [model.initial_mean], [[model.initial_covariance]]
    for t in range(1, n):
        F = at(model.transition, t - 1)
        for row in cov:
            row.append(row[-1] @ F.T)
        last = [row[-1].T for row in cov]
        last.append(F @ cov[t - 1][t - 1] @ F.T + at(model.process_noise, t - 1))
        cov.append([*last])
        mean.append(F @ mean[-1])
    full = np.block(cov)
    H = np.zeros((n * P, n * D))
    R = np.zeros((n * P, n * P))
    for t in range(n):
        H[t * P : (t + 1) * P, t * D : (t + 1) * D] = at(model.observation, t)
        R[t * P : (t + 1) * P, t * P : (t + 1) * P] = at(model.observation_noise, t)
    gain = full @ H.T @ np.linalg.inv(H @ full @ H.T + R)
    m = np.concatenate(mean)
    return (m + gain @ (ys.ravel() - H @ m))[-D:], (full - gain @ H @ full)[-D:, -D:]


def test_kalman_filter_is_the_conditional_of_the_joint_gaussian():
    """Random matrices that vary in time, float64, two rows, one of them with a reset."""
    rng = np.random.default_rng(2)

    def spd(*shape):
        x = rng.normal(size=shape)
        return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])

    model = LinearGaussian(
        rng.normal(size=2), spd(2, 2), rng.normal(size=(T, 2, 2)), spd(T, 2, 2), rng.normal(size=(T, 1, 2)), spd(1, 1)
    )
    ys, resets = rng.normal(size=(T, 2, 1)), np.zeros((T, 2), bool)
    resets[3, 1] = True
    with jax.enable_x64(True):
        belief = kalman_filter(model, jnp.asarray(ys), jnp.asarray(resets))
        assert belief.mean.dtype == jnp.float64
        mean, covariance = np.asarray(belief.mean), np.asarray(belief.covariance)
    for t in range(T):
        for b in range(2):
            start = 3 if b == 1 and t >= 3 else 0
            part = model._replace(
                **{k: getattr(model, k)[start:] for k in ("transition", "process_noise", "observation")}
            )
            m, p = joint_conditional(part, ys[start : t + 1, b])
            np.testing.assert_allclose(mean[t, b], m, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(covariance[t, b], p, rtol=1e-9, atol=1e-9)


def test_the_kalman_filter_refuses_what_does_not_fit():
    model = make("tracking").linear_gaussian()
    with pytest.raises(ConfigError, match=r"observation has shape \(1, 2\)"):
        kalman_filter(model, jnp.zeros((4, 1, 2)), jnp.zeros((4, 1), bool))


def test_a_nan_does_not_survive_a_reset():
    model = make("tracking").linear_gaussian()
    ys = jnp.ones((3, 1, 1)).at[0].set(jnp.nan)
    belief = kalman_filter(model, ys, jnp.array([[True], [True], [False]]))
    assert np.isfinite(belief.mean[1:]).all()


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_features_that_are_the_belief_give_it_back(model):
    """Log-odds are linear in the logarithms; shuffled features give the entropy that the base rate leaves."""
    rng = np.random.default_rng(3)
    belief = rng.dirichlet(np.ones(3), 4000)
    features = np.log(belief)
    fit, held = slice(0, 2000), slice(2000, None)
    said = fit_probe(features[fit], belief[fit], "distribution", model)(features[held])
    assert mean_kl(belief[held], said) < (1e-3 if model == "linear" else 5e-3)
    shuffled = rng.permutation(features)
    said = fit_probe(shuffled[fit], belief[fit], "distribution", model)(shuffled[held])
    base = mean_kl(belief[held], np.tile(belief[fit].mean(axis=0), (2000, 1)))
    assert 0.9 * base < mean_kl(belief[held], said) < 1.2 * base


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_vectors_are_read_and_noise_is_not(model):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4000, 5))
    y = np.stack([3 * x[:, 0] - x[:, 1] + 7, 100 * rng.normal(size=4000)], axis=1)
    r2 = r_squared(y[2000:], fit_probe(x[:2000], y[:2000], "vector", model)(x[2000:]))
    assert r2[0] > 0.99
    assert r2[1] < 0.02


def test_ridge_is_least_squares():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(300, 2))
    ones = np.concatenate([x, np.ones((300, 1))], axis=1)
    np.testing.assert_allclose(fit_probe(x, y, "vector")(x), ones @ np.linalg.lstsq(ones, y, rcond=None)[0], atol=1e-4)


def test_scores_by_hand():
    assert mean_kl(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])) == pytest.approx(np.log(2))
    assert mean_gaussian_kl(np.zeros((1, 2)), np.diag([4.0, 1.0])[None], np.array([[2.0, 0.0]])) == pytest.approx(0.5)
    np.testing.assert_allclose(r_squared(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])), 0.0)


def test_principal_plane_is_where_features_vary():
    rng = np.random.default_rng(6)
    features = rng.normal(size=(2000, 4)) * np.array([0.1, 5.0, 0.1, 2.0])
    plane = principal_plane(features)
    np.testing.assert_allclose(np.abs(plane.axes), [[0, 0], [1, 0], [0, 0], [0, 1]], atol=0.05)
    assert plane.shares.sum() > 0.99


@pytest.mark.parametrize("bad", [np.full((3, 2), np.nan), np.full((3, 2), np.inf)])
def test_probes_refuse_what_is_no_data(bad):
    with pytest.raises(ConfigError):
        fit_probe(bad, np.eye(2)[[0, 1, 0]], "distribution")
