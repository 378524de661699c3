"""`throughtime results`: real trainings in real workers, and a command that goes on."""

import json
import shlex
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from throughtime.cli import main
from throughtime.runs import load_run

GRID = """
title = "A short maze"
seeds = 2
mmer = true
environments = [{ name = "t-maze", settings = { env.options.length = 3 } }]
memories = ["none", "gru"]

[settings]
total_steps = 4096
evaluation_episodes = 64
ppo.num_envs = 16
ppo.rollout_length = 16
network.hidden_size = 8
network.encoder = [8]
"""


def test_grids_that_come_with_it_are_listed(capsys):
    assert main(["results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["smoke"]["runs"] == 8


def test_mistakes_are_named_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID.replace('"gru"', '"gruu"'))
    for words, hint in ((["grid.toml"], "Did you mean 'gru'"), (["smok"], "Did you mean 'smoke'")):
        assert main(["results", *words]) == 2
        assert hint in capsys.readouterr().err
    (tmp_path / "grid.toml").write_text(GRID)
    assert main(["results", "grid.toml", "--workers", "0", "--out", "out"]) == 2
    assert "workers = 0" in capsys.readouterr().err


@pytest.mark.slow
def test_it_trains_what_is_missing_and_each_run_can_be_had_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID)
    assert main(["results", "grid.toml", "--out", "out", "--json"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    none, gru = task["entries"]
    assert [entry["memory"] for entry in (none, gru)] == ["no memory", "GRU"]
    # The scores are those that eval gives, and memory is what makes the difference.
    folders = [tmp_path / "out" / "t-maze" / "ppo-gru" / f"seed-{seed}" for seed in (0, 1)]
    assert gru["returns"] == pytest.approx([load_run(folder).evaluate().mean for folder in folders])
    assert max(none["returns"]) < 0.75  # the memoryless ceiling is ½
    text = (tmp_path / "out" / "results.md").read_text()
    assert (tmp_path / "out" / "results.html").exists()
    # One run is lost: the same command trains it alone, to the same figures.
    kept = (folders[1] / "score.json").stat().st_mtime_ns
    before = json.loads((folders[0] / "score.json").read_text())
    shutil.rmtree(folders[0])
    assert main(["results", "grid.toml", "--out", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][0]["entries"][1]["returns"] == gru["returns"]
    after = json.loads((folders[0] / "score.json").read_text())
    assert {k: v for k, v in before.items() if "second" not in k} == {
        k: v for k, v in after.items() if "second" not in k
    }
    assert (folders[1] / "score.json").stat().st_mtime_ns == kept
    assert (tmp_path / "out" / "results.md").read_text().split("\n## ")[1][:200] == text.split("\n## ")[1][:200]
    # The command that a table gives for a run makes the same weights.
    nproc, *words = shlex.split(gru["commands"][0])
    assert nproc == "NPROC=1"
    monkeypatch.setenv("NPROC", "1")
    words = [str(tmp_path / "again") if word == "NEW" else word for word in words[1:]]
    assert subprocess.run([sys.executable, "-m", "throughtime", *words]).returncode == 0
    weights = [jax.tree.leaves(load_run(path).policy) for path in (folders[0], tmp_path / "again")]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    # Other settings in the same folder are refused, and nothing is trained.
    (tmp_path / "grid.toml").write_text(GRID.replace("hidden_size = 8", "hidden_size = 9"))
    assert main(["results", "grid.toml", "--out", "out"]) == 1
    assert "network.hidden_size is 8 there and 9 here" in capsys.readouterr().err
