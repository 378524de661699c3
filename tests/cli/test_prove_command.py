"""`throughtime prove`: words in; words, files and an exit status out."""

import json

import pytest

from throughtime.cli import main

TINY = ["--steps", "64", "--episodes", "16", "--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1"]
TINY += ["--ppo.minibatches", "1", "--network.hidden-size", "4", "--network.encoder", "4", "--env.length", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "maze"
    assert main(["train", "t-maze", *TINY, "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_prove_writes_evidence_and_report_and_trains_twins_only_on_request(trained, capsys):
    capsys.readouterr()
    assert main(["prove", str(trained), "--episodes", "16", "--json"]) == 3  # 64 steps teach nothing
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["uses_memory"] is False
    assert [score["role"] for score in told["scores"]] == ["memory"]
    kept = json.loads((trained / "evidence.json").read_text())
    assert {name: told[name] for name in kept} == kept
    page = (trained / "report.html").read_text()
    assert told["verdict"]["headline"] in page
    assert not (trained / "twins").exists()
    assert main(["prove", str(trained), "--episodes", "16", "--train-twins", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [score["role"] for score in told["scores"]] == ["memory", "memoryless", "window", "state"]
    assert "sees the state" in (trained / "report.html").read_text()
    # A report that is written anew keeps the evidence, as long as it is about this very policy.
    assert main(["report", str(trained), "--json"]) == 0
    assert "Memory horizon, by intervention" in (trained / "report.html").read_text()


def test_bad_input_is_named(trained, capsys, tmp_path):
    assert main(["prove", str(tmp_path / "nothing")]) == 1
    assert "nothing" in capsys.readouterr().err
    assert main(["prove", str(trained), "--episodes", "3"]) == 2
    assert "episodes = 3" in capsys.readouterr().err
