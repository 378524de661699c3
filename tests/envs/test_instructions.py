"""The room of instructions: its language, its splits, its rules, what is seen, and the planner."""

from collections import deque
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.envs import VectorEnvironment, make
from throughtime.envs.suite._instruction_language import (
    COLOURS,
    KINDS,
    MOST_WORDS,
    SPLITS,
    VERBS,
    VOCABULARY,
    clauses,
    instructions,
)

pytestmark = pytest.mark.usefixtures("quick_compiler")
HERE, PICK, OPEN = 3, 4, 5
KEY = jax.random.key(0)
STEPS = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}


def understood(text):
    """The clauses of a sentence in the order in which they are to be done: another reading than the library's."""
    for mark, turned in ((", then ", False), (" before you ", False), (" after you ", True)):
        if mark in text:
            first, second = text.split(mark)
            return [second, first] if turned else [first, second]
    return [text]


def test_sentences_say_their_clauses_in_order():
    for split in SPLITS:
        for sentence in instructions(split):
            assert understood(sentence.text) == [clause.text for clause in sentence.clauses]
            assert len(sentence.words) <= MOST_WORDS
            assert set(sentence.words) <= set(VOCABULARY)


def test_nothing_that_is_held_out_is_in_training():
    """Counted from the texts; and each verb, colour and kind, and every two of them, are in training."""
    train = [sentence.text for sentence in instructions("train")]
    said = {clause for text in train for clause in understood(text)}
    together = {frozenset(understood(text)) for text in train}
    unseen = {sentence.text for sentence in instructions("unseen")}
    assert len(said) == 27
    assert len(unseen) == 9
    assert not unseen & said
    composed = [understood(sentence.text) for sentence in instructions("composed")]
    assert all(frozenset(pair) not in together and set(pair) <= said for pair in composed)
    assert all(set(understood(s.text)) & unseen for s in instructions("composed-unseen"))
    assert len({t for split in SPLITS for t in (s.text for s in instructions(split))}) == sum(
        len(instructions(split)) for split in SPLITS
    )
    for a, b in ((0, 1), (0, 2), (1, 2)):
        every = {(c[a], c[b]) for c in clauses()}
        assert {(c[a], c[b]) for c in clauses() if c.text in said} == every


def test_a_user_writes_an_instruction():
    env = make("instructions", instruction="Go to the red ball, then open the blue door.")
    _, state = jax.jit(env.reset)(jax.random.key(0))
    assert env.sentence(state).text == "go to the red ball, then open the blue door"
    with pytest.raises(ConfigError, match="Did you mean 'green'"):
        make("instructions", instruction="go to the gren ball")
    for wrong in ("pick up the red door", "go to the red ball then go to the red ball", "red", "open the ball"):
        with pytest.raises(ConfigError, match="does not put them in this order"):
            make("instructions", instruction=wrong)
    with pytest.raises(ConfigError, match="Did you mean 'composed'"):
        make("instructions", split="compsed")


@pytest.fixture(scope="module")
def played():
    """Random and planned steps of 64 rooms: states [T, B], observations, the planner's actions, what was done."""
    env = VectorEnvironment(make("instructions"), 64)

    @jax.jit
    def play(key):
        key_reset, key_steps = jax.random.split(key)
        obs, state = env.reset(key_reset)

        def step(carry, key):
            obs, state = carry
            wanted = jax.vmap(env.env.expert)(state)
            key_random, key_which, key_step = jax.random.split(key, 3)
            wander = jax.random.randint(key_random, (64,), 0, 3)
            action = jnp.where(jax.random.bernoulli(key_which, 0.3, (64,)), wander, wanted)
            out = env.step(key_step, state, action)
            return (out.obs, out.state), (state, obs, wanted, action, out.reward, out.terminated, out.truncated)

        return jax.lax.scan(step, (obs, state), jax.random.split(key_steps, 60))[1]

    return jax.tree.map(np.asarray, play(jax.random.key(0)))


def test_objects_differ_lie_apart_and_can_be_reached(played):
    state = played[0]
    first = np.argwhere(state.time == 0)
    for t, b in first[:100]:
        kinds = list(zip(state.colour[t, b], state.kind[t, b], strict=True))
        assert len(set(kinds)) == len(kinds)
        cells = state.cell[t, b]
        doors = state.kind[t, b] == KINDS.index("door")
        on_wall = ((cells == 0) | (cells == 7)).any(axis=1)
        assert (on_wall == doors).all()
        inside = cells[~doors]
        apart = np.abs(inside[:, None] - inside[None]).max(axis=2) + 9 * np.eye(len(inside), dtype=int)
        assert (apart > 1).all()
        for door in cells[doors]:
            assert (np.abs(inside - np.clip(door, 1, 6)).sum(axis=1) > 0).all()


def in_view(row, column, heading):
    """The cells in front of a pose, nearest row first, from left to right."""
    ahead, right = STEPS[heading], STEPS[(heading + 1) % 4]
    return [
        (row + f * ahead[0] + s * right[0], column + f * ahead[1] + s * right[1])
        for f in range(5)
        for s in range(-2, 3)
    ]


def view_of(state):
    """What is seen, cell by cell, from the rules."""
    flags = np.zeros((25, 10))
    for place, cell in enumerate(in_view(*state.position.tolist(), int(state.heading))):
        for k in range(len(state.kind)):
            if tuple(state.cell[k].tolist()) == cell:
                flags[place, state.kind[k]] = flags[place, 4 + state.colour[k]] = 1
                flags[place, 8] = state.opened[k]
        if not flags[place].any() and not all(1 <= c <= 6 for c in cell):
            flags[place, 9] = 1
    return flags.reshape(-1)


def moves(pose, blocked):
    """The poses after turning left, turning right, and going forward."""
    row, column, heading = pose
    ahead = (row + STEPS[heading][0], column + STEPS[heading][1])
    walks = ahead not in blocked and min(ahead) >= 1 and max(ahead) <= 6
    return [(row, column, (heading - 1) % 4), (row, column, (heading + 1) % 4), (*ahead, heading) if walks else pose]


def shortest(pose, blocked, goal):
    """Actions until `goal(pose)`, by breadth-first search forwards, with a queue and a set."""
    queue, known = deque([(pose, 0)]), {pose}
    while queue:
        pose, count = queue.popleft()
        if goal(pose):
            return count
        for after in moves(pose, blocked):
            if after not in known:
                known.add(after)
                queue.append((after, count + 1))
    raise AssertionError("out of reach")


def test_the_planner_is_exact(played):
    """What it knows was in view since the reset; each step is one off the distance that another search finds."""
    state, _, wanted, *_ = played
    env = make("instructions")
    searched = went = did = 0
    for b in range(0, 64, 8):
        seen = set()
        for t in range(40):
            here = jax.tree.map(lambda leaf: leaf[t, b], state)  # noqa: B023
            pose = (*here.position.tolist(), int(here.heading))
            seen = set(in_view(*pose)) | (set() if here.time == 0 else seen)
            assert {tuple(cell) for cell in np.argwhere(here.seen).tolist()} == {
                cell for cell in seen if min(cell) >= 0 and max(cell) <= 7
            }
            clause = env.sentence(here).clauses[int(here.done)]
            target = tuple(here.cell[int(here.done)].tolist())
            blocked = {tuple(cell) for cell in here.cell.tolist()} & seen
            if target in seen:
                goal = lambda pose: in_view(*pose)[7] == target  # noqa: B023, E731
            else:
                on_edge = {cell: sum(c in (0, 7) for c in cell) for cell in np.ndindex(8, 8)}
                places = {cell for cell, edges in on_edge.items() if edges == (KINDS[clause.kind] == "door")}
                goal = lambda pose: bool(set(in_view(*pose)) & (places - seen))  # noqa: B023, E731
            left = shortest(pose, blocked, goal)
            if left == 0:
                assert target in seen
                assert wanted[t, b] == (HERE, PICK, OPEN)[clause.verb]
            else:
                assert shortest(moves(pose, blocked)[wanted[t, b]], blocked, goal) == left - 1
            searched, went, did = searched + (target not in seen), went + (target in seen), did + (left == 0)
    assert min(searched, went, did) >= 20


def test_the_planner_never_fails(played):
    _, _, _, _, reward, terminated, truncated = played
    assert terminated.sum() > 100
    assert (reward == terminated).all()
    assert not truncated.any()


def test_what_is_seen(played):
    """The words at the first step and never again; the cells in front, doors for walls, nothing behind."""
    state, obs = played[:2]
    env = make("instructions")
    for t, b in np.ndindex(20, 8):
        here = jax.tree.map(lambda leaf: leaf[t, b], state)  # noqa: B023
        words = obs[t, b, : MOST_WORDS * len(VOCABULARY)].reshape(MOST_WORDS, -1)
        said = [VOCABULARY[row.argmax()] for row in words if row.any()]
        assert said == (list(env.sentence(here).words) if here.time == 0 else [])
        np.testing.assert_array_equal(obs[t, b, words.size :], view_of(here))
    assert (state.time[:20, :8] == 0).sum() > 8


@pytest.mark.parametrize(
    "text",
    [
        "go to the red box, then pick up the blue key",
        "go to the red box before you pick up the blue key",
        "pick up the blue key after you go to the red box",
    ],
)
def test_the_wrong_order_fails(text):
    """The agent stands before one of the two, and does its deed: right only where that clause is first."""
    env = make("instructions", instruction=text)
    _, state = jax.jit(env.reset)(jax.random.key(3))
    step = jax.jit(env.step_env)

    def facing(k):
        cell = np.asarray(state.cell[k])
        for heading, move in STEPS.items():
            stand = cell - np.array(move)
            if ((stand >= 1) & (stand <= 6)).all():
                return state._replace(position=jnp.asarray(stand), heading=jnp.int32(heading))
        raise AssertionError

    _, after, reward, terminated, _ = step(KEY, facing(1), jnp.int32(PICK), env.default_params)
    assert (float(reward), bool(terminated), int(after.done)) == (0, True, 0)
    _, after, reward, terminated, _ = step(KEY, facing(0), jnp.int32(HERE), env.default_params)
    assert (float(reward), bool(terminated), int(after.done)) == (0, False, 1)
    there = facing(1)._replace(done=after.done)
    for deed in (HERE, OPEN):
        _, _, reward, terminated, _ = step(KEY, there, jnp.int32(deed), env.default_params)
        assert (float(reward), bool(terminated)) == (0, True)
    obs, last, reward, terminated, _ = step(KEY, there, jnp.int32(PICK), env.default_params)
    assert (float(reward), bool(terminated)) == (1, True)
    np.testing.assert_array_equal(np.asarray(obs[MOST_WORDS * len(VOCABULARY) :]), view_of(jax.device_get(last)))
    assert (np.asarray(last.cell[1]) < 0).all()


def test_hidden_state_is_the_next_clause(played):
    state = played[0]
    env = make("instructions")
    hidden = np.asarray(jax.jit(jax.vmap(env.hidden_state))(jax.tree.map(lambda leaf: leaf[5], state)))
    for b in range(64):
        here = jax.tree.map(lambda leaf: leaf[5, b], state)  # noqa: B023
        assert clauses()[hidden[b]] == env.sentence(here).clauses[int(here.done)]


def test_labels_and_drawing_name_what_is_there(played):
    env = make("instructions")
    labels = env.observation_labels
    assert len(labels) == len(set(labels)) == env.observation_space.shape[0]
    assert [len(VERBS), len(COLOURS), len(KINDS)] == [3, 4, 4]
    here = jax.tree.map(lambda leaf: leaf[0, 0], played[0])
    lines = env.draw(here).text.splitlines()
    assert max(map(len, lines)) <= 78
    assert env.sentence(here).text in lines[-2]
    assert all(len(a) == len(b) for a, b in pairwise(lines[:8]))
