"""The page and its figures as text: what is said, what is escaped, what is drawn."""

import re
import stat
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from report_samples import maze_curves, maze_episode, maze_report, pendulum_episode

from throughtime.core import ConfigError, RunFolderError
from throughtime.reports import (
    Ceilings,
    Curve,
    Episode,
    Report,
    Row,
    episode_figure,
    learning_curves,
    render,
    write_report,
)
from throughtime.reports.episode import seriate
from throughtime.reports.figures import short_steps, spread


class Elements(HTMLParser):
    """All tags and attributes of a page, and the text outside of `<style>`."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def elements_of(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def test_whatever_is_written_stays_text():
    nasty = '<script>alert("1")</script> & $x^$ \x00\x1b[31m "quoted" \ud800'
    report = maze_report()
    assert report.episode is not None
    page = render(
        Report(
            nasty, nasty, nasty, nasty, {nasty: nasty}, [replace(row, label=nasty) for row in report.rows],
            [Curve(nasty, c.role, c.steps, c.returns) for c in report.curves], report.ceilings,
            Episode(nasty, report.episode.observations, [nasty] * 3, report.episode.actions, [nasty] * 4,
                    None, report.episode.rewards, report.episode.values, report.episode.hidden, nasty),
            [nasty],
        )
    )  # fmt: skip
    parsed = Elements(page)
    assert "script" not in parsed.tags
    assert parsed.text.count('<script>alert("1")</script> & $x^$') >= 8
    assert not any(name.startswith("on") for name, _ in parsed.attributes)


def test_the_file_refers_to_nothing_outside_and_to_every_id_once():
    parsed = Elements(render(maze_report()))
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for name, value in parsed.attributes if name in ("href", "src", "xlink:href", "srcset", "action")]
    assert links
    for link in links:
        assert link is not None
        assert link.startswith("data:") or link[1:] in ids
    for name, value in parsed.attributes:
        for target in re.findall(r"url\(([^)]*)\)", value or ""):
            assert target[1:] in ids, (name, target)
    assert "script" not in parsed.tags
    assert parsed.tags.count("style") == 1  # a figure's own would reach the whole page


def test_the_same_report_gives_the_same_bytes_whatever_the_users_style():
    report = maze_report(seeds=3)
    first = render(report)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": None, "text.usetex": True}):
        assert render(report) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_one_seed_has_no_band_and_says_so():
    one, three = render(maze_report(seeds=1)), render(maze_report(seeds=3))
    assert "the spread over seeds is not shown: it was not measured" in one
    assert "One training seed each" in one
    assert "95% t interval" not in one
    assert "Mean over 3 training seeds; the band is the 95% t interval" in three
    bands = {seeds: learning_curves(maze_curves(seeds), Ceilings(1.0, 0.5)).count("opacity: 0.15") for seeds in (1, 3)}
    assert bands[1] == 0
    assert bands[3] >= 3


def test_a_role_has_one_colour_in_every_figure():
    page = render(maze_report())
    for role, colour in (("memory", "#0072b2"), ("memoryless", "#d55e00"), ("window", "#00875f")):
        assert f"i.{role} {{ background: {colour}" in page
        assert page.count(f"stroke: {colour}") >= 4  # final returns and learning curves, wide and narrow


@pytest.mark.parametrize("narrow", [False, True])
def test_curves_without_a_finished_episode_or_with_one_point(narrow: bool):
    nothing = Curve("nothing", "memory", np.arange(3), np.full((2, 3), np.nan))
    point = Curve("point", "memoryless", np.array([10]), np.array([[0.5]]))
    svg = learning_curves([nothing, point], Ceilings(), narrow=narrow)
    ElementTree.fromstring(svg)
    if not narrow:
        named = [text.text for text in elements_of(svg, "text")]
        assert "point" in named
        assert "nothing" not in named


def test_every_panel_of_an_episode_is_drawn():
    episode = maze_episode()
    assert episode.hidden is not None
    svg = episode_figure(episode)
    styles = [element.get("style", "") for element in elements_of(svg, "path")]
    assert len([style for style in styles if "stroke: #1f2328" in style and "fill: none" in style]) == 4  # 3 + value
    assert len([style for style in styles if "fill: #7d8894" in style]) == 1  # reward
    assert len(elements_of(svg, "use")) >= 51  # a dot per action
    images = [imread(BytesIO(b64decode(e.attrib["href"].partition(",")[2]))) for e in elements_of(svg, "image")]
    assert [image.shape[:2] for image in images if image.shape[1] > 1] == [(4, 51), (64, 51)]
    heat = images[[image.shape[:2] for image in images].index((64, 51))]
    hidden = episode.hidden[:, seriate(episode.hidden)].T
    clear = np.abs(hidden) > 0.1
    assert ((heat[..., 0] > heat[..., 2]) == (hidden > 0))[clear].all()  # red above zero, blue below


def test_continuous_actions_get_a_line_each():
    episode = pendulum_episode()
    texts = [text.text for text in elements_of(episode_figure(episode), "text")]
    assert "Action" in texts
    assert not any(text and text.startswith("Action probability") for text in texts)
    two = replace(episode, actions=np.repeat(episode.actions, 2, axis=1))
    texts = [text.text for text in elements_of(episode_figure(two), "text")]
    assert {"dimension 0", "dimension 1"} <= set(texts)


def test_an_episode_of_one_step_without_hidden_state_and_with_many_observations():
    T, F = 1, 40
    episode = Episode(
        "none", np.zeros((T, F)), [str(f) for f in range(F)], np.array([2]), [str(a) for a in range(60)],
        None, np.array([np.nan]), np.zeros(T),
    )  # fmt: skip
    for narrow in (False, True):
        svg = episode_figure(episode, narrow=narrow)
        assert not any("unit" in (text.text or "") for text in elements_of(svg, "text"))
    assert "Units of the hidden state" not in render(replace(maze_report(), episode=episode))


def test_a_report_of_nothing_is_still_a_page():
    page = render(Report("empty", "", "throughtime train", "", {}, [], []))
    assert "No policy with memory was evaluated" in page
    assert "<figure" not in page


def test_data_that_does_not_fit_together_is_refused():
    episode = maze_episode()
    with pytest.raises(ConfigError, match="lengths"):
        replace(episode, observations=episode.observations[1:])
    with pytest.raises(ConfigError, match="1 labels for observations"):
        replace(episode, observation_labels=["one"])
    with pytest.raises(ConfigError, match=r"4 action labels for actions .* to 4"):
        replace(episode, actions=np.full(51, 4))
    with pytest.raises(ConfigError, match="action labels"):
        replace(episode, action_labels=["right"], action_probabilities=None)
    with pytest.raises(ConfigError, match="Curve 'empty'"):
        Curve("empty", "memory", np.zeros(0), np.zeros((1, 0)))
    with pytest.raises(ConfigError, match="steps \\(3,\\), returns \\(1, 4\\)"):
        Curve("uneven", "memory", np.zeros(3), np.zeros((1, 4)))


def test_units_that_behave_alike_stand_together():
    time, random = np.arange(60), np.random.default_rng(0)
    kinds = np.stack([np.sin(time / 5), -np.sin(time / 5), np.cos(time / 2), np.ones(60)], 1)
    kind = random.permutation(np.repeat(np.arange(4), 6))
    order = seriate(kinds[:, kind] * random.uniform(0.8, 1.0, 24)[None])
    assert sorted(order) == list(range(24))
    changes = np.flatnonzero(np.diff(kind[order]))
    assert len(changes) == 3  # four blocks of one kind each
    assert list(seriate(np.zeros((5, 1)))) == [0]


def test_labels_are_moved_apart_as_little_as_possible():
    np.testing.assert_allclose(spread(np.array([10.0, 11.0, 50.0]), 9, 0, 100), [6, 15, 50])
    np.testing.assert_allclose(spread(np.array([99.0, 100.0]), 10, 0, 100), [90, 100])
    np.testing.assert_allclose(spread(np.array([0.0, 0.0]), 10, 0, 100), [0, 10])
    assert spread(np.zeros(0), 10, 0, 100).shape == (0,)
    assert [short_steps(n) for n in (0, 500, 250_000, 1_500_000)] == ["0", "500", "250k", "1.5M"]


def test_the_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    report = Report("first", "", "throughtime train", "", {}, [], [])
    assert write_report(report, path) == path
    assert path.read_text() == render(report)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("throughtime.reports.html.os.fsync", fail)
    with pytest.raises(RunFolderError, match="No space left"):
        write_report(replace(report, title="second"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report(report, tmp_path / "missing" / "report.html")


def test_the_table_holds_the_numbers():
    report = replace(maze_report(), curves=[], episode=None)
    text = Elements(render(report)).text
    for said in (
        "0.998",
        "0.995 to 1.000",
        "38,275",
        "1,000,000",
        "26.4",
        "throughtime train t-maze",
        'name = "t-maze"',
    ):
        assert said in text
    row = Row("x", "memory", float("nan"), (float("nan"), float("nan")), 1, 1, 1, 1, 1.0, 1.0)
    assert "– to –" in render(replace(report, rows=[row]))
