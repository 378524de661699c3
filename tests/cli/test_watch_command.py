"""`throughtime watch`: the episodes that `eval` scores, at the terminal and as pictures."""

import json

import pytest
from PIL import Image

from throughtime.cli import main

pytestmark = pytest.mark.usefixtures("quick_compiler")
TINY = ["--steps", "64", "--episodes", "4", "--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1"]
TINY += ["--ppo.minibatches", "1", "--network.hidden-size", "4", "--network.encoder", "4", "--env.length", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "maze"
    assert main(["train", "t-maze", *TINY, "--out", str(out)]) == 0
    return str(out)


def test_it_shows_what_eval_scores_and_writes_pictures(trained, capsys, tmp_path):
    capsys.readouterr()
    words = [trained, "--episodes", "3", "--seed", "7", "--json"]
    assert main(["eval", *words]) == 0
    score = json.loads(capsys.readouterr().out)
    gif, png = tmp_path / "film.gif", tmp_path / "strip.png"
    assert main(["watch", *words, "--gif", str(gif), "--png", str(png), "--frames", "3"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["mean_return"] == pytest.approx(score["mean_return"], rel=1e-5)
    assert [episode["length"] for episode in seen["episodes"]] == [4, 4, 4]
    assert (seen["gif"], seen["png"]) == (str(gif), str(png))
    with Image.open(gif) as film, Image.open(png) as strip:
        assert film.n_frames > 3
        assert strip.width == 3 * film.width


def test_the_same_policy_where_an_option_differs(trained, capsys):
    capsys.readouterr()
    assert main(["eval", trained, "--options", "length", "4", "--episodes", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_length"] == 5


def test_options_are_those_of_the_environment_that_is_named(trained, capsys):
    capsys.readouterr()
    assert main(["eval", trained, "--env", "tiger", "--options", "length", "4", "--json"]) == 2
    assert "tiger has no option 'length'" in capsys.readouterr().err


def test_without_a_terminal_the_last_frames_are_printed(trained, capsys):
    capsys.readouterr()
    assert main(["watch", trained, "--episodes", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("after 4 steps, return") == 2
    assert "step 4 of 4" in said
    assert "2 episodes, mean return" in said


def test_mistakes_are_named(trained, capsys, tmp_path):
    for words, hint in (
        ([str(tmp_path / "nothing")], "nothing"),
        ([trained, "--episodes", "0"], "episodes = 0"),
        ([trained, "--options", "lenght", "4"], "Did you mean 'length'"),
        ([trained, "--speed", "0"], "--speed 0"),
        ([trained, "--gif", str(tmp_path / "a.gif"), "--speed", "99"], "at most 50 frames"),
        ([trained, "--png", str(tmp_path / "none" / "a.png")], "cannot be written"),
    ):
        assert main(["watch", *words]) in (1, 2)
        assert hint in capsys.readouterr().err
