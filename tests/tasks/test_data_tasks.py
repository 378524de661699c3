"""Digits, behaviour, video and cloning: the data against references that share nothing with what makes them."""

import itertools
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import make_memory
from throughtime.memory.architectures import ManyToMany, ManyToOne
from throughtime.tasks import make_task, train_task
from throughtime.tasks._classifier import Classifier
from throughtime.tasks.behaviour import THRESHOLDS, Behaviour, log_likelihoods, watch
from throughtime.tasks.cloning import Cloning, Scale
from throughtime.tasks.digits import DigitPixels, DigitRows, Digits, distort
from throughtime.tasks.video import COMPASS, VideoDirections, render, roll


@pytest.fixture(autouse=True)
def quick_compiler(request):
    """Compiling is most of the time here, but for the tests that train."""
    quick = request.node.get_closest_marker("slow") is None
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


# Digits.


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return Digits().load()


def test_the_digits_are_split_once_and_for_all(digits):
    from sklearn.datasets import load_digits

    given, labels = load_digits(return_X_y=True)
    rows = sorted((*np.ravel(p), d) for p, d in zip(given / 16, labels, strict=True))
    split = [(*np.ravel(p).tolist(), int(d)) for part in digits for p, d in zip(*map(np.asarray, part), strict=True)]
    assert sorted(split) == rows  # each picture once, with its label: so no two splits share one
    assert [len(part.labels) for part in digits] == pytest.approx([0.6 * 1797, 0.15 * 1797, 0.25 * 1797], abs=5)
    whole = np.bincount(labels) / len(labels)
    for part in digits:
        np.testing.assert_allclose(np.bincount(part.labels) / len(part.labels), whole, atol=0.005)


@pytest.mark.parametrize("task", [Digits(), DigitRows(), DigitPixels()])
def test_digits_are_read_in_reading_order(task):
    pictures = jnp.arange(128.0).reshape(2, 8, 8)
    xs = np.asarray(task.inputs(pictures))
    if task.steps == 1:
        np.testing.assert_array_equal(xs, np.arange(128.0).reshape(2, 64))
        return
    assert xs.shape == (task.steps, 2, 64 // task.steps)
    for picture in range(2):
        np.testing.assert_array_equal(xs[:, picture].ravel(), np.arange(64.0) + 64 * picture)


def test_a_distorted_digit_is_the_bilinear_picture_moved(monkeypatch):
    picture = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    moves = np.zeros((6, 3, 1), np.float32)  # turn, scales, shear, shifts in [-1, 1], of three pictures
    moves[4, 1], moves[5, 1] = 1.0, -1.0
    moves[0, 2], moves[5, 2] = 0.5, 0.25
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, minval: jnp.asarray(moves[..., 0]))
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.zeros(shape))
    still, shifted, turned = np.asarray(distort(jnp.asarray(np.stack([picture] * 3)), jax.random.key(0)))
    np.testing.assert_allclose(still, picture, atol=1e-6)
    expected = np.zeros((8, 8))
    expected[:7, 1:] = picture[1:, :7]  # what is at (y, x) came from (y + 1, x − 1)
    np.testing.assert_allclose(shifted, expected, atol=1e-6)
    angle = np.radians(6)
    for y, x in itertools.product(range(8), range(8)):
        from_y = np.cos(angle) * (y - 3.5) + np.sin(angle) * (x - 3.5) + 3.5
        from_x = -np.sin(angle) * (y - 3.5) + np.cos(angle) * (x - 3.5) + 3.75
        total = 0.0
        for v, u in itertools.product(range(8), range(8)):
            total += picture[v, u] * max(0, 1 - abs(v - from_y)) * max(0, 1 - abs(u - from_x))
        assert turned[y, x] == pytest.approx(total, abs=1e-5)


def test_training_pictures_differ_each_time_and_keep_their_labels(digits):
    task = Digits(augment=False)
    data = jax.tree.map(jnp.asarray, digits)
    batch = jax.jit(task.batch, static_argnums=1)(data, 50, jax.random.key(1))
    known = {np.asarray(p).tobytes(): int(d) for p, d in zip(*digits.train, strict=True)}
    assert all(known[np.asarray(p).tobytes()] == int(d) for p, d in zip(*batch, strict=True))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    from throughtime.tasks import digits as module

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    module._load.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'throughtime\[tasks\]'"):
        DigitRows().load()


# Behaviour.


def test_what_is_watched_is_what_the_policy_would_hear():
    """Replays each policy: in NumPy, with its own count of the evidence, at the frequencies that the Tiger has."""
    policies = np.repeat(np.arange(4), 3000).astype(np.int32)
    xs = np.asarray(jax.jit(watch, static_argnums=1)(jnp.asarray(policies), 12, jax.random.key(0)))
    np.testing.assert_array_equal(xs[0], np.tile([1.0, 0.0, 0.0], (12000, 1)))
    np.testing.assert_array_equal(xs[1:].sum(axis=-1), 1.0)
    right = xs[1:, :, 2] == 1
    np.testing.assert_allclose(right.reshape(11, 4, 3000).mean(axis=2), 0.5, atol=0.04)  # one observation tells nothing
    same = (right[1:] == right[:-1]).reshape(10, 4, 3000).mean(axis=2)
    # Two observations of one tiger agree with probability 0.85² + 0.15² = 0.745; else it is a coin.
    np.testing.assert_allclose(same[:, 0], 0.5, atol=0.04)
    np.testing.assert_allclose(same[:, 3], 0.745, atol=0.04)
    np.testing.assert_allclose(same[0, 1:], 0.745, atol=0.04)
    np.testing.assert_allclose(same[:, 1].min(), 0.5, atol=0.04)


def brute_force(heard, threshold):
    """p(heard | policy), summed over every sequence of doors: 1 is right."""
    opens, evidence = [], 0
    for h in heard:
        opens.append(abs(evidence) >= threshold)
        evidence = 0 if opens[-1] else evidence + (1 if h else -1)
    total = 0.0
    for doors in itertools.product((0, 1), repeat=len(heard)):
        p, before = 1.0, None
        for h, opened, door in zip(heard, opens, doors, strict=True):
            p *= 0.5 if before is None or opened else float(door == before)
            p *= 0.5 if opened else (0.85 if h == door else 0.15)
            before = door
        total += p
    return total


def test_the_posterior_equals_the_sum_over_all_hidden_doors():
    heard = np.random.default_rng(0).integers(0, 2, (8, 6))
    heard[:, 0] = 1
    xs = np.zeros((9, 6, 3), np.float32)
    xs[0, :, 0] = 1
    xs[1:, :, 2], xs[1:, :, 1] = heard, 1 - heard
    lengths = np.array([9, 9, 9, 5, 2, 7], np.int32)
    got = np.exp(log_likelihoods(jnp.asarray(xs), jnp.asarray(lengths)))
    for b, n in enumerate(lengths):
        expected = [brute_force(heard[: n - 1, b], k) for k in THRESHOLDS]
        np.testing.assert_allclose(got[b], expected, rtol=2e-5)


def test_behaviour_lengths_and_padding():
    task = Behaviour(length=10)
    batch = jax.jit(task.batch, static_argnums=1)((), 400, jax.random.key(0))
    assert set(np.asarray(batch.lengths).tolist()) == {5, 6, 7, 8, 9, 10}
    assert set(np.asarray(batch.policies).tolist()) == {0, 1, 2, 3}
    model = Classifier(ManyToOne(make_memory("elman", 3, 4, key=jax.random.key(1)), 4, key=jax.random.key(2)), 0.0)
    padding = np.arange(10)[:, None] >= np.asarray(batch.lengths)[None]
    broken = batch._replace(xs=jnp.where(padding[..., None], jnp.nan, batch.xs))
    of = eqx.filter_jit(eqx.filter_value_and_grad(lambda model, batch: task.loss(model, batch, None, jnp.ones(()))))
    fine, same = (jax.tree.leaves(of(model, b)) for b in (batch, broken))
    for a, b in zip(fine, same, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()


def test_dropout_leaves_out_features_in_training_alone():
    model = Classifier(ManyToOne(make_memory("elman", 3, 100, key=jax.random.key(1)), 1, key=jax.random.key(2)), 0.25)
    xs = jnp.ones((2, 1, 3))
    hidden = model.memory.unroll(model.memory.initial_state(1), xs, jnp.zeros((2, 1), bool))[1][-1]
    weight = model.architecture.readout.weight_hy
    parts = np.asarray(hidden)[0] * np.asarray(weight)[:, 0]
    assert float(model(xs)[0, 0]) == pytest.approx(parts.sum(), rel=1e-4)
    of = jax.jit(jax.vmap(lambda key: model(xs, key=key)[0, 0]))(jax.random.split(jax.random.key(3), 2000))
    # Each part is kept with probability ¾ and then 4/3 as large: the mean stays, the variance is Σ part² · ⅓.
    assert float(of.mean()) == pytest.approx(parts.sum(), abs=float(4 * np.sqrt((parts**2).sum() / 3 / 2000)))
    assert float(of.var()) == pytest.approx(float((parts**2).sum() / 3), rel=0.15)


# Video.


@pytest.mark.parametrize("compass", [4, 8])
def test_the_ball_rolls_and_bounces(compass):
    """Step by step with if and else, where the task has a closed form."""
    side, length = 5, 20
    starts = np.array([[r, c, d] for r in range(side) for c in range(side) for d in range(compass)], np.int32)
    places, labels = roll(jnp.asarray(starts[:, :2].T), jnp.asarray(starts[:, 2]), length, side, compass)
    places, labels = np.asarray(places), np.asarray(labels)
    for b, (r, c, d) in enumerate(starts):
        position, velocity = [r, c], list(COMPASS[compass][d])
        assert places[0, :, b].tolist() == position
        for t in range(1, length):
            for axis in (0, 1):
                if not 0 <= position[axis] + velocity[axis] < side:
                    velocity[axis] = -velocity[axis]
                position[axis] += velocity[axis]
            assert places[t, :, b].tolist() == position
            assert COMPASS[compass][labels[t, b]] == tuple(velocity)


def test_frames_show_the_ball_where_it_is_and_nothing_in_the_dark():
    task = VideoDirections(side=7, length=15, hidden=3, visible=4, noise=0.0)
    film = jax.jit(task.batch, static_argnums=1)((), 300, jax.random.key(0))
    frames, hidden = np.asarray(film.frames).reshape(15, 300, 7, 7), np.asarray(film.hidden)
    assert (frames[hidden] == 0).all()
    assert not hidden[:2].any()
    np.testing.assert_allclose(hidden[2:].mean(axis=1), 3 / 7, atol=0.1)
    for b in range(300):  # between the ends of a film, black frames come by three and the others by four
        runs = [(dark, len(list(run))) for dark, run in itertools.groupby(hidden[2:, b])][1:-1]
        assert all(n == (3 if dark else 4) for dark, n in runs)
    peaks = frames.reshape(15, 300, 49).argmax(axis=-1)
    at = np.stack(np.divmod(peaks, 7), axis=-1)
    seen = ~hidden[1:] & ~hidden[:-1]
    assert seen.mean() > 0.3
    moves, labels = (at[1:] - at[:-1])[seen], np.asarray(film.labels)[1:][seen]
    np.testing.assert_array_equal(moves, np.array(COMPASS[8])[labels])
    picture = np.asarray(render(jnp.asarray([[[2], [3]]]), 7)).reshape(7, 7)
    for y, x in itertools.product(range(7), range(7)):
        assert picture[y, x] == pytest.approx(np.exp(-((y - 2) ** 2 + (x - 3) ** 2) / 0.98), abs=1e-6)


def test_the_memoryless_score_is_that_of_the_best_table():
    """The best answer to each frame is counted in films, as a memoryless reader would have to learn it."""
    task = VideoDirections(side=4, length=6, hidden=3, visible=2, noise=0.0)
    film = jax.jit(task.batch, static_argnums=1)((), 20_000, jax.random.key(0))
    labels, hidden = np.asarray(film.labels)[1:], np.asarray(film.hidden)[1:]
    shown = np.where(hidden, task.side**2, np.asarray(film.frames)[1:].argmax(axis=-1))
    table = np.zeros((task.side**2 + 1, task.directions))
    np.add.at(table, (shown, labels), 1)
    assert task.memoryless_score == pytest.approx(table.max(axis=1).sum() / table.sum(), abs=0.01)
    assert task._memoryless()[1] == pytest.approx(table[-1].max() / table[-1].sum(), abs=0.02)


# Cloning.


@pytest.mark.parametrize("name", ["t-maze", "t-maze-active"])
def test_the_maze_expert_walks_to_the_goal_episode_after_episode(name):
    task = Cloning(env=name, corridor=3, steps=14)
    shown = jax.jit(task.demonstrate, static_argnums=0)(40, jax.random.key(0))
    obs, actions = np.asarray(shown.obs), np.asarray(shown.actions)
    episode = [0, 0, 0] if name == "t-maze" else [2, 0, 0, 0, 0]
    length = len(episode) + 1
    for b, begin in itertools.product(range(40), range(0, 14, length)):
        cue = obs[begin + (name == "t-maze-active") : begin + 2, b, 1]
        if len(obs) >= begin + length:
            turn = 1 if cue[0] > 0 else 3
            assert actions[begin : begin + length, b].tolist() == [*episode, turn]
    np.testing.assert_array_equal(np.asarray(shown.resets), np.tile(np.arange(14)[:, None] % length == 0, (1, 40)))


def test_the_cartpole_expert_balances_and_sees_what_the_clone_does_not():
    task = Cloning(env="cartpole-positions", steps=501)
    shown = jax.jit(task.demonstrate, static_argnums=0)(16, jax.random.key(0))
    resets = np.asarray(shown.resets)
    assert resets[0].all()
    assert resets[500].all()  # truncated after 500 steps: so the expert never fell
    assert resets.sum() == 32
    np.testing.assert_array_equal(np.asarray(shown.obs)[..., [1, 3]], 0.0)


def test_with_noise_other_actions_are_taken_but_the_experts_are_to_be_said():
    task = Cloning(env="cartpole-positions", steps=60, noise=0.3)
    shown = jax.jit(task.demonstrate, static_argnums=0)(16, jax.random.key(0))
    obs, actions = np.asarray(shown.obs), np.asarray(shown.actions)
    x = obs[..., 0]  # ẋ(t+1) − ẋ(t) has the sign of the push taken at t, and x moves by ẋ one step later
    push = np.diff(x, n=2, axis=0) > 0  # [58, B]: the one taken at step t
    ended = np.asarray(shown.resets)
    inside = ~(ended[1:-1] | ended[2:])
    assert (push == (actions[:-2] == 1))[inside].mean() == pytest.approx(
        0.85, abs=0.04
    )  # half of the random ones agree


def maze_clone(recurrent):
    """An Elman network by hand: h = [at the junction, sum of the cues]; the sum's sign says where to turn."""
    memory = make_memory("elman", 2, 2, f="identity", key=jax.random.key(0))
    model = ManyToMany(memory, 4, key=jax.random.key(1))
    values = (
        jnp.eye(2),
        jnp.diag(jnp.array([0.0, recurrent])),
        jnp.array([[-10.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, -1.0]]),
        jnp.array([5.0, 0.0, -9.0, 0.0]),
    )
    where = lambda m: (m.memory.weight_xh, m.memory.weight_hh, m.readout.weight_hy, m.readout.bias_y)  # noqa: E731
    return eqx.tree_at(where, model, values)


def test_a_clone_is_scored_by_what_it_says_and_by_what_it_earns_alone():
    task = Cloning(corridor=4, steps=15)  # three episodes in a stream: the sum of cues has to begin anew
    data = Scale(jnp.zeros(2), jnp.ones(2))
    scores = task.evaluate(maze_clone(1.0), data, jax.random.key(0))
    assert scores == {"return": 1.0, "accuracy": 1.0, "optimal_return": 1.0}
    returns = task.act(maze_clone(0.0), data, 500, jax.random.key(0))  # forgets, and always turns up
    assert float(returns.mean()) == pytest.approx(0.5, abs=0.1)
    assert task.memoryless_score == 0.5


def test_a_clone_earns_nothing_after_its_first_episode():
    """Who always pushes to one side falls within 8 to 11 steps, and would go on collecting in the next episodes."""
    model = ManyToMany(make_memory("elman", 4, 2, key=jax.random.key(0)), 2, key=jax.random.key(1))
    model = eqx.tree_at(lambda m: m.readout.bias_y, model, jnp.array([0.0, 100.0]))
    returns = Cloning(env="cartpole-positions").act(model, Scale(jnp.zeros(4), jnp.ones(4)), 50, jax.random.key(0))
    assert set(np.asarray(returns).tolist()) <= {8.0, 9.0, 10.0, 11.0}


def test_observations_are_normalised_by_what_the_expert_sees():
    task = Cloning(env="cartpole-positions", steps=40)
    scale = task.load()
    obs = np.asarray(jax.jit(task.batch, static_argnums=1)(scale, 64, jax.random.key(0)).obs)
    np.testing.assert_allclose(obs[..., [0, 2]].std(axis=(0, 1)), 1.0, atol=0.2)
    np.testing.assert_array_equal(obs[..., [1, 3]], 0.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("behaviour", {"length": 3}, "length is 3"),
        ("video", {"directions": 6}, "directions is 6"),
        ("video", {"visible": 1}, "visible is 1"),
        ("video", {"noise": float("nan")}, "noise is nan"),
        ("cloning", {"env": "t-mase"}, "Did you mean 't-maze'"),
        ("cloning", {"noise": 1.5}, "noise is 1.5"),
        ("cloning", {"steps": 0}, "steps is 0"),
    ],
)
def test_impossible_options_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "updates", "least"),
    [
        ("digits", {}, 500, 0.95),
        ("digits-rows", {}, 500, 0.95),
        ("behaviour", {"length": 40}, 400, 0.6),
        ("video", {"side": 6, "length": 12, "hidden": 3, "visible": 3}, 400, 0.8),
        ("cloning", {"corridor": 10}, 200, 0.95),
    ],
)
def test_a_gru_learns_and_beats_what_needs_no_memory(name, options, updates, least):
    if name.startswith("digits"):
        pytest.importorskip("sklearn")
    task = make_task(name, **options)
    score = train_task(task, replace(task.defaults("gru"), updates=updates)).score
    assert score >= least
    if task.memoryless_score is not None:
        assert score > task.memoryless_score + 0.2
