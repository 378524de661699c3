"""`pomdp:FILE` at the command line: train, eval, resume, envs; from another folder; and a file that changed."""

import json
import tomllib
from pathlib import Path

import pytest

from throughtime.cli import main
from throughtime.envs.pomdp_file import ceilings
from throughtime.proof import Comparison, ComparisonConfig, compare
from throughtime.runs import default_config

DATA = Path(__file__).parents[1] / "data"
TINY = ["--steps", "64", "--episodes", "4", "--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1"]
TINY += ["--ppo.minibatches", "1", "--network.hidden-size", "4", "--network.encoder", "4"]


def run(*argv: str) -> int:
    return main(list(argv))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A solver with little time: its bounds hold all the same."""
    monkeypatch.setattr(ceilings, "SECONDS", 1.0)
    monkeypatch.setattr(ceilings, "SECONDS_MEMORYLESS", 0.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny run, trained beside its file, which was named by a relative path."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "models").mkdir()
    (folder / "models" / "maze.POMDP").write_bytes((DATA / "tmaze2.POMDP").read_bytes())
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        assert run("train", "pomdp:models/maze.POMDP", *TINY) == 0
    return folder


def test_a_run_names_its_file_and_its_checksum(trained):
    (out,) = (trained / "runs").iterdir()
    assert out.name == "maze-gru-1"
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["env"]["name"] == f"pomdp:{trained / 'models' / 'maze.POMDP'}"
    assert len(config["env"]["options"]["sha256"]) == 64
    assert config["ppo"]["discount"] == 0.9  # the file's


def test_a_run_is_scored_from_another_folder(trained, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = str(trained / "runs" / "maze-gru-1")
    assert run("eval", out, "--json") == 0
    sampled = json.loads(capsys.readouterr().out)
    assert run("eval", out, "--exact", "--json") == 0
    exact = json.loads(capsys.readouterr().out)
    assert exact["exact_value"] <= exact["optimal_return"] + 1e-3
    assert exact["optimal_return"] == pytest.approx(4 * 0.9**4)  # by hand: tests/envs/test_bounds.py
    assert sampled["memoryless_return"] < sampled["optimal_return"]
    assert run("train", "--config", f"{out}/config.toml", "--out", str(tmp_path / "again")) == 0


def test_a_run_whose_file_has_changed_or_gone_says_so(trained, capsys, tmp_path):
    file, out = trained / "models" / "maze.POMDP", str(trained / "runs" / "maze-gru-1")
    text = file.read_bytes()
    try:
        file.write_bytes(text + b"# a remark\n")
        assert run("eval", out) == 2
        assert "not the file that it was" in capsys.readouterr().err
        file.unlink()
        assert run("resume", out) == 2
        assert "There is no file" in capsys.readouterr().err
    finally:
        file.write_bytes(text)


def test_twins_know_the_file_too(tmp_path, monkeypatch):
    """What they are trained from later, on resume, is what was there when the command was given."""
    plan = ComparisonConfig(default_config(f"pomdp:{DATA / 'tmaze2.POMDP'}"))
    nothing = Comparison(plan, tmp_path / "twins", (), None)
    monkeypatch.setattr("throughtime.proof.twins.resume_comparison", lambda out, progress: nothing)
    compare(plan, tmp_path / "twins")
    config = tomllib.loads((tmp_path / "twins" / "comparison.toml").read_text())
    assert len(config["run"]["env"]["options"]["sha256"]) == 64


def test_envs_shows_one_environment(capsys):
    name = f"pomdp:{DATA / 'tmaze2.POMDP'}"
    assert run("envs", name, "--seconds", "2") == 0
    text = capsys.readouterr().out
    assert "2.6244 to 2.6244 with memory" in text
    assert run("envs", name, "--seconds", "2", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["states"] == 9
    assert facts["discount"] == 0.9
    assert facts["optimum"]["lower"] <= facts["optimum"]["upper"]
    assert facts["memoryless"]["upper"] < facts["optimum"]["lower"]
    assert run("envs", "t-maze") == 0
    assert "1.0000" in capsys.readouterr().out
    assert run("envs") == 0
    assert "pomdp:FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["train", f"pomdp:{DATA / 'paint.POMDP'}"], "line 79: the row O: paint : TERM sums to 2."),
        (["envs", f"pomdp:{DATA / 'paint.POMDP'}"], "line 79"),
        (["train", f"pomdp:{DATA / 'tigre.POMDP'}"], "Did you mean 'tiger.POMDP'?"),
        (["train", "tiger.POMDP"], "write pomdp:tiger.POMDP"),
        (["envs", "tigre"], "Did you mean 'tiger'?"),
        (["envs", "tiger", "--seconds", "0"], "--seconds 0"),
    ],
)
def test_mistakes_are_told_without_a_traceback(argv, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    error = capsys.readouterr().err
    assert hint in error
    assert "Traceback" not in error
    assert not any(tmp_path.iterdir())
