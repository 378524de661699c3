"""What the report of a task says beside its figures, on results that are made up."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from throughtime.cli.task import _table
from throughtime.reports.task import TaskReport, render_task, score_table, show, verdict_of
from throughtime.tasks import Progress, TaskResult, make_task
from throughtime.tasks.scan import Followed


def report(name: str, memory: str, **options) -> TaskReport:
    task = make_task(name, **options)
    scores, points = {task.score: 0.5}, (Progress(1, 1, 0.0, 1.0, 1.0),)
    result = TaskResult(task, task.defaults(memory), 0, None, scores, points, (), 0, 1, 0.0)
    return TaskReport((result,), f"throughtime task {name}")


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.mark.parametrize(
    ("name", "options", "seen"),
    [
        ("melody", {}, "counted of all notes so far (beat, phrase, last step and repetitions)"),
        ("melody", {"hears": "notes"}, "counted of all notes so far (the last step)"),
        ("dates", {}, "all characters that were read (by attention)"),
        ("reverse", {}, "all symbols that were read (by attention)"),
    ],
)
def test_no_memory_is_no_floor_where_the_past_is_seen_beside_it(name, options, seen):
    with_memory, without = report(name, "gru", **options), report(name, "none", **options)
    assert with_memory.as_json()["memoryless_score"] is None
    assert seen in with_memory.as_json()["beside_memory"]
    for each in (with_memory, without):
        assert f"{seen}: --memory none measures what that is worth without recurrence" in words(render_task(each))
    said = verdict_of(without.results)
    assert "without recurrence" in said
    assert said.endswith(f"{seen}: no memoryless floor.")
    assert "not known exactly" in verdict_of(with_memory.results)


def test_a_floor_that_was_measured_on_the_data_is_named():
    scores = {"bits_per_note": 2.9, "memoryless_bits_per_note": 4.5}
    with_memory, without = (replace(report("melody", name).results[0], scores=scores) for name in ("gru", "none"))
    assert verdict_of([with_memory]).endswith("2.9; a model without memory reaches 4.5 at best.")
    assert verdict_of([without]).endswith("last step and repetitions): no memoryless floor, which is 4.5.")
    assert TaskReport((with_memory,), "").as_json()["memoryless_score"] == 4.5
    alone = report("melody", "none", hears="nothing").results[0]
    said = verdict_of([replace(alone, scores=scores | {"bits_per_note": 4.52})])
    assert said.endswith("no better than without memory (a model without memory reaches 4.5 at best).")


@pytest.mark.parametrize(("name", "options"), [("dates", {"attention": False}), ("echo", {})])
def test_no_memory_is_the_floor_where_nothing_is_seen_beside_it(name, options):
    without = report(name, "none", **options)
    assert without.as_json()["beside_memory"] is None
    assert "a model without memory reaches" in verdict_of(without.results)
    assert "no memoryless floor" not in words(render_task(without))


def test_of_one_step_nothing_is_said_of_memory():
    assert verdict_of(report("digits", "gru").results) == "The accuracy of the final model on held-out data is 0.5."


def test_many_scores_stand_below_each_other():
    """Side by side they were cut at the window's edge, and beyond reading at 80 columns."""
    made = report("reverse", "gru")
    result = replace(
        made.results[0], scores={made.results[0].task.score: 0.5} | {f"length_{i}": 0.25 for i in range(12)}
    )
    head = re.search(r"<thead>.*?</thead>", render_task(replace(made, results=(result,))), re.S)
    assert head.group().count("<th") - 1 == 2  # beside <thead>
    console = Console(width=80, file=StringIO())
    console.print(_table([result] * 3))
    assert "length 11" in console.file.getvalue()
    assert console.file.getvalue().count("0.25") == 3 * 12
    many = score_table([replace(made.results[0], seed=seed) for seed in range(15)])
    assert [row[0] for row in many] == ["", *(f"seed {seed}" for seed in range(15))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99997, "0.99997"),
        (0.9999999, "0.9999999"),
        (0.9991, "0.9991"),
        (1.0, "1"),
        (1 - 2**-53, "0.9999999999999999"),
    ],
)
def test_a_value_below_1_never_reads_as_1(value, text):
    assert show(value) == text


@pytest.mark.parametrize(("score", "said"), [(2.5e11, "training diverged"), (0.17, "no better than without memory")])
def test_a_training_that_diverged_is_called_so(score, said):
    result = report("adding", "gru").results[0]
    assert said in verdict_of([replace(result, scores={result.task.score: score})])


@pytest.mark.parametrize(
    ("said", "caption"),
    [
        (("I_TURN_LEFT", "I_JUMP", "I_LOOK"), "“jump left and look”: followed exactly."),
        (("I_TURN_LEFT", "I_LOOK"), "right for 1 of 3 actions, then look instead of jump."),
        (("I_TURN_LEFT", "I_JUMP"), "right as far as it goes, but it stops after 2 of 3 actions."),
        (("I_TURN_LEFT", "I_JUMP", "I_LOOK", "I_RUN"), "all 3 actions, and then 1 more."),
        ((), "right as far as it goes, but it stops after 0 of 3 actions."),
    ],
    ids=range(5),
)
def test_instructions_are_drawn_with_what_was_done_and_asked_for(said, caption):
    made = report("scan", "gru")
    wanted = ("I_TURN_LEFT", "I_JUMP", "I_LOOK")
    result = replace(made.results[0], examples=(Followed("jump left and look", said, wanted),))
    page = render_task(replace(made, results=(result,)))
    assert caption in words(page)
    strips = 1 if said == wanted else 2
    assert page.count(">asked for<") == 2 * (strips - 1)  # wide and narrow
    assert page.count(">↰<") == 2 * (strips if said else 1)
    stored = replace(made, results=(result,)).as_json()["seeds"][0]["examples"]
    assert stored == [{"instruction": "jump left and look", "actions": said, "wanted": wanted}]
    assert "Instructions, followed" not in render_task(made)
