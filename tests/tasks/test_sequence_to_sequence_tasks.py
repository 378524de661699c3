"""The data of the tasks with a decoder: exactly as defined, and nothing of the test seen in training."""

import re
from dataclasses import replace
from datetime import date, datetime

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory.architectures import EOS, FIRST_SYMBOL, PAD, Generated
from throughtime.tasks.captions import COLOURS, SHAPES, WORDS, Captions, describe, render
from throughtime.tasks.dates import CHARACTERS, FORMS, ISO, DatesToISO
from throughtime.tasks.reverse import Reverse

pytestmark = pytest.mark.usefixtures("quick_compiler")


def words(tokens, alphabet):
    """The symbols before the EOS; fails where what follows is not padding, or where there is no EOS."""
    tokens = np.asarray(tokens).tolist()
    end = tokens.index(EOS)
    assert all(token == PAD for token in tokens[end + 1 :])
    return [alphabet[token - FIRST_SYMBOL] for token in tokens[:end]]


# Strings.


@pytest.mark.parametrize("order", ["reverse", "copy"])
def test_strings_and_what_is_to_be_written(order):
    task = Reverse(order=order, symbols=5, length=6)
    batch = task.batch((), 200, jax.random.key(0))
    lengths = np.asarray(batch.lengths)
    assert set(lengths.tolist()) == {1, 2, 3, 4, 5, 6}
    for b in range(200):
        read = np.argmax(np.asarray(batch.sources)[: lengths[b], b], axis=-1).tolist()
        written = words(batch.targets[:, b], range(5))
        assert written == (read[::-1] if order == "reverse" else read)
    np.testing.assert_array_equal(np.sum(batch.sources, axis=-1), 1.0)


class Perfect:
    """Writes strings backwards, but never more than `longest` symbols."""

    def __init__(self, longest):
        self.longest = longest

    def generate(self, xs, lengths, max_length):
        tokens = np.full((max_length, xs.shape[1]), PAD, np.int32)
        for b, n in enumerate(np.asarray(lengths)):
            said = (np.argmax(np.asarray(xs)[:n, b], axis=-1) + FIRST_SYMBOL)[::-1][: self.longest]
            tokens[: len(said) + 1, b] = [*said, EOS]
        return Generated(jnp.asarray(tokens), lengths, jnp.zeros(xs.shape[1]))


def test_strings_are_scored_by_length():
    scores = Reverse(length=8).evaluate(Perfect(10), (), jax.random.key(0))
    exact = {name: score for name, score in scores.items() if name.startswith("exact_match")}
    assert exact == {
        "exact_match": 1.0,
        "exact_match_at_4": 1.0,
        "exact_match_at_8": 1.0,
        "exact_match_at_10": 1.0,
        "exact_match_at_12": 0.0,
        "exact_match_at_16": 0.0,
    }
    assert scores["token_accuracy_at_10"] == 1.0
    np.testing.assert_allclose(scores["token_accuracy_at_16"], 10 / 17, rtol=1e-6)


# Dates.

STRPTIME = {
    "31.12.1999": "%d.%m.%Y",
    "12/31/1999": "%m/%d/%Y",
    "19991231": "%Y%m%d",
    "31 december 1999": "%d %B %Y",
    "december 31, 1999": "%B %d, %Y",
    "31-dec-1999": "%d-%b-%Y",
    "fri dec 31 1999": "%a %b %d %Y",
    "the 31st of december, 1999": "the %d of %B, %Y",
    "friday, 31 december 1999": "%A, %d %B %Y",
    "1999, december the 31st": "%Y, %B the %d",
}


def test_dates_are_what_strptime_reads_and_no_date_is_in_two_splits():
    splits = DatesToISO(examples=3000).load()
    days = []
    for split in splits:
        seen = set()
        for source, n, target, form in zip(*split, strict=True):
            assert np.all(source[n:] == -1)
            text = "".join(CHARACTERS[c] for c in source[:n])
            plain = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", text)
            day = datetime.strptime(plain, STRPTIME[list(FORMS)[form]])
            iso = "".join(words(target, ISO))
            assert iso == day.strftime("%Y-%m-%d")
            if "%a" in STRPTIME[list(FORMS)[form]].lower():
                assert day.strftime("%A").lower().startswith(re.match("[a-z]+", text)[0])
            seen.add(iso)
        days.append(seen)
    train, valid, test = days
    assert len(train) + len(valid) + len(test) == len(train | valid | test)
    assert [len(split.lengths) for split in splits] == [3000, 500, 2000]
    assert {form for split in splits for form in split.forms.tolist()} == set(range(len(FORMS)))


def test_attention_shows_the_decoder_what_a_floor_without_memory_would_have_to_hide():
    """Without memory, and with attention: what is said depends on the first character as well as on the last."""
    sources = jax.nn.one_hot(jnp.asarray([[1, 2], [3, 3]]), len(CHARACTERS))  # two dates that end alike
    for task in (DatesToISO(examples=50), DatesToISO(examples=50, attention=False)):
        model = task.model(task.load(), replace(task.defaults("none"), hidden_size=4), jax.random.key(0))
        logits = model(sources, jnp.asarray([2, 2]), jnp.full((1, 2), FIRST_SYMBOL))
        told = bool(np.any(np.asarray(logits[:, 0]) != np.asarray(logits[:, 1])))
        assert told == task.attention
        assert task.memoryless_score == (None if told else 0.0)


def test_ordinals():
    write = FORMS["the 31st of december, 1999"]
    said = [write(date(2000, 5, n)).split()[1] for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)]
    assert said == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th", "31st"]


# Captions.


def test_pictures_show_what_captions_say():
    task = Captions(examples=300, noise=0.0)
    splits = task.load()
    grammar = re.compile(r"a (\w+) (\w+) (top|middle|bottom) (left|centre|right)")
    pictures = np.asarray(render(jnp.asarray(splits.test.cells)))
    for cells, caption, rendered in zip(*splits.test, pictures, strict=True):
        text = " ".join(words(caption, WORDS))
        picture, objects = np.zeros((15, 15, 3)), text.split(" and ")
        assert 1 <= len(objects) <= 3
        places = []
        for said in objects:
            colour, shape, row, column = grammar.fullmatch(said).groups()
            y, x = ("top", "middle", "bottom").index(row), ("left", "centre", "right").index(column)
            places.append((y, x))
            for i, line in enumerate(SHAPES[shape].split()):
                for j, dot in enumerate(line):
                    if dot == "#":
                        picture[5 * y + i, 5 * x + j] = COLOURS[colour]
        assert places == sorted(set(places))  # reading order
        np.testing.assert_array_equal(rendered, picture)
        assert text == describe(cells)


def test_no_scene_is_in_two_splits_and_all_looks_differ():
    splits = Captions(examples=2000).load()
    scenes = [set(map(tuple, split.cells.tolist())) for split in splits]
    assert [len(scene) for scene in scenes] == [2000, 500, 1000]
    assert len(set.union(*scenes)) == 3500
    looks = np.asarray(render(jnp.asarray(np.eye(9, dtype=np.int32)[:1] * np.arange(17)[:, None])))
    assert len({look.tobytes() for look in looks}) == 17


def test_noise_is_fresh_in_every_batch():
    task = Captions(examples=100, noise=0.5)
    data = jax.tree.map(jnp.asarray, task.load())
    (a, _), (b, _) = (task.validation_batch(data, jax.random.key(k)) for k in (0, 1))
    noise = (np.asarray(a) - np.asarray(b)) / np.sqrt(2)
    assert abs(np.std(noise) - 0.5) < 0.02


@pytest.mark.parametrize(
    "task", [Reverse(length=4), DatesToISO(examples=50), Captions(examples=100)], ids=lambda t: t.name
)
def test_a_fresh_model_has_a_loss_about_chance_and_a_gradient_everywhere(task):
    data = jax.tree.map(jnp.asarray, task.load())
    config = replace(task.defaults("gru"), hidden_size=4)

    @eqx.filter_jit
    def value_and_grad(data, key):
        model = task.model(data, config, key)
        batch = task.batch(data, 8, key)
        return eqx.filter_value_and_grad(task.loss)(model, batch, key, jnp.zeros(()))

    loss, grads = value_and_grad(data, jax.random.key(0))
    tokens = task.model(data, config, jax.random.key(0)).decoder.num_tokens
    assert abs(loss - np.log(tokens - 2)) < 0.5
    assert all(np.any(np.asarray(leaf) != 0.0) and np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Reverse(length=1), "length is 1"),
        (lambda: Reverse(own=1.5), "final is 1.5"),
        (lambda: DatesToISO(first_year=2000, last_year=1999), "2000 … 1999"),
        (lambda: DatesToISO(beam=0), "beam is 0"),
        (lambda: Captions(objects=10), "objects is 10"),
        (lambda: Captions(noise=-1.0), "noise is -1.0"),
    ],
)
def test_errors(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
