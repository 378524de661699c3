"""`throughtime credit`: words in; a table, a page and an exit status out. Tiny sizes."""

import json

import pytest

from throughtime.cli import main

TINY = ["--length", "4", "--episodes", "40", "--decomposition.updates", "2", "--decomposition.hidden-size", "2"]
TINY += ["--decomposition.least", "10", "--decomposition.bound", "100", "--decomposition.capacity", "40"]

pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_it_trains_prints_and_writes_the_page(tmp_path, capsys):
    out = tmp_path / "watch"
    assert main(["credit", "pocket-watch", *TINY, "--seeds", "2", "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["task"], told["method"]) == ("pocket-watch", "rudder")
    assert [row["seed"] for row in told["seeds"]] == [0, 1]
    assert all(row["on"] for row in told["seeds"])
    assert "are redistributed" in " ".join(captured.err.split())
    page = (out / "report.html").read_text()
    assert "episodes until right" in page
    assert "seed 1" in page
    assert main(["credit", "pocket-watch", *TINY, "--out", str(out)]) == 1
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "step"), [("monte-carlo", "0"), ("td", "0.1")])
def test_the_methods_beside_it(method, step, tmp_path, capsys):
    words = ["credit", "pocket-watch", "--length", "4", "--episodes", "40", "--method", method, "--step", step]
    assert main([*words, "--out", str(tmp_path / "x"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == method
    assert told["seeds"][0]["on"] is False


def test_mistakes_are_refused(capsys):
    assert main(["credit", "pocket-wach"]) == 2
    assert "pocket-watch" in capsys.readouterr().err
    assert main(["credit", "pocket-watch", "--seeds", "0"]) == 2
    assert main(["credit", "pocket-watch", "--episodes", "25"]) == 2
    assert "whole batches" in capsys.readouterr().err
