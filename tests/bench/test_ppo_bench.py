"""Recurrent PPO beside its peers: ratios, missing peers, and the worker that another interpreter runs."""

import ast
import json
import os
import sys
import time

import pytest

from throughtime.bench import ppo, ppo_peers
from throughtime.bench.ppo import MEMORAX, SB3, Contest, Load
from throughtime.bench.ppo_peers import MEMORAX_VARIABLE, Memorax, memorax_python
from throughtime.bench.timing import Timing
from throughtime.core import ConfigError

TINY = Load(envs=2, steps=4, epochs=1, minibatches=1)
WORKER = """
import json, sys
print(json.dumps({"differences": ["none"], "words": sys.argv[1:]}), flush=True)
for line in iter(sys.stdin.readline, ""):
    print(0.25, flush=True)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A stand-in that speaks the worker's protocol; write another program into it."""
    file = tmp_path / "worker.py"
    file.write_text(WORKER)
    monkeypatch.setattr(ppo_peers, "WORKER", file)
    return file


@pytest.fixture
def alone(monkeypatch):
    """No peer is installed."""
    monkeypatch.delenv(MEMORAX_VARIABLE, raising=False)
    monkeypatch.setattr(ppo_peers, "find_spec", lambda package: None)


def contest(**seconds):
    names = {"sb3": SB3, "memorax": MEMORAX, "separate": "gru, separate critic"}
    timings = {names.get(name, name): Timing(t, t / 2, t * 2, 3) for name, t in seconds.items()}
    return Contest(64, Load(envs=10, steps=20), timings, {"lstm": 1.5})


def test_speeds_and_ratios():
    measured = contest(gru=1.0, lstm=2.0, separate=4.0, sb3=10.0, memorax=6.0)
    assert measured.speeds("lstm") == (100.0, 50.0, 200.0)  # 200 steps in 2 s, in 4 s, in 1 s
    report = ppo.report([measured])
    assert report["summary"] == {SB3: {"64": 5.0}, MEMORAX: {"64": 1.5}}
    rows = report["contests"][0]["rows"]
    assert rows["gru"]["ratios"] == {SB3: 10.0, MEMORAX: 6.0}
    assert (rows["lstm"]["compile_seconds"], rows[SB3]["compile_seconds"]) == (1.5, None)
    assert report["left_out"] == {}


def test_an_iteration_of_ours_runs_again_and_again():
    iterate, seconds = ppo.ours("gru", False, 4, TINY)
    iterate()
    iterate()
    assert seconds > 0


def test_missing_peers_are_left_out_and_named(alone, monkeypatch):
    monkeypatch.setattr(ppo, "ours", lambda *given: (lambda: time.sleep(0.001), 1.0))
    contests = ppo.bench_ppo([8], rounds=3, seconds=0.1, load=TINY)
    assert list(contests[0].timings) == list(ppo.OURS)
    report = ppo.report(contests)
    assert "pip install torch sb3-contrib gymnasium" in report["left_out"][SB3]
    assert "memorax==1.0.1" in report["left_out"][MEMORAX]
    assert report["summary"] == {SB3: {}, MEMORAX: {}}


def test_memorax_is_measured_in_its_worker(alone, worker, monkeypatch):
    monkeypatch.setattr(ppo, "ours", lambda *given: (lambda: time.sleep(0.001), 1.0))
    contests = ppo.bench_ppo([8], rounds=3, seconds=0.1, memorax=sys.executable, load=TINY)
    assert MEMORAX in contests[0].timings
    about = ppo.report(contests)["contests"][0]["memorax"]
    assert about["differences"] == ["none"]
    sizes = ["--width", "8", "--envs", "2", "--steps", "4", "--epochs", "1", "--minibatches", "1"]
    assert about["words"] == ["--serve", "--cell", "gru", *sizes]


def test_the_worker_answers_with_its_seconds(worker):
    with Memorax(sys.executable, 8, TINY) as memorax:
        assert [memorax.iterate(), memorax.iterate()] == [0.25, 0.25]


@pytest.mark.parametrize("program", ["import no_such_memorax", WORKER.split("for line")[0] + "import no_such_memorax"])
def test_a_worker_that_dies_is_told_with_its_last_words(program, worker):
    worker.write_text(program)
    with (
        pytest.raises(ConfigError, match=r"(?s)status 1.*no_such_memorax.*pip install"),
        Memorax(sys.executable, 8, TINY) as memorax,
    ):
        memorax.iterate()


def test_the_interpreter_is_chosen_or_the_environments_or_none(alone, monkeypatch, tmp_path):
    assert memorax_python(None) is None
    monkeypatch.setenv(MEMORAX_VARIABLE, sys.executable)
    assert memorax_python(None) == sys.executable
    with pytest.raises(ConfigError, match="cannot be run"):
        memorax_python(str(tmp_path / "python"))


def test_the_worker_imports_nothing_of_ours_and_says_its_differences():
    tree = ast.parse(ppo_peers.WORKER.read_text(encoding="utf-8"))
    imported = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    ]
    assert "memorax.algorithms" in imported
    assert not any(name and name.startswith("throughtime") for name in imported)


@pytest.mark.skipif(MEMORAX_VARIABLE not in os.environ, reason=f"${MEMORAX_VARIABLE} names no interpreter")
def test_memorax_itself_runs():
    with Memorax(os.environ[MEMORAX_VARIABLE], 4, TINY) as memorax:
        assert memorax.iterate() > 0
        assert any("separate_critic" in text for text in memorax.about["differences"])
        json.dumps(memorax.about)
