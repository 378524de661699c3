"""Films of episodes: what a frame says is what happened, and pictures hold all frames."""

from dataclasses import dataclass

import numpy as np
import pytest
from hand_made import maze, maze_solver
from PIL import Image

from throughtime.core import ConfigError, RunFolderError
from throughtime.envs import Box, TMaze, make
from throughtime.reports.watch import Shown, Span, as_text, episode_frames, write_gif, write_strip
from throughtime.reports.watch.frame import WIDTH, bar, signed_bar, width_of
from throughtime.runs import EpisodeRecord, record_episode

pytestmark = pytest.mark.usefixtures("quick_compiler")


def text_of(frame) -> list[str]:
    return ["".join(span.text for span in line) for line in frame]


def line_of(frame, label: str) -> str:
    return next(line for line in text_of(frame) if line.strip(" ▸").startswith(label))


@pytest.fixture(scope="module")
def film():
    env = maze(3)
    record = record_episode(maze_solver(3), env, seed=3)
    return record, episode_frames(record, env, Shown("t-maze · by hand", 1, 2))


def test_each_step_is_told(film):
    record, frames = film
    assert len(frames) == 4
    for t, frame in enumerate(frames):
        assert f"step {t + 1} of 4" in text_of(frame)[1]
        assert float(line_of(frame, "cue or side").split()[-1].replace("−", "-")) == record.observations[t, 1]
        assert float(line_of(frame, "reward").split()[-1]) == record.rewards[t]
        taken = [line for line in text_of(frame) if line.startswith("▸")]
        assert [line.split()[1] for line in taken] == [("right", "up", "left", "down")[record.actions[t]]]
    assert "ended after 4 steps, return 1" in text_of(frames[-1])
    assert not any("ended" in line for frame in frames[:-1] for line in text_of(frame))


def test_frames_are_alike_in_size_and_fit(film):
    _, frames = film
    assert len({len(frame) for frame in frames}) == 1
    assert {width_of(frame) for frame in frames} <= set(range(40, 79))


def test_the_cue_is_a_bar_to_its_side(film):
    record, frames = film
    line = line_of(frames[0], "cue or side")
    left, right = line.split("│")
    assert ("█" in right, "█" in left) == (record.observations[0, 1] > 0, record.observations[0, 1] < 0)


def test_bars_are_as_long_as_their_shares():
    assert bar(0.5, 10) == "█████     "
    assert bar(1 / 8 / 10, 10).rstrip() == "▏"
    assert bar(7.0, 3) == "███"
    assert signed_bar(-0.5, 9) == "  ██│    "
    assert signed_bar(1.0, 9) == "    │████"


def record_of(observations, actions) -> EpisodeRecord:
    T = len(observations)
    zeros = np.zeros(T, np.float32)
    return EpisodeRecord(observations, actions, None, zeros, zeros, None, None, False, True, 0.0)


def test_continuous_actions_and_no_memory_are_told_too():
    env = make("pendulum-positions")
    record = record_of(np.zeros((2, 3), np.float32), np.array([[-1.25], [2.0]], np.float32))
    first, last = episode_frames(record, env, Shown("pendulum", 1, 1))
    assert line_of(first, "torque").endswith("−1.25")
    assert "truncated after 2 steps, return 0" in text_of(last)
    assert not any("memory" in line for line in text_of(first))


@dataclass(frozen=True)
class Picture(TMaze):
    """A maze that says its observations are pictures; `record_of` makes them."""

    shape: tuple[int, ...] = ()

    @property
    def observation_space(self):
        return Box(0.0, 1.0, self.shape)

    @property
    def observation_labels(self):
        return tuple(map(str, range(int(np.prod(self.shape)))))


@pytest.mark.parametrize("shape", [(7, 7, 3), (84, 84, 3), (30, 40), (200,), (2000,)], ids=str)
def test_large_observations_become_cells_that_fit(shape):
    seen = np.random.default_rng(0).uniform(size=(1, *shape)).astype(np.float32)
    (frame,) = episode_frames(record_of(seen, np.array([2])), Picture(shape=shape), Shown("picture", 1, 1))
    assert width_of(frame) <= WIDTH
    assert len(frame) < 45
    assert len({span.ground for line in frame for span in line if span.ground}) > 8
    assert any(line.split() == ["taken", "left"] for line in text_of(frame))


def test_a_gif_plays_every_frame_and_holds_the_last(film, tmp_path):
    _, frames = film
    with Image.open(write_gif([frames, frames], tmp_path / "film.gif", speed=10)) as film:
        durations, colours = [], []
        for i in range(film.n_frames):
            film.seek(i)
            durations.append(film.info["duration"])
            pixels = np.asarray(film.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]
            colours.append(set(np.unique(pixels).tolist()))
    assert durations == [100, 100, 100, 1200, 100, 100, 100, 1200]
    assert all({0xFFFFFF, 0x0072B2} <= seen for seen in colours)  # the page and the bars, exactly


def test_a_gif_keeps_the_colours_of_words_among_many_shades(tmp_path):
    shades = np.random.default_rng(0).integers(1 << 24, size=(30, 60))
    cells = tuple(tuple(Span(" ", ground=f"#{shade:06x}") for shade in row) for row in shades)
    with Image.open(write_gif([[((Span("━", "#d55e00"),), *cells)]], tmp_path / "film.gif", speed=10)) as film:
        pixels = np.asarray(film.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]
    assert (pixels == 0xD55E00).any()


def test_heads_are_aligned_and_lines_of_cells_are_even():
    seen = np.random.default_rng(0).uniform(size=(1000, 64)).astype(np.float32)
    frame = episode_frames(record_of(seen, np.full(1000, 2)), Picture(shape=(64,)), Shown("picture", 1, 1))[998]
    lengths = [sum(len(span.text) for span in line) for line in frame]
    assert lengths[:2] == [WIDTH, WIDTH]
    assert [n for n, line in zip(lengths, frame, strict=True) if any(span.ground for span in line)] == [34, 34]


def test_a_strip_shows_first_and_last(film, tmp_path):
    _, frames = film
    with Image.open(write_strip([frames], tmp_path / "strip.png", count=2)) as two:
        pixels = np.asarray(two.convert("L"))
    with Image.open(write_strip([frames[:1]], tmp_path / "one.png")) as one:
        first = np.asarray(one.convert("L"))
    width = pixels.shape[1] // 2
    assert first.shape == pixels[:, :width].shape
    assert (first == pixels[:, :width]).all()
    assert (pixels[:, :width] != pixels[:, width:]).any()
    assert pixels.min() < 80
    assert pixels.max() == 255


def test_blocks_have_no_seams(tmp_path):
    """A full bar is one rectangle of ink."""
    path = write_strip([[((Span("█" * 10, "#000000"),),)]], tmp_path / "bar.png")
    with Image.open(path) as picture:
        dark = np.asarray(picture.convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert len(columns) == 90


def test_the_terminal_gets_the_same_words(film):
    _, frames = film
    words = text_of(frames[0])
    assert as_text(frames[0]).plain.splitlines() == as_text(frames[0], len(words)).plain.splitlines() == words
    assert as_text(frames[0], len(words) - 1).plain.splitlines() == [line for line in words if line]


def test_mistakes_are_named(film, tmp_path):
    _, frames = film
    with pytest.raises(ConfigError, match="speed = 0"):
        write_gif([frames], tmp_path / "a.gif", speed=0)
    with pytest.raises(ConfigError, match="frames = 0"):
        write_strip([frames], tmp_path / "a.png", count=0)
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_strip([frames], tmp_path / "nowhere" / "a.png")
    assert not list(tmp_path.iterdir())
