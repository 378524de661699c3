"""The tasks with a decoder learn what they are about, on examples that were held out."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from throughtime.tasks import make_task, train_task

pytestmark = pytest.mark.slow


def train(name, memory="gru", updates=None, **options):
    task = make_task(name, **options)
    config = task.defaults(memory)
    return train_task(task, replace(config, updates=updates or config.updates)).scores


def test_strings_are_reversed_at_every_length_that_was_trained():
    assert train("reverse", updates=500, length=6)["exact_match"] > 0.98


def test_dates_never_seen_are_read_in_every_form():
    scores = train("dates")
    assert scores["exact_match"] > 0.97
    assert min(score for name, score in scores.items() if name.startswith("exact_match '")) > 0.85


def test_scenes_never_seen_are_described():
    assert train("captions")["exact_match"] > 0.9


@pytest.mark.skipif(find_spec("music21") is None, reason="the chorales ship inside music21")
def test_a_melody_is_known_better_than_by_trigrams_and_better_with_memory_than_without():
    with_memory, without = train("melody"), train("melody", "none")
    assert with_memory["below_trigram"] > 0.18
    assert with_memory["below_factored_trigram"] > 0.14
    assert without["bits_per_note"] > with_memory["bits_per_note"] + 0.08
