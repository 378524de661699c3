"""The lessons' buffer: what is kept, what is drawn, and that the weights undo the drawing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.credit.episodes import Episodes
from throughtime.credit.lessons import add_latest, add_lessons, draw_lessons, no_lessons, take, worth
from throughtime.credit.predictor import ReturnPredictor
from throughtime.memory import make_memory

pytestmark = pytest.mark.usefixtures("quick_compiler")


def with_returns(returns):
    """Episodes of two steps that say by their observation which they are."""
    n = len(returns)
    rewards = jnp.zeros((2, n)).at[1].set(jnp.asarray(returns, jnp.float32))
    marks = jnp.broadcast_to(jnp.asarray(returns, jnp.float32)[None, :, None], (3, n, 1))
    return Episodes(marks, jnp.zeros((2, n, 1)), rewards, jnp.full(n, 2, jnp.int32))


def stored(returns, errors, capacity):
    lessons = no_lessons(capacity, 2, 1, 1)
    return jax.jit(add_lessons)(lessons, with_returns(returns), jnp.asarray(errors, jnp.float32))


def test_lessons_are_kept_whole_until_there_is_no_room():
    lessons = stored([1.0, 5.0, 2.0], [0.1, 0.2, 0.3], 4)
    assert int(lessons.held) == 3
    np.testing.assert_array_equal(lessons.episodes.returns[:3], [1.0, 5.0, 2.0])
    np.testing.assert_array_equal(lessons.episodes.observations[2, :3, 0], [1.0, 5.0, 2.0])
    np.testing.assert_allclose(lessons.errors[:3], [0.1, 0.2, 0.3])
    assert float(lessons.spread) == pytest.approx(np.std([1.0, 5.0, 2.0]), rel=1e-6)


def test_the_rare_and_the_badly_predicted_stay():
    # Forty episodes that earn nothing, and among the first of them one that does and one that is badly predicted.
    returns = [0.0] * 20 + [7.0] + [0.0] * 20
    errors = [0.5] + [0.01] * 40
    lessons = stored(returns, errors, 5)
    assert int(lessons.held) == 5
    assert 7.0 in np.asarray(lessons.episodes.returns)
    assert float(lessons.errors.max()) == 0.5
    value = np.asarray(worth(lessons))
    assert value[np.asarray(lessons.episodes.returns) == 7.0] > 6


def test_drawing_follows_the_errors_and_the_weights_undo_it():
    errors = np.array([0.0, 1.0, 3.0, 6.0])
    lessons = stored([1.0, 2.0, 3.0, 4.0], errors, 6)
    n = 40_000
    columns, weights = draw_lessons(lessons, jax.random.key(0), n, 0.6)
    share = np.bincount(np.asarray(columns), minlength=6) / n
    expected = np.append(0.6 * errors / errors.sum() + 0.4 / 4, [0.0, 0.0])
    assert (np.abs(share - expected) <= 5 * np.sqrt(expected / n) + 1e-12).all()
    drawn = take(lessons.episodes, columns).returns
    assert float(jnp.mean(weights * drawn)) == pytest.approx(2.5, abs=0.05)


def test_without_errors_all_are_drawn_alike():
    lessons = stored([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], 3)
    columns, weights = draw_lessons(lessons, jax.random.key(1), 9_000, 0.9)
    assert (np.bincount(np.asarray(columns), minlength=3) > 2_700).all()
    np.testing.assert_allclose(weights, 1.0, rtol=1e-5)


def test_the_latest_take_the_places_of_the_oldest():
    lessons, kept, before = no_lessons(4, 2, 1, 1), [], 0
    for returns in ([1.0, 2.0, 3.0], [4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]):
        new = with_returns([*returns, 99.0])
        new = new._replace(lengths=new.lengths.at[-1].set(0))  # an empty column is no lesson
        lessons = add_latest(lessons, new, jnp.asarray([*returns, 99.0]), jnp.int32(before))
        kept, before = (kept + returns)[-4:], before + len(returns)
        held = int(lessons.held)
        assert sorted(np.asarray(lessons.episodes.returns)[:held]) == kept
        np.testing.assert_array_equal(lessons.errors[:held], lessons.episodes.returns[:held])


def test_what_was_paid_is_added_and_the_rest_is_judged_beside_a_clock():
    rng = np.random.default_rng(0)
    rewards, lengths = rng.normal(size=(3, 5)), np.array([3, 3, 2, 3, 1])
    episodes = Episodes(
        jnp.asarray(rng.normal(size=(4, 5, 1)), jnp.float32),
        jnp.zeros((3, 5, 1)),
        jnp.asarray(rewards, jnp.float32).at[2, 4].set(jnp.nan),
        jnp.asarray(lengths, jnp.int32),
    )
    rest = np.full((4, 5), np.nan)  # of each episode, what is still paid from step t on
    for n, length in enumerate(lengths):
        for t in range(length + 1):
            rest[t, n] = rewards[t:length, n].sum()
    plain, knowing = (
        ReturnPredictor(make_memory("gru", 2, 3, key=jax.random.key(0)), jax.random.key(1), knows)
        for knows in (False, True)
    )
    for n, length in enumerate(lengths):
        added = np.asarray(knowing(episodes) - plain(episodes))[: length + 1, n]
        np.testing.assert_allclose(added, rewards[:length, n].sum() - rest[: length + 1, n], atol=1e-5)

    lessons = add_lessons(no_lessons(6, 3, 1, 1), episodes, jnp.zeros(5))
    squares = (rest - np.nanmean(rest, axis=1, keepdims=True)) ** 2
    expected = np.sqrt(np.mean(np.nanmean(squares, axis=0)))
    assert float(lessons.spread_of_rest) == pytest.approx(expected, rel=1e-5)
