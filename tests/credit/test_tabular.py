"""Tables: targets against the step-by-step algorithms of the textbook, in plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.credit import ActionValues, lambda_targets, learn_towards, mean_targets, no_values, returns_to_go

pytestmark = pytest.mark.usefixtures("quick_compiler")

S, A, L = 7, 2, 5


def episode(seed, distinct=True):
    rng = np.random.default_rng(seed)
    states = rng.permutation(S)[: L + 1] if distinct else rng.integers(0, 3, L + 1)
    return states, rng.integers(0, A, L), rng.normal(size=L), rng.normal(size=(S, A))


def padded(states, actions, rewards, T=8):
    """Episode arrays of T steps, and which of them count."""
    rows = np.full(T, 3)
    rows[:L] = states[:L]
    chosen, paid = np.zeros(T, int), np.zeros(T)
    chosen[:L], paid[:L] = actions, rewards
    return (
        jnp.asarray(rows, jnp.int32),
        jnp.asarray(chosen, jnp.int32),
        jnp.asarray(paid, jnp.float32),
        jnp.arange(T) < L,
    )


def test_returns_to_go():
    _, _, rewards, _ = episode(0)
    expected = [sum(0.9**k * r for k, r in enumerate(rewards[t:])) for t in range(L)]
    np.testing.assert_allclose(returns_to_go(jnp.asarray(rewards, jnp.float32), 0.9), expected, rtol=1e-5)


@pytest.mark.parametrize("trace", [0.0, 0.7, 1.0])
def test_lambda_targets_are_eligibility_traces(trace):
    """Sutton & Barto's online Q(λ) with accumulating, uncut traces, one step after the other."""
    states, actions, rewards, q = episode(1)
    alpha, gamma = 0.3, 0.9
    online, traces = q.copy(), np.zeros((S, A))
    for t in range(L):
        following = 0.0 if t == L - 1 else online[states[t + 1]].max()
        delta = rewards[t] + gamma * following - online[states[t], actions[t]]
        traces *= gamma * trace
        traces[states[t], actions[t]] += 1
        online += alpha * delta * traces

    values = jnp.asarray(q[states[:L], actions], jnp.float32)
    following = jnp.asarray(np.append(q[states[1:L]].max(axis=1), 0.0), jnp.float32)
    targets = lambda_targets(jnp.asarray(rewards, jnp.float32), values, following, trace, gamma)
    rows, chosen, _, inside = padded(states, actions, rewards)
    table = ActionValues(jnp.asarray(q, jnp.float32), jnp.zeros((S, A)))
    learned = learn_towards(table, rows, chosen, jnp.pad(targets, (0, 3), constant_values=9.0), inside, alpha)
    np.testing.assert_allclose(learned.values, online, rtol=1e-5, atol=1e-5)


def test_one_over_n_is_the_mean_of_all_targets_with_repeated_visits_too():
    table = no_values(S, A)
    seen = {}
    columns = []
    for seed in range(6):
        states, actions, rewards, _ = episode(seed, distinct=False)
        rows, chosen, paid, inside = padded(states, actions, rewards)
        table = learn_towards(table, rows, chosen, paid, inside, 0.0)
        columns.append((rows, chosen, paid, inside))
        for s, a, r in zip(states[:L], actions, rewards, strict=True):
            seen.setdefault((int(s), int(a)), []).append(r)
    expected, visits = np.zeros((S, A)), np.zeros((S, A))
    for (s, a), targets in seen.items():
        expected[s, a], visits[s, a] = np.mean(targets), len(targets)
    np.testing.assert_allclose(table.values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(table.visits, visits)
    at_once = mean_targets(table, *(jnp.stack(x, axis=1) for x in zip(*columns, strict=True)))
    np.testing.assert_allclose(at_once.values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(at_once.visits, visits)
