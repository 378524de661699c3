"""Drawings: what they show is where things are, and every environment has the lines below the picture."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.envs import COLOURS, ENVIRONMENTS, Drawing, Moment, Revealed, Span, TMaze, draw_moment, make
from throughtime.envs.suite._strip import strip
from throughtime.envs.suite.t_maze import TMazeState

pytestmark = pytest.mark.usefixtures("quick_compiler")


def maze_state(x, y, goal_y):
    return TMazeState(*(jnp.int32(v) for v in (x, y, goal_y)), jnp.bool_(True), jnp.int32(3))


@pytest.mark.parametrize(
    ("x", "y", "goal_y", "picture"),
    [
        (0, 0, 1, ["   G", "@···", "   x"]),
        (2, 0, -1, ["   x", "o·@·", "   G"]),
        (3, 1, -1, ["   @", "o···", "   G"]),
        (3, -1, -1, ["   x", "o···", "   @"]),
    ],
)
def test_a_maze_is_drawn_from_above(x, y, goal_y, picture):
    env = make("t-maze", length=3)
    assert env.draw(maze_state(x, y, goal_y)).text.splitlines()[:3] == picture


def test_an_active_maze_has_its_oracle_to_the_left_of_the_start():
    env = make("t-maze-active", length=3)
    assert env.draw(env.reset(jax.random.key(0))[1]).text.splitlines()[1] == "o@···"


def test_a_long_corridor_fits_and_shows_its_ends_exactly():
    env = make("t-maze", length=1500)
    for x, column in ((0, 0), (1, 1), (750, 29), (1499, 58), (1500, 59)):
        drawing = env.draw(maze_state(x, 0, 1))
        line = drawing.text.splitlines()[1]
        assert len(line) == 60
        assert line.index("@") == column
        assert "25.8 cells" in drawing.text
        assert drawing.size[1] <= 80


def test_marks_of_a_row_that_fits_are_cell_by_cell():
    cells, note = strip(5, {1: ("a", "cue"), 4: ("b", "goal")})
    assert ["".join(c.text for c in cells), note] == ["·a··b", ""]
    assert [c.colour for c in cells] == ["faint", "cue", "faint", "faint", "goal"]


def test_a_drawing_knows_its_text_and_its_size():
    drawing = Drawing.of(["ab", ("c", "goal")], []).above(Drawing.of([Span("defgh")]))
    assert drawing.text == "abc\n\ndefgh"
    assert drawing.size == (3, 5)


@pytest.mark.parametrize("span", [("a", "pink"), ("a\nb", "goal")])
def test_colours_without_meaning_and_broken_lines_are_refused(span):
    with pytest.raises(ValueError, match=r"none of|one line"):
        Drawing.of([span])


def test_a_moment_tells_what_was_seen_done_and_paid():
    env = make("t-maze", length=3)
    moment = Moment(5, maze_state(1, 0, 1), np.array([0.0, -1.0]), np.int32(2), -1 / 3, -0.5)
    drawing = draw_moment(env, moment)
    assert drawing.text.splitlines()[-5:] == [
        "",
        "step    5",
        "sees    junction = 0, cue or side = -1",
        "does    left",
        "earns   -0.333 (-0.8333 so far)",
    ]
    assert ("-0.333", "danger") in [s for line in drawing.lines for s in line]


def test_the_last_observation_has_no_action():
    env = make("repeat-previous")
    _, state = env.reset(jax.random.key(0))
    lines = draw_moment(env, Moment(51, state, jnp.eye(4)[2], ended="terminated", total=0.25)).text.splitlines()
    assert lines == ["step    51, terminated", "sees    clubs", "does    –", "earns   – (0.25 in all)"]


def test_continuous_actions_are_told_by_their_numbers():
    pendulum = make("pendulum-positions")
    obs, state = pendulum.reset(jax.random.key(0))
    assert "does    torque = -1.25\n" in draw_moment(pendulum, Moment(0, state, obs, np.array([-1.25]), 0.0)).text


@dataclass(frozen=True)
class Wide(TMaze):
    """Observations of 40 numbers."""

    observation_labels = tuple(f"number {i}" for i in range(40))


def test_of_many_numbers_those_that_are_not_0_are_told_as_far_as_they_fit():
    seen = np.zeros(40)
    seen[[3, 17]] = 1.0, -0.0
    assert "sees    number 3 = 1\n" in draw_moment(Wide(3), Moment(0, maze_state(0, 0, 1), seen)).text
    lines = draw_moment(Wide(3), Moment(0, maze_state(0, 0, 1), np.full(40, 0.123456))).text.splitlines()
    assert lines[-3] == "sees    number 0 = 0.123, number 1 = 0.123, number 2 = 0.123, … 37 more"
    assert "sees    all 0\n" in draw_moment(Wide(3), Moment(0, maze_state(0, 0, 1), np.zeros(40))).text


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_every_environment_is_drawn(name):
    """Before and after a step, from JAX and from NumPy arrays, the same when its state is revealed."""
    env = make(name)
    obs, state = env.reset(jax.random.key(1))
    space = env.action_space
    action = jnp.zeros(space.shape, jnp.float32 if hasattr(space, "low") else jnp.int32)
    for now in (state, jax.device_get(env.step(jax.random.key(2), state, action)[1])):
        drawing = draw_moment(env, Moment(0, now, obs, action, 0.0))
        rows, columns = drawing.size
        assert rows <= 40
        assert columns <= 80
        assert {s.colour for line in drawing.lines for s in line} <= set(COLOURS)
        assert drawing.text.splitlines()[-1].startswith("earns ")
        assert Revealed(env).draw(now) == env.draw(now)
