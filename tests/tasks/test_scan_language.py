"""SCAN against the paper's rules, written once more as a recursion, and against the published files."""

import re

import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.tasks.scan import ACTIONS, WORDS, divide, execute, instructions, interpret

VERB = r"(?:(?:walk|look|run|jump)|(?:walk|look|run|jump|turn)(?: opposite| around)? (?:left|right))"
CLAUSE = rf"{VERB}(?: twice| thrice)?"
SENTENCE = re.compile(rf"{CLAUSE}(?: (?:and|after) {CLAUSE})?")


def oracle(words: list[str]) -> list[str]:
    """Figure 7 of the paper, from the outside in."""
    for conjunction in ("and", "after"):
        if conjunction in words:
            at = words.index(conjunction)
            first, second = oracle(words[:at]), oracle(words[at + 1 :])
            return first + second if conjunction == "and" else second + first
    match words:
        case [*inner, "twice"]:
            return oracle(inner) * 2
        case [*inner, "thrice"]:
            return oracle(inner) * 3
        case ["turn", "opposite", side]:
            return oracle(["turn", side]) + oracle(["turn", side])
        case ["turn", "around", side]:
            return oracle(["turn", "opposite", side]) + oracle(["turn", "opposite", side])
        case [verb, "opposite", side]:
            return [*oracle(["turn", "opposite", side]), *oracle([verb])]
        case [verb, "around", side]:
            return oracle([verb, side]) * 4
        case ["turn", side]:
            return [{"left": "I_TURN_LEFT", "right": "I_TURN_RIGHT"}[side]]
        case [verb, side]:
            return oracle(["turn", side]) + oracle([verb])
        case [verb]:
            return [{"walk": "I_WALK", "look": "I_LOOK", "run": "I_RUN", "jump": "I_JUMP"}[verb]]
    raise AssertionError(words)


def test_all_instructions_of_the_grammar_have_the_actions_of_the_paper():
    every = instructions()
    clauses = 34 * 3
    assert len(every) == clauses + 2 * clauses**2 == 20_910
    for text, actions in every.items():
        assert SENTENCE.fullmatch(text)
        assert list(actions) == oracle(text.split())
    assert {word for text in every for word in text.split()} == set(WORDS)
    assert {action for actions in every.values() for action in actions} == set(ACTIONS)


def test_the_paper_s_first_figure():
    left, right, jump, walk = "I_TURN_LEFT", "I_TURN_RIGHT", "I_JUMP", "I_WALK"
    assert interpret("jump left") == (left, jump)
    assert interpret("jump around right") == (right, jump) * 4
    assert interpret("turn left twice") == (left, left)
    assert interpret("jump opposite left and walk thrice") == (left, left, jump, walk, walk, walk)
    assert interpret("jump opposite left after walk around left") == (*(left, walk) * 4, left, left, jump)


def written(texts) -> int:
    """Characters of a file of the published format."""
    every = instructions()
    return sum(len(f"IN: {text} OUT: {' '.join(every[text])}\n") for text in texts)


def test_the_published_files_are_as_long():
    """The sizes of tasks.txt and of both turn-left files of github.com/brendenlake/SCAN, whose lines are shuffled."""
    assert written(instructions()) == 4_080_388
    assert written(divide("turn-left").train) == 3_974_537
    assert written(divide("turn-left").test) == 173_679


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("simple", 16_728, 4_182), ("length", 16_990, 3_920), ("turn-left", 21_890, 1_208), ("jump", 14_670, 7_706)],
)
def test_splits_have_the_published_sizes_and_share_nothing(split, train, test):
    division = divide(split)
    assert (len(division.train), len(division.test)) == (train, test)
    assert not set(division.train) & set(division.test)
    assert set(division.train) | set(division.test) == set(instructions())
    assert divide(split) is division


def test_splits_follow_their_rules():
    every = instructions()
    assert max(len(every[text]) for text in divide("length").train) == 22
    assert min(len(every[text]) for text in divide("length").test) == 24
    for split, primitive in (("turn-left", "turn left"), ("jump", "jump")):
        train, test = divide(split)
        assert all(primitive in text and text != primitive for text in test)
        assert {text for text in train if primitive in text} == {primitive}
        assert train.count(primitive) == len(train) // 10
    lengths = [np.mean([len(every[text]) for text in part]) for part in divide("simple")]
    assert abs(lengths[0] - lengths[1]) < 0.5  # a fair draw


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jmp twice", r"unknown word 'jmp' in the instruction 'jmp twice'\nDid you mean 'jump'"),
        ("walk opposit left", "Did you mean 'opposite'"),
        ("twice jump", "grammar does not put them in this order"),
        ("walk and run and jump", "grammar does not put them in this order"),
        ("  ", "without words"),
    ],
)
def test_what_is_no_instruction_is_explained(text, says):
    with pytest.raises(ConfigError, match=says):
        interpret(text)


def test_words_may_be_written_with_capitals_and_more_blanks():
    assert interpret(" Jump  TWICE ") == ("I_JUMP", "I_JUMP")


# The world.


def test_paths_are_those_of_complex_numbers():
    for text in ("run opposite left thrice and jump around right twice", "turn left after walk right", "look twice"):
        place, ahead, cells, headings = 0j, 1j, [0j], [1j]
        for action in interpret(text):
            ahead *= {"I_TURN_LEFT": 1j, "I_TURN_RIGHT": -1j}.get(action, 1)
            place += ahead * {"I_WALK": 1, "I_RUN": 2, "I_JUMP": 2}.get(action, 0)
            cells.append(place)
            headings.append(ahead)
        path = execute(interpret(text))
        np.testing.assert_array_equal(path.cells, [(z.real, z.imag) for z in cells])
        np.testing.assert_array_equal([(1j, 1, -1j, -1)[h] for h in path.headings], headings)


def test_where_a_path_ends():
    assert execute(()).end == (0, 0, "north")
    assert execute(interpret("walk around left")).end == (0, 0, "north")
    assert execute(interpret("run right and walk")).end == (3, 0, "east")
    with pytest.raises(ConfigError, match=r"(?s)'I_WAKL'.*'I_WALK'"):
        execute(["I_WAKL"])
