"""The .POMDP format: every form of every statement against tables written by hand, and what mistakes are told."""

from pathlib import Path

import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.envs.pomdp_file import parse_model, read_model

DATA = Path(__file__).parents[1] / "data"

HEAD = """discount: 0.9
values: reward
states: a b c
actions: go stay
observations: x y
"""
T = "T: * identity\n"
O = "O: * uniform\n"  # noqa: E741


def parse(text):
    return parse_model(text.encode(), "small.POMDP")


def test_tiger_is_the_tiger_of_the_suite():
    ours, theirs = make("tiger").tables(), read_model(DATA / "tiger.POMDP").tables()
    for name in ours._fields:
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), err_msg=name)


def test_the_preamble_in_another_order_with_counts():
    model = parse(
        "observations: 2 actions:2\n states :3\nvalues: cost # so rewards are negated\ndiscount: .5\n" + T + O
    )
    assert (model.states, model.actions, model.observations) == (("0", "1", "2"), ("0", "1"), ("0", "1"))
    assert model.discount == 0.5
    np.testing.assert_array_equal(model.initial, np.full(3, 1 / 3))  # no start: uniform
    np.testing.assert_array_equal(model.transition, np.stack([np.eye(3)] * 2))
    np.testing.assert_array_equal(model.observation, np.full((2, 3, 2), 0.5))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("start: 0.5 0.25 0.25", [0.5, 0.25, 0.25]),
        ("start:\n0.5\n0.25\n0.25", [0.5, 0.25, 0.25]),
        ("start: uniform", [1 / 3, 1 / 3, 1 / 3]),
        ("start: b", [0, 1, 0]),
        ("start: 2", [0, 0, 1]),
        ("start include: a 2", [0.5, 0, 0.5]),
        ("start exclude: a", [0, 0.5, 0.5]),
    ],
)
def test_every_form_of_start(start, expected):
    np.testing.assert_allclose(parse(HEAD + start + "\n" + T + O).initial, expected)


def test_every_form_of_a_transition():
    text = """start: 0.2 0.3 0.5
    T: *
    uniform
    T: go : a : a 0.1 T: go:a:b 0.9   # entries, two statements on a line
    T: go : 0 : c 0
    T: go : b 0.25 0.75
      0
    T: 1
    1 0 0
    0 .5 5e-1
    0.0 0. 1.0
    T: stay : c reset
    """
    model = parse(HEAD + text + O)
    go = [[0.1, 0.9, 0.0], [0.25, 0.75, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    stay = [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]
    np.testing.assert_allclose(model.transition, [go, stay])


def test_wildcards_reach_all_that_they_stand_for():
    model = parse(HEAD + "T: * : * : b 1.0 T: stay : c : * 0.0 T: stay : c : c 1" + "\n" + O)
    b, c = [0, 1, 0], [0, 0, 1]
    np.testing.assert_array_equal(model.transition, [[b, b, b], [b, b, c]])


def test_every_form_of_an_observation():
    text = """
    O: go
    1 0
    0 1
    0.5 0.5
    O: stay : * 0.75 0.25
    O: * : c uniform
    O: stay : a : x 0.4 O: stay : a : y 0.6
    """
    model = parse(HEAD + T + text)
    np.testing.assert_allclose(
        model.observation, [[[1, 0], [0, 1], [0.5, 0.5]], [[0.4, 0.6], [0.75, 0.25], [0.5, 0.5]]]
    )


def test_every_form_of_a_reward_and_its_expectation():
    text = """
    T: stay uniform
    R: * : * : * : * 1            # later ones override
    R: stay : a : b : y -7.5e0
    R: stay : b : c 2 +3
    R: stay : c
    1 2
    3 4
    5 6
    R: * : * : a : x 9
    """
    model = parse(HEAD + T + text + "O: * : * : x 0.75 O: * : * : y 0.25")
    expected = np.ones((2, 3, 3, 2))
    expected[1, 0, 1, 1] = -7.5
    expected[1, 1, 2] = [2, 3]
    expected[1, 2] = [[1, 2], [3, 4], [5, 6]]
    expected[:, :, 0, 0] = 9
    np.testing.assert_array_equal(np.broadcast_to(model.reward, expected.shape), expected)
    # By hand: Σ_s' P(s'|s,a) (0.75 R(x) + 0.25 R(y)).
    np.testing.assert_allclose(model.expected_reward[0], [0.75 * 9 + 0.25, 1.0, 1.0])  # go stays where it is
    first = 0.75 * 9 + 0.25 * 1  # stay : a, into a
    np.testing.assert_allclose(model.expected_reward[1, 0], (first + (0.75 - 0.25 * 7.5) + 1.0) / 3)
    np.testing.assert_allclose(model.expected_reward[1, 1], (first + 1.0 + (0.75 * 2 + 0.25 * 3)) / 3)
    np.testing.assert_allclose(model.expected_reward[1, 2], (0.75 * 9 + 0.25 * 2 + 3.25 + 5.25) / 3)


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("R: go : a\n1 2 3 4 5 6", (2, 3, 3, 2)),
        ("R: go : * : b 1 2", (2, 1, 3, 2)),
        ("R: * : c : * : * 3", (1, 3, 1, 1)),
        ("R: * : * : * 1 2", (1, 1, 1, 2)),
        ("R: * : *\n1 2 3 4 5 6", (1, 1, 3, 2)),
    ],
)
def test_the_table_of_rewards_tells_apart_what_the_file_does(statement, shape):
    assert parse(HEAD + T + O + statement).reward.shape == shape


def test_costs_are_negated_rewards():
    text = T + O + "R: go : * : * : * 2.5\nR: stay : a : * : * -1"
    reward, cost = (parse(HEAD.replace("reward", values) + text) for values in ("reward", "cost"))
    np.testing.assert_array_equal(cost.reward, -reward.reward)
    assert cost.expected_reward[0, 0] == -2.5


def test_rows_with_few_digits_are_scaled_to_one():
    model = parse(HEAD + "T: * : * 0.333333 0.333333 0.333333\n" + O)
    np.testing.assert_allclose(model.transition.sum(axis=2), 1.0, rtol=1e-15)


def test_an_episode_ends_where_nothing_more_is_to_be_earned():
    # a → b surely by go; b and c absorb; c earns for ever, b never, so an episode is over once it is sure of b.
    text = "T: * identity\nT: go : a 0 1 0\nT: stay : a 0.5 0.5 0\nR: * : c : * : * 1\nR: go : a : * : * 5\n"
    np.testing.assert_array_equal(parse(HEAD + text + O).terminal, [[True, False], [True, True], [False, False]])


def test_a_way_out_is_no_end():
    # Nothing is earned in a or b, but only b is never left: from a the way leads to c, which earns.
    text = "T: * identity\nT: go : a 0 0 1\nR: * : c : * : * 1\n"
    np.testing.assert_array_equal(parse(HEAD + text + O).terminal, [[False, False], [True, True], [False, False]])


def test_two_states_that_only_lead_to_each_other_are_an_end_too():
    text = "T: * : a 0 1 0\nT: * : b 0 0 1\nT: * : c 0 1 0\nR: * : a : * : * 1\n"
    assert parse(HEAD + text + O).terminal.all()
    assert not parse(HEAD + text + "R: stay : c : b : x 0.1\n" + O).terminal.any()


@pytest.mark.parametrize(
    ("name", "states", "actions", "observations", "discount"),
    [
        ("4x3", 12, 4, 7, 0.95),
        ("cheese.95", 11, 4, 7, 0.95),
        ("heavenhell", 21, 4, 12, 0.99),
        ("network", 7, 4, 2, 0.95),
        ("paint-mended", 5, 4, 3, 0.95),
        ("shuttle", 9, 3, 6, 0.95),
        ("tiger-alt-start", 5, 3, 4, 0.95),
        ("tmaze2", 9, 4, 5, 0.9),
        ("tmaze5", 15, 4, 5, 0.9),
    ],
)
def test_published_files(name, states, actions, observations, discount):
    model = read_model(DATA / f"{name}.POMDP")
    assert (len(model.states), len(model.actions), len(model.observations)) == (states, actions, observations)
    assert model.discount == discount
    np.testing.assert_allclose(model.transition.sum(axis=2), 1)
    np.testing.assert_allclose(model.observation.sum(axis=2), 1)


def test_heaven_and_hell_by_hand():
    """Single entries over `T: * identity`, against the map in the file's comment."""
    model = read_model(DATA / "heavenhell.POMDP")
    n, s, e, w = range(4)
    for half in (0, 10):
        for a, moves in {
            n: {0: 1, 1: 2, 7: 0},
            s: {0: 7, 1: 0, 2: 1},
            e: {2: 5, 3: 2, 5: 6, 7: 8, 8: 9},
            w: {2: 3, 3: 4, 5: 2, 8: 7, 9: 8},
        }.items():
            for state in range(10):
                over = state in (4, 6)
                target = 20 if over else half + moves.get(state, state)
                assert model.transition[a, half + state, target] == 1.0, (a, half + state)
    reward = np.zeros(21)
    reward[[4, 16]], reward[[6, 14]] = 1.0, -1.0
    np.testing.assert_array_equal(model.expected_reward, np.tile(reward, (4, 1)))


def test_a_published_file_that_is_wrong():
    """Two statements of paint.POMDP each put 1.0 into the same row."""
    with pytest.raises(ConfigError, match=r"paint.POMDP, line 79: the row O: paint : TERM sums to 2\.") as error:
        read_model(DATA / "paint.POMDP")
    assert "more rows" in error.value.what
    assert error.value.why
    assert error.value.mend


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("discount: 1.2\n", 1, "the discount is 1.2"),
        ("discount: much\n", 1, "'much' is none"),
        ("discount 0.9\n", 1, "a colon is missing"),
        ("discount: 1e999\n", 1, "too large"),
        ("values: rewards\n", 1, "Did you mean 'reward'"),
        ("dicsount: 0.9\n", 1, "Did you mean 'discount'"),
        ("discount: 0.9\ndiscount: 0.9\n", 2, "stated a second time"),
        ("states:\nactions: 2", 2, "nothing follows"),
        ("states: 2.5", 1, "neither a count"),
        ("states: -3", 1, "neither a count"),
        ("states: 0", 1, "neither a count"),
        ("states: 2 3", 1, "neither a count"),
        ("states: 99999999999", 1, "99999999999 states"),
        ("states: a b a", 1, "two states are called 'a'"),
        ("states: a\nb uniform", 2, "word of the format"),
        ("states: a $b", 1, "begins with a letter"),
        ("start: a\n" + HEAD, 1, "start comes before states"),
        ("T: * identity\n" + HEAD, 1, "discount is missing"),
        (HEAD.replace("observations: x y\n", "") + T, 5, "observations is missing"),
        (HEAD.replace("states: a b c", "states: 6000") + T, 3, "too many"),
        ("", 1, "discount is missing"),
        (HEAD + "start: 0.5 0.4 0.0\n" + T + O, 6, "start sums to 0.9"),
        (HEAD + "start: 0.5 0.5\n" + T + O, 6, "start is followed by 2 numbers"),
        (HEAD + "start: d\n", 6, "there is no state 'd'"),
        (HEAD + "start exclude: a b c\n", 6, "no state to start from"),
        (HEAD + "start include:\n" + T, 6, "no state to start from"),
        (HEAD + "T: gone : a : b 1.0\n", 6, "Did you mean 'go'"),
        (HEAD + "T: 2 : a : b 1.0\n", 6, "from 0 to 1"),
        (HEAD + "T: go : a : b\n" + O, 6 + 1, "followed by 0 numbers (then 'O' in line 7)"),
        (HEAD + "T: go : a : b 1.5\n", 6, "entry 1.5"),
        (HEAD + "T: go : a 1.5 -0.5 0\n", 6, "entry 1.5"),
        (HEAD + "T: go : a 0.5 0.5\n", 6, "should be 3"),
        (HEAD + "T: go\n1 0 0\n0 1 0\n", 7, "6 numbers (then the file ends)"),
        (HEAD + "T: go : a identity\n", 6, "identity cannot stand here"),
        (HEAD + "O: go identity\n", 6, "identity cannot stand here"),
        (HEAD + "T: go : a reset maybe\n", 6, "'maybe' begins no statement"),
        (HEAD + O + "T: stay identity\nT: go : * : a 1.0\n\nT: go : b : c 0.5\n", 10, "T: go : b sums to 1.5"),
        (
            HEAD + O + "T: go : a uniform\n",
            None,
            "no statement gives the row T: go : b. The same holds for 4 more rows",
        ),
        (HEAD + O + "T: stay identity\nT: go\n1 0 0\n0 1 0\n1 1 0\n", 11, "T: go : c sums to 2"),
        (HEAD + T, None, "no statement gives the row O: go : a"),
        (HEAD + T + O + "R: go -1\n", 8, "colon is missing after R: action"),
        (HEAD + T + O + "R: go : a : b : z -1\n", 8, "there is no observation 'z'"),
        (HEAD + T + O + "R: go : a : b : x minus\n", 8, "0 numbers"),
        (HEAD + T + O + "R: go : a : b 1\n", 8, "should be 2"),
        (HEAD + T + O + "R: go : a 1 2 3\n", 8, "3 × 2 = 6"),
        (HEAD + T + O + "R: go : a :", 8, "there is no state ''"),
    ],
)
def test_mistakes_are_told_with_their_line(text, line, part):
    with pytest.raises(ConfigError) as error:
        parse(text)
    where = "small.POMDP: " if line is None else f"small.POMDP, line {line}: "
    assert error.value.what.startswith(where), error.value.what
    assert part in str(error.value)
    assert error.value.what.count("\n") == 0


def test_what_is_no_text_or_no_file(tmp_path):
    with pytest.raises(ConfigError, match="line 2: this is no UTF-8 text"):
        parse_model(b"discount: 1\n\xff\xfe", "small.POMDP")
    (tmp_path / "maze.POMDP").write_text(HEAD)
    with pytest.raises(ConfigError, match=r"Did you mean 'maze.POMDP'"):
        read_model(tmp_path / "mase.POMDP")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["tiger", "shuttle", "network"])
@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_read_or_refused(name, seed):
    """Words dropped, doubled or swapped at random: a model whose rows sum to one, or a ConfigError; nothing else."""
    rng = np.random.default_rng(seed)
    words = (DATA / f"{name}.POMDP").read_text().split(" ")
    i, j = rng.integers(len(words), size=2)
    damage = rng.integers(3)
    if damage == 0:
        del words[i]
    elif damage == 1:
        words.insert(i, words[j])
    else:
        words[i], words[j] = words[j], words[i]
    try:
        model = parse(" ".join(words))
    except ConfigError:
        return
    np.testing.assert_allclose(model.transition.sum(axis=2), 1)
