"""Return decomposition: when it is on, when it stays off and says so, and what it then pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.credit import DecompositionConfig, Episodes, ReturnDecomposition, play_episodes
from throughtime.credit.decomposition import ALIKE, FEW, ON, WRONG
from throughtime.credit.watches import WatchConfig, lasting
from throughtime.envs import make

pytestmark = pytest.mark.usefixtures("quick_compiler")

T, N = 5, 32
SMALL = DecompositionConfig(
    memory="gru", hidden_size=8, updates=120, batch_size=32, learning_rate=1e-2, average=0.9, capacity=128, window=32
)


def cue_episodes(seed, pays=10.0):
    """The first action decides; the reward comes at the end. The observation is noise throughout."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 2, (T, N))
    rewards = np.zeros((T, N))
    rewards[-1] = np.where(actions[0] == 1, pays, 0.0)
    return Episodes(
        jnp.asarray(rng.normal(size=(T + 1, N, 1)), jnp.float32),
        jax.nn.one_hot(jnp.asarray(actions, jnp.int32), 2),
        jnp.asarray(rewards, jnp.float32),
        jnp.full(N, T, jnp.int32),
    )


@pytest.fixture(scope="module")
def learner():
    decomposition = ReturnDecomposition(SMALL, 1, 2, T)
    return decomposition, jax.jit(decomposition.learn)


@pytest.fixture(scope="module")
def taught(learner):
    """The states after each of four batches."""
    decomposition, learn = learner
    states = [decomposition.start(jax.random.key(0))]
    for i in range(4):
        states.append(learn(states[-1], cue_episodes(i), jax.random.key(i)))
    return states


def test_the_step_that_decided_is_paid_once_the_predictor_is_good(learner, taught):
    decomposition, _ = learner
    state, fresh = taught[-1], cue_episodes(99)
    assert int(decomposition.verdict(state)) == ON
    status = decomposition.status(state)
    assert status.on
    assert "are redistributed" in status.said
    assert status.error < SMALL.bound
    moved = np.asarray(decomposition.rewards(state, fresh), float)
    np.testing.assert_allclose(moved.sum(axis=0), fresh.returns, atol=1e-4)
    first = np.asarray(fresh.actions[0, :, 1]) == 1
    assert moved[0, first].mean() - moved[0, ~first].mean() > 8  # of the 10 that the first action decides
    assert np.abs(moved[1:]).mean() < 1


def test_with_too_few_lessons_rewards_stay_as_they_are(learner, taught):
    decomposition, _ = learner
    fresh = cue_episodes(99)
    assert int(taught[1].lessons.held) < SMALL.least
    assert int(decomposition.verdict(taught[1])) == FEW
    assert f"{N} of {SMALL.least} lessons" in decomposition.status(taught[1]).said
    np.testing.assert_array_equal(decomposition.rewards(taught[1], fresh), fresh.rewards)


def test_a_predictor_beyond_the_bound_is_not_used(taught):
    strict = ReturnDecomposition(DecompositionConfig(**{**vars(SMALL), "bound": 1e-4}), 1, 2, T)
    fresh = cue_episodes(99)
    assert int(strict.verdict(taught[-1])) == WRONG
    assert "at most 0.0001" in strict.status(taught[-1]).said
    np.testing.assert_array_equal(strict.rewards(taught[-1], fresh), fresh.rewards)


def test_episodes_that_never_reward_leave_it_off(learner):
    decomposition, learn = learner
    state = decomposition.start(jax.random.key(1))
    for i in range(3):
        state = learn(state, cue_episodes(i, pays=0.0), jax.random.key(i))
    status = decomposition.status(state)
    assert int(decomposition.verdict(state)) == ALIKE
    assert not status.on
    assert "nothing to decompose" in status.said
    assert f"all {3 * N} episodes" in status.said
    fresh = cue_episodes(99)
    np.testing.assert_array_equal(decomposition.rewards(state, fresh), fresh.rewards)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


def test_it_is_judged_by_episodes_that_it_has_not_learned_from(learner, taught):
    before, after, fresh = taught[3], taught[4], cue_episodes(3)
    expected = np.abs(np.asarray(before.predictor(fresh)[-1] - fresh.returns))
    places = (int(before.judged) + np.arange(N)) % SMALL.window
    np.testing.assert_allclose(np.asarray(after.errors)[places], expected, rtol=1e-4, atol=1e-4)
    error = np.sqrt(np.mean(np.square(np.asarray(after.errors, float))))
    spread = np.std(np.concatenate([cue_episodes(i).returns for i in range(4)]))
    assert float(learner[0].error(after)) == pytest.approx(error / spread, rel=1e-4)


def test_empty_columns_are_passed_over(learner):
    decomposition, learn = learner
    whole = cue_episodes(0)
    half = jax.tree.map(lambda x: x.at[..., ::2].set(jnp.nan) if x.ndim == 2 else x, whole)
    half = half._replace(lengths=whole.lengths.at[::2].set(0))
    state = learn(decomposition.start(jax.random.key(2)), half, jax.random.key(0))
    state = learn(state, half, jax.random.key(1))
    assert int(state.lessons.held) == int(state.judged) == N
    assert np.asarray(state.lessons.episodes.lengths)[:N].all()
    kept = np.asarray(whole.returns)[1::2]
    np.testing.assert_array_equal(state.lessons.episodes.returns[:N], np.tile(kept, 2))
    assert float(state.predictor.return_scale) == pytest.approx(float(kept.std()), rel=1e-5)
    assert float(decomposition.error(state)) < 10
    assert not np.asarray(decomposition.rewards(state, half))[:, ::2].any()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


def test_scales_come_from_the_first_episodes_and_stay(taught):
    for state in taught[1:]:
        assert float(state.predictor.return_scale) == pytest.approx(
            float(np.std(np.asarray(cue_episodes(0).returns))), rel=1e-5
        )
        np.testing.assert_array_equal(state.predictor.input_scale, taught[1].predictor.input_scale)
        np.testing.assert_array_equal(state.trained.input_scale, taught[1].predictor.input_scale)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memory": "lstn"}, "lstm"),
        ({"bound": 0.0}, "bound"),
        ({"average": 1.0}, "average"),
        ({"updates": 0}, "updates"),
        ({"least": 100, "capacity": 50}, "never begin"),
        ({"auxiliary": -1.0}, "auxiliary"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        ReturnDecomposition(DecompositionConfig(**settings), 1, 2, T)


def test_played_episodes_end_where_they_end():
    """Tiger whose episode ends with the first opened door: lengths vary, and a limit truncates some."""
    env = make("tiger-ends-on-open", time_limit=6)
    act = lambda key, obs, state, now: jnp.maximum(jax.random.randint(key, (64,), -5, 3), 0)  # noqa: E731
    episodes, states, actions = jax.jit(lambda key: play_episodes(env, act, 64, key))(jax.random.key(0))
    opened = np.asarray(actions) > 0
    lengths = np.where(opened.any(axis=0), opened.argmax(axis=0) + 1, 6)
    np.testing.assert_array_equal(episodes.lengths, lengths)
    assert len(set(lengths)) == 6
    inside = np.arange(6)[:, None] < lengths
    listening = inside & ~opened
    np.testing.assert_array_equal(np.asarray(episodes.rewards)[listening], -1.0)
    np.testing.assert_array_equal(np.asarray(episodes.rewards)[~inside], 0.0)
    assert set(np.asarray(episodes.rewards)[inside & opened]) == {-100.0, 10.0}
    np.testing.assert_array_equal(np.asarray(states.time)[-1], lengths)
    np.testing.assert_array_equal(episodes.observations[0], np.tile([1.0, 0, 0], (64, 1)))


def test_right_for_good_is_counted_from_the_last_mistake():
    assert lasting(np.array([True, True, True]), 10) == 10
    assert lasting(np.array([False, True, False, True, True]), 10) == 40
    assert lasting(np.array([True, True, False]), 10) is None
    assert lasting(np.array([], bool), 10) is None


@pytest.mark.parametrize("settings", [{"episodes": 25}, {"explore": 1.5}], ids=str)
def test_impossible_watches_are_refused(settings):
    with pytest.raises(ConfigError):
        WatchConfig(**settings)
