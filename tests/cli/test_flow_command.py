"""`throughtime flow`, and `throughtime train --flow`."""

import json

import pytest

from throughtime.cli import main

TINY = ["--steps", "64", "--episodes", "4", "--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1"]
TINY += ["--ppo.minibatches", "1", "--network.hidden-size", "4", "--network.encoder", "4", "--env.length", "3"]
TINY += ["--network.memory", "elman"]
SMALL = ["--length", "50", "--hidden-size", "4", "--sequences", "2", "--input-size", "2"]


pytestmark = pytest.mark.usefixtures("quick_compiler")


def test_a_fresh_memory_made_to_order(capsys, tmp_path):
    out = tmp_path / "flow"
    words = ["--memory", "elman", "--memory-options", "spectral_radius", "0.9", "f", "identity", "--required-lag", "45"]
    assert main(["flow", *words, *SMALL, "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    record = result["networks"]["network"]
    assert record["growth_per_step"] == pytest.approx(0.9, rel=1e-4)
    assert (record["horizon"], record["required_lag"]) == (43, 45)
    assert "Gradients vanish at lag 43, the task needs 45" in " ".join(captured.err.split())
    assert result["report"] == str(out / "report.html")
    assert "Gradients vanish at lag 43, the task needs 45" in (out / "report.html").read_text()
    assert result["title"] == "Gradient flow through Elman, 4 units, spectral_radius 0.9, f identity"


def test_a_folder_is_not_written_over_unasked(capsys, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    words = ["flow", "--memory", "none", "--length", "5", *SMALL[2:], "--out", str(tmp_path)]
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    assert (tmp_path / "report.html").read_text() != "mine"


def test_the_folder_of_a_task_points_to_the_tasks_own_looks(capsys, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    assert main(["flow", str(tmp_path)]) == 1
    assert "throughtime task … --flow every=N" in " ".join(capsys.readouterr().err.split())


def test_without_out_it_makes_a_folder_under_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["flow", "--memory", "none", "--loss", "last", "--length", "5", *SMALL[2:]]) == 0
    assert (tmp_path / "runs" / "flow-none-1" / "report.html").exists()
    assert "Gradient horizon" in capsys.readouterr().out


def test_a_training_that_looks_and_the_run_it_leaves(capsys, tmp_path):
    out = tmp_path / "maze"
    assert main(["train", "t-maze", *TINY, "--flow", "every=1", "--out", str(out)]) == 0
    assert [json.loads(line)["iteration"] for line in (out / "flow.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert "flow_every = 1" in (out / "config.toml").read_text()
    assert "Gradient flow, Elman, seed 0" in (out / "report.html").read_text()
    capsys.readouterr()
    assert main(["flow", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["networks"]["network"]["required_lag"] == 3
    assert result["title"] == "Gradient flow of the Elman network on t-maze"
    assert (out / "flow" / "report.html").exists()
    assert main(["flow", str(out), "--seed", "3", "--json", "--out", str(tmp_path / "other")]) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["networks"]["network"]["log10_norms"] != result["networks"]["network"]["log10_norms"]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["flow", "--length", "1"], "length is 1"),
        (["flow", "--sequences", "0"], "sequences is 0"),
        (["flow", "--required-lag", "-1"], "--required-lag to 0 or more"),
        (["flow", "--memory", "elmann"], "Did you mean 'elman'?"),
        (["flow", "--memory", "elman", "--memory-options", "spectral_radius", "0.0"], "spectral_radius is 0.0"),
        (["flow", "nowhere"], "There is no run folder at nowhere"),
        (["flow", "nowhere", "--memory", "gru"], "--memory beside the run nowhere"),
        (["flow", "--loss=last", "--hidden_size", "8", "nowhere"], "--loss, --hidden-size beside the run nowhere"),
        (["flow", "nowhere", "--required-lag", "5"], "--required-lag beside the run nowhere"),
        (["train", "t-maze", "--flow", "often"], "Write --flow every=10"),
        (["train", "t-maze", "--flow", "every=0"], "Write --flow every=10"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(argv, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) in (1, 2)
    assert hint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
