"""The drawn tasks against their definitions, example by example."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import make_memory
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks import TASKS, make_task
from throughtime.tasks.counting import strings

KEY = jax.random.key(3)


class Rule(ManyToMany):
    """A model that was made by hand: outputs as a function of inputs."""

    rule: Callable = eqx.field(static=True)

    def __init__(self, rule):
        super().__init__(make_memory("none", 1, 1, key=KEY), 1, key=KEY)
        self.rule = rule

    def __call__(self, xs):
        return self.rule(xs)


def test_adding_marks_one_number_in_each_half():
    task = make_task("adding", length=11)
    xs, targets = map(np.asarray, task.batch((), 400, KEY))
    assert xs.shape == (11, 400, 2)
    for b in range(400):
        marked = np.flatnonzero(xs[:, b, 1])
        assert len(marked) == 2
        assert marked[0] < 5 <= marked[1]
        np.testing.assert_allclose(targets[b], xs[marked, b, 0].sum(), rtol=1e-6)
    assert set(np.argmax(xs[:5, :, 1], axis=0)) == set(range(5))  # every place comes up, the first and the last too
    assert set(5 + np.argmax(xs[5:, :, 1], axis=0)) == set(range(5, 11))


@pytest.mark.parametrize("length", [2, 5, 100])
def test_no_reader_of_addings_last_step_alone_is_better_than_said(length):
    """The best prediction from the last step is the mean of the targets given what it shows."""
    task = make_task("adding", length=length)
    xs, targets = map(np.asarray, task.batch((), 200_000, KEY))
    number, marked = xs[-1, :, 0], xs[-1, :, 1] == 1
    best = np.where(marked, 0.5 + number, 1.0)
    error = np.square(best - targets).mean()
    np.testing.assert_allclose(task.memoryless_score, error, rtol=0.01)


def test_copy_memory_shows_symbols_blanks_a_go_and_asks_for_the_symbols():
    task = make_task("copy-memory", gap=6, symbols=3, alphabet=4)
    xs, targets = map(np.asarray, task.batch((), 5, KEY))
    assert xs.shape == (12, 5, 6)
    assert targets.shape == (12, 5)
    np.testing.assert_array_equal(xs.sum(-1), 1.0)
    shown = xs.argmax(-1)
    for b in range(5):
        assert all(s < 4 for s in shown[:3, b])
        assert shown[3:, b].tolist() == [4] * 5 + [5] + [4] * 3
        assert targets[:, b].tolist() == [4] * 9 + shown[:3, b].tolist()
        assert task.required_lag == 9  # the symbol of step 0 is due at step 9


def test_copy_memorys_floor_is_the_published_one():
    np.testing.assert_allclose(make_task("copy-memory").memoryless_score, 0.0204, atol=5e-5)


def test_counting_strings_symbol_by_symbol():
    batch = strings(jnp.asarray([1, 3]), 3)
    alphabet = np.array(list("abcS"))
    for b, (n, word) in enumerate([(1, "Sabc"), (3, "Saaabbbccc")]):
        T = 3 * n + 1
        assert "".join(alphabet[np.asarray(batch.xs[:T, b]).argmax(-1)]) == word
        assert np.asarray(batch.mask[:, b]).tolist() == [True] * T + [False] * (10 - T)
        for t in range(T):
            prefix = word[1 : t + 1]
            language = [f"{'a' * k}{'b' * k}{'c' * k}E" for k in range(1, 8)]
            follows = {w[len(prefix)] for w in language if w.startswith(prefix)}
            expected = [float(s in follows) for s in "abcE"]
            assert np.asarray(batch.targets[t, b]).tolist() == expected, (word, t)


def counts(batch):
    return np.asarray(batch.xs[..., 0].sum(axis=0)).astype(int).tolist()


def test_a_step_of_counting_takes_every_string_once_or_as_many_as_asked_for():
    task = make_task("counting", longest=4)
    assert task.defaults("lstm").batch_size == 4
    assert counts(task.batch((), 4, KEY)) == [1, 2, 3, 4]
    drawn = counts(task.batch((), 3, KEY))
    assert len(drawn) == 3
    many = counts(task.batch((), 1000, KEY))
    assert len(many) == 1000
    assert set(many) == {1, 2, 3, 4}
    assert drawn != counts(task.batch((), 3, jax.random.key(4)))


def test_counting_counts_up_to_the_first_wrong_string():
    """A model that is right exactly where n ≤ 7 says so; made by hand, so the score is known."""
    task = make_task("counting")

    def up_to_seven(xs):
        counts = jnp.sum(xs[..., 0], axis=0).astype(jnp.int32)
        right = strings(counts, (xs.shape[0] - 1) // 3).targets
        return jnp.where((counts <= 7)[None, :, None], right, 1.0 - right)

    scores = task.evaluate(Rule(up_to_seven), (), KEY)
    assert scores == {"exact_up_to": 7, "exact_share_up_to_100": 0.07}


def test_echo_asks_for_the_symbol_of_lag_steps_ago():
    task = make_task("echo", lag=3, steps=4)

    def shift(lag):
        return Rule(lambda xs: jnp.roll(xs, lag, axis=0) * 20.0)

    assert task.evaluate(shift(3), (), KEY)["accuracy"] == 1.0
    assert task.evaluate(shift(2), (), KEY)["accuracy"] < 0.5
    loss = task.loss(shift(3), task.batch((), 8, KEY), None, jnp.zeros(()))
    assert loss < 1e-6


@pytest.mark.parametrize("name", ["adding", "copy-memory", "counting", "echo"])
def test_every_memory_fits(name):
    task = make_task(name)
    for memory in ("elman", "lstm", "tdnn", "none"):
        config = task.defaults(memory)
        model = eqx.filter_eval_shape(task.model, (), config, KEY)
        assert model.memory.input_size == task.batch((), 1, KEY).xs.shape[-1]


def test_the_lstm_counts_without_feedback():
    task = make_task("counting")
    model = task.model((), task.defaults("lstm"), KEY)
    assert isinstance(model, ManyToMany)
    np.testing.assert_array_equal(model.memory.weight_hh, 0.0)
    assert np.any(np.asarray(task.model((), task.defaults("gru"), KEY).memory.weight_hh) != 0.0)


def test_counting_adds_noise_to_an_lstms_input_weights_in_gradient_steps_only():
    def losses(memory, noise):
        task = make_task("counting", weight_noise=noise)
        model, batch = task.model((), task.defaults(memory), KEY), task.batch((), 10, KEY)
        keys = (None, KEY, jax.random.key(4))
        return [float(task.loss(model, batch, key, jnp.zeros(()))) for key in keys]

    without, one, other = losses("lstm", 0.3)
    assert len({without, one, other}) == 3
    assert losses("lstm", 0.0) == [without] * 3
    assert len(set(losses("gru", 0.3))) == 1


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("ading", {}, "Did you mean 'adding'"),
        ("adding", {"lenght": 5}, "Did you mean 'length'"),
        ("adding", {"length": 1}, "length is 1"),
        ("copy-memory", {"gap": 0}, "gap is 0"),
        ("counting", {"longest": 0}, "longest is 0"),
        ("counting", {"weight_noise": -0.1}, "weight_noise is -0.1"),
        ("echo", {"lag": -1}, "lag is -1"),
    ],
)
def test_impossible_tasks_are_refused(name, options, says):
    with pytest.raises(ConfigError, match=says):
        make_task(name, **options)


def test_all_tasks_say_what_they_are():
    for name, task in TASKS.items():
        assert task.name == name
        assert task.summary
        assert task.__doc__
