"""Complete episodes cut from streams of steps, and put back, against loops in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.credit.rollouts import complete_episodes, put_back

pytestmark = pytest.mark.usefixtures("quick_compiler")

S, B, T = 12, 3, 5


def stream(seed):
    """Random episodes of 1 to 7 steps; the first of row 0 began before the rollout."""
    rng = np.random.default_rng(seed)
    ended = rng.random((S, B)) < 0.3
    resets = np.zeros((S, B), bool)
    resets[1:] = ended[:-1]
    resets[0] = [False, True, True]
    observations, finals = rng.normal(size=(S, B, 2)), rng.normal(size=(S, B, 2))
    return observations, finals, rng.normal(size=(S, B, 1)), rng.normal(size=(S, B)), resets, ended


def by_hand(resets, ended):
    """(environment, first step, length) of each episode that is whole and not too long."""
    found = []
    for b in range(B):
        start = None
        for t in range(S):
            start = t if resets[t, b] else start
            if ended[t, b]:
                if start is not None and t - start + 1 <= T:
                    found.append((b, start, t - start + 1))
                start = None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_episodes_are_found_whole_and_put_back(seed):
    arrays = stream(seed)
    observations, finals, actions, rewards, resets, ended = arrays
    expected = by_hand(resets, ended)
    floats = [jnp.asarray(x, jnp.float32) for x in arrays[:4]]
    cut = jax.jit(complete_episodes, static_argnames=("count", "steps"))
    episodes, places = cut(*floats, jnp.asarray(resets), jnp.asarray(ended), count=20, steps=T)
    assert int((episodes.lengths > 0).sum()) == len(expected) > 0
    for n, (b, start, length) in enumerate(expected):
        assert (int(places.row[n]), int(places.start[n]), int(episodes.lengths[n])) == (b, start, length)
        inside = slice(start, start + length)
        np.testing.assert_allclose(episodes.observations[:length, n], observations[inside, b], rtol=1e-6)
        np.testing.assert_allclose(episodes.observations[length, n], finals[start + length - 1, b], rtol=1e-6)
        np.testing.assert_allclose(episodes.actions[:length, n], actions[inside, b], rtol=1e-6)
        np.testing.assert_allclose(episodes.rewards[:length, n], rewards[inside, b], rtol=1e-6)
    assert not np.asarray(episodes.inside)[:, len(expected) :].any()

    moved = jnp.asarray(np.arange(T * 20).reshape(T, 20), jnp.float32) + 100
    after = np.array(rewards, np.float32)
    for n, (b, start, length) in enumerate(expected):
        after[start : start + length, b] = np.asarray(moved)[:length, n]
    np.testing.assert_allclose(put_back(floats[3], episodes, places, moved), after, rtol=1e-6)


def test_what_finds_no_room_stays_as_it_was():
    arrays = stream(1)
    floats = [jnp.asarray(x, jnp.float32) for x in arrays[:4]]
    flags = [jnp.asarray(x) for x in arrays[4:]]
    episodes, places = complete_episodes(*floats, *flags, count=1, steps=T)
    assert int(episodes.lengths[0]) > 0
    changed = np.asarray(put_back(floats[3], episodes, places, jnp.full((T, 1), 50.0))) != np.asarray(floats[3])
    assert changed.sum() == int(episodes.lengths[0])
