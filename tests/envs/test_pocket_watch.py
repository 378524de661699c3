"""The pocket watch against its published numbers, and its tables against exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.envs.suite.pocket_watch import PocketWatchState

N = 20_000
PRICE, REPAIR, BRAND = [18, 28, 31, 59], [1, 4, 5, 24.5], [0.5, 2.5, 4.5, 18]  # of the published code


@pytest.fixture(scope="module")
def repaired():
    """N episodes of repaired watches: brands [N], counts of events [50, N, 2], rewards [50, N], ends [50, N]."""
    env = make("pocket-watch")

    @jax.jit
    def run(key):
        _, state = jax.vmap(env.reset)(jax.random.split(key, N))

        def body(state, key):
            keys = jax.random.split(key, N)
            actions = jnp.zeros(N, jnp.int32)
            obs, state, reward, ended, _ = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
                keys, state, actions, env.default_params
            )
            return state, (obs[:, 1:3], reward, ended)

        return state.brand, jax.lax.scan(body, state, jax.random.split(key, 50))[1]

    brands, rest = run(jax.random.key(0))
    return np.asarray(brands), *(np.asarray(x, float) for x in rest)


def test_costs_come_when_and_as_they_are_published(repaired):
    brands, counts, rewards, ends = repaired
    assert ends[-1].all()
    assert not ends[:-1].any()
    assert not rewards[1:-1].any()
    events = counts[-1] @ np.array([0.1, 7.0])
    for brand in range(4):
        mine = brands == brand
        assert 0.23 < mine.mean() < 0.27
        error = 5 / np.sqrt(mine.sum())
        assert -rewards[0, mine].mean() == pytest.approx(REPAIR[brand], abs=2 * error)
        assert rewards[0, mine].std() == pytest.approx([2, 2, 2, 1][brand], abs=2 * error)
        delivery = PRICE[brand] - events[mine] - rewards[-1, mine]
        assert delivery.mean() == pytest.approx(BRAND[brand], abs=1.5 * error)
        assert delivery.std() == pytest.approx(1.5, abs=1.5 * error)


def test_events_are_binomial(repaired):
    steps = np.diff(repaired[1], axis=0, prepend=0)
    assert set(np.unique(steps)) == {0, 1}
    for kind, chance in ((0, 0.1), (1, 0.05)):
        assert steps[..., kind].mean() == pytest.approx(chance, abs=5 * np.sqrt(chance / steps[..., kind].size))
        total = steps[..., kind].sum(axis=0)
        assert total.var() == pytest.approx(50 * chance * (1 - chance), rel=0.06)


def test_repairing_is_worth_what_is_published():
    env = make("pocket-watch")
    np.testing.assert_allclose(env.action_values(), [[-1.5, 0], [3.5, 0], [3.5, 0], [-1.5, 0]], atol=1e-6)
    assert env.optimal_return == pytest.approx(1.75, abs=1e-6)


def test_only_the_first_action_counts():
    env = make("pocket-watch", length=4)
    key = jax.random.key(1)
    for first in (0, 1):
        seen = []
        for later in (0, 1):
            _, state = env.reset(key)
            total = 0.0
            for t in range(4):
                _, state, reward, _, _ = env.step_env(key, state, jnp.int32(later if t else first), env.default_params)
                total += float(reward)
            seen.append((total, *(int(x) for x in state)))
        assert seen[0] == seen[1]
        assert (seen[0][0] == 0) == (first == 1)


def test_index_numbers_states_one_by_one():
    env = make("pocket-watch", length=3)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (4, 2, 4, 4, 4)), indexing="ij")).reshape(5, -1)
    numbers = jax.vmap(env.index)(PocketWatchState(*jnp.asarray(grid, jnp.int32)))
    np.testing.assert_array_equal(np.sort(numbers), np.arange(env.states))


def test_tables_solved_backwards_give_the_exact_values():
    env = make("pocket-watch", length=3)
    tables = env.tables()
    np.testing.assert_allclose(tables.transition.sum(axis=2), 1.0, atol=1e-12)
    values = np.zeros(env.states)
    for _ in range(3):
        q = tables.reward + np.where(tables.terminal, 0.0, tables.transition @ values)
        values = q.max(axis=1)
    np.testing.assert_allclose(q[tables.initial > 0], env.action_values(), atol=1e-5)
    assert tables.initial @ values == pytest.approx(env.optimal_return, abs=1e-5)
    assert make("pocket-watch").tables() is None


def test_tables_are_what_steps_do():
    env, n = make("pocket-watch", length=3), 4_000
    tables = env.tables()
    step = jax.jit(jax.vmap(env.step_env, in_axes=(0, None, None, None)))
    keys = jax.random.split(jax.random.key(2), n)
    for numbers, action in (((2, 0, 0, 0, 0), 0), ((1, 1, 1, 0, 1), 1), ((3, 1, 0, 1, 2), 0), ((0, 0, 2, 1, 2), 0)):
        state = PocketWatchState(*(jnp.int32(x) for x in numbers))
        s = int(env.index(state))
        obs, after, reward, ended, _ = step(keys, state, jnp.int32(action), env.default_params)
        rows = np.asarray(jax.vmap(env.index)(after))
        np.testing.assert_array_equal(obs, tables.observations[rows])
        share = np.bincount(rows, minlength=env.states) / n
        expected = tables.transition[s, action]
        assert (np.abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()
        assert (np.asarray(ended) == tables.terminal[s, action]).all()
        error = 5 * np.asarray(reward).std() / np.sqrt(n) + 1e-4
        assert np.asarray(reward, float).mean() == pytest.approx(tables.reward[s, action], abs=error)


def test_a_delivery_of_no_steps_is_refused():
    with pytest.raises(ConfigError, match="length = 0"):
        make("pocket-watch", length=0)
