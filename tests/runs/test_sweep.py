"""Sweeps: what is drawn, what is kept, what is refused. The trainings are `fake_worker`s, whose best rate is known."""

import math
import os
import signal
import threading
import time
import tomllib
from pathlib import Path

import pytest

from throughtime.agents import ALGORITHMS, table_of
from throughtime.cli import main
from throughtime.core import ConfigError, RunFolderError
from throughtime.runs import RunConfig, default_config, from_toml
from throughtime.runs.config import EVALUATION_SEED
from throughtime.runs.jobs import pool
from throughtime.runs.sweep import Range, SweepConfig, default_space, read_space, sweep

optuna = pytest.importorskip("optuna")
HERE = str(Path(__file__).parent)
RATE = {"ppo.learning_rate": Range(1e-4, 1e-1, log=True)}


@pytest.fixture(autouse=True)
def fake_workers(monkeypatch):
    monkeypatch.setattr(pool, "WORKER", "fake_worker")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))


def config(**changes) -> SweepConfig:
    return SweepConfig(**{"run": default_config("t-maze"), "space": RATE, "seeds": (500_000, 500_001), **changes})


def truth(values: dict, seed: int) -> float:
    return -((math.log10(values["ppo.learning_rate"]) + 2.5) ** 2) + seed % 2


def test_trials_are_scored_by_the_mean_over_all_tuning_seeds(tmp_path):
    found = sweep(config(), tmp_path / "s", trials=4)
    assert [trial.number for trial in found.trials] == [0, 1, 2, 3]
    for trial in found.trials:
        scores = [truth(trial.values, seed) for seed in (500_000, 500_001)]
        assert trial.returns == pytest.approx(scores)
        assert trial.mean_return == pytest.approx(sum(scores) / 2)
        for seed in (500_000, 500_001):
            kept = from_toml((tmp_path / f"s/trial-{trial.number:04d}/seed-{seed}/config.toml").read_text(), RunConfig)
            assert kept.seed == seed
            assert kept.ppo.learning_rate == trial.values["ppo.learning_rate"]
    assert found.best == max(found.trials, key=lambda trial: trial.mean_return)
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "s" / "study.journal"))
    study = optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(journal))
    assert study.best_trial.number == found.best.number  # what Optuna looks for is the largest, too


def test_the_same_call_goes_on_and_a_trial_that_was_under_way_keeps_its_values(tmp_path, monkeypatch):
    out, one = tmp_path / "s", config(seeds=(500_000,))
    monkeypatch.setenv("FAKE_TODO", "trial-0001:wait")  # it has not ended when the signal comes

    def interrupt():
        while not (out / "trial-0001" / "seed-500000" / "pid").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    first = sweep(one, out, trials=3, workers=1)
    assert first.interrupted is not None
    assert [trial.number for trial in first.trials] == [0]
    under_way = tomllib.loads((out / "trial-0001/seed-500000/config.toml").read_text())["ppo"]["learning_rate"]
    (out / "go").write_text("go")
    second = sweep(one, out, trials=3, workers=1)
    assert [trial.number for trial in second.trials] == [0, 1, 2]
    assert second.trials[0] == first.trials[0]
    assert second.trials[1].values["ppo.learning_rate"] == under_way
    starts = [len((out / f"trial-{n:04d}/seed-500000/starts").read_text().splitlines()) for n in range(3)]
    assert starts == [1, 2, 1]
    third = sweep(one, out, trials=3, workers=1)  # nothing is left to do
    assert third.trials == second.trials


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    sweep(config(), tmp_path / "s", trials=1)
    with pytest.raises(RunFolderError, match=r"seeds is \[500000, 500001\] there and \[3\] here"):
        sweep(config(seeds=(3,)), tmp_path / "s", trials=1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(RunFolderError, match="holds no sweep"):
        sweep(config(), tmp_path / "other", trials=1)


def test_a_trial_that_fails_is_told_and_does_not_end_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_TODO", "trial-0000:die trial-0001:fail")
    found = sweep(config(seeds=(500_000,)), tmp_path / "s", trials=3, workers=1)
    assert [trial.status for trial in found.trials] == ["failed", "failed", "done"]
    assert "SIGKILL" in found.trials[0].why
    assert "The reward is NaN." in found.trials[1].why


def test_values_that_cannot_work_together_are_a_failed_trial(tmp_path):
    space = {"ppo.bptt_length": Range(choices=(100, 128))}  # 100 does not divide the rollout of 128
    found = sweep(config(space=space), tmp_path / "s", trials=6)
    assert {(t.values["ppo.bptt_length"], t.status) for t in found.trials} == {(100, "failed"), (128, "done")}
    assert all("not divisible" in t.why for t in found.trials if t.status == "failed")


def test_bad_trials_are_pruned_by_the_median(tmp_path):
    """Each trial's returns are level, and the median rule compares them: the worse ones of the later trials end."""
    space = {"ppo.learning_rate": Range(choices=tuple(10.0**-k for k in range(1, 5)))}
    found = sweep(config(space=space, seeds=(500_000,)), tmp_path / "s", trials=14, prune=True)
    pruned = [t for t in found.trials if t.status == "pruned"]
    assert len(found.trials) == 14
    assert all(t.number >= 5 for t in pruned)
    done = [t.mean_return for t in found.trials if t.mean_return is not None]
    assert found.best.mean_return == max(done) == pytest.approx(-0.25)


@pytest.mark.parametrize("seed", [EVALUATION_SEED, EVALUATION_SEED + 5, -1])
def test_seeds_of_evaluation_are_refused(seed, tmp_path):
    with pytest.raises(ConfigError, match="evaluation"):
        sweep(config(seeds=(3, seed)), tmp_path / "s", trials=1)
    assert not (tmp_path / "s").exists()


def test_nothing_in_the_folder_is_a_pickle(tmp_path):
    sweep(config(), tmp_path / "s", trials=2)
    journal = (tmp_path / "s" / "study.journal").read_text(encoding="utf-8")
    assert all(line.startswith("{") for line in journal.splitlines())


SPACE = """
evaluation_episodes = 64
[ppo]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
epochs = { low = 1, high = 4 }
clip = { low = 0, high = 1 }
[network]
hidden_size = { choices = [8, 16] }
[network.memory_options]
chrono = { low = 2, high = 50 }
"""


def test_a_space_is_read_from_toml_and_keeps_the_kinds_of_its_fields(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    space, fixed = read_space(tmp_path / "space.toml")
    assert fixed == {"evaluation_episodes": 64}
    assert space["ppo.learning_rate"] == Range(1e-4, 1e-2, log=True)
    found = sweep(config(space=space, seeds=(500_000,)), tmp_path / "s", trials=4)
    assert [trial.why for trial in found.trials] == [""] * 4
    kinds = {name: type(value) for name, value in found.trials[0].values.items()}
    assert kinds["ppo.epochs"] is int
    assert kinds["ppo.clip"] is float  # whole ends, of a field that takes what lies between
    assert kinds["network.memory_options.chrono"] is int
    assert {trial.values["network.hidden_size"] for trial in found.trials} <= {8, 16}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[ppo]\nclipp = { low = 0.1, high = 0.2 }", "Unknown field 'ppo.clipp'"),
        ("[ppo]\nclip = { low = 0.2, high = 0.1 }", "Nothing lies between"),
        ("[ppo]\nclip = { low = 0.2 }", "ppo.clip has no range"),
        ("[ppo]\nclip = { low = 0.0, high = 0.1, log = true }", "no logarithm"),
        ("[ppo]\nclip = { choices = [] }", "leaves no choice"),
        ("[ppo]\nclip = { low = 0.1, hihg = 0.2 }", "Did you mean 'high'"),
        ("[ppo]\nclip = 0.1", "has no range"),
        ("[ppo]\nepochs = { low = 0.5, high = 2.5 }", "ppo.epochs = 0.5"),
        ("seed = { low = 1, high = 2 }", "seed cannot be searched"),
        ("[ppo", "not valid TOML"),
    ],
    ids=str,
)
def test_mistakes_in_a_space_are_named_before_anything_is_trained(text, hint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("space.toml").write_text(text)
    assert main(["sweep", "t-maze", "--space", "space.toml", "--out", "s"]) == 2
    assert hint in capsys.readouterr().err
    assert not Path("s").exists()


@pytest.mark.parametrize("algo", sorted(set(ALGORITHMS) - {"world-model"}))  # which acts at random: its score is none
def test_every_algorithm_has_a_space_that_fits(algo):
    known = {"sac": "pendulum-positions", "td3": "pendulum-positions", "instruct": "instructions"}
    run = default_config(known.get(algo, "t-maze"), algo)
    space = default_space(run)
    SweepConfig(run, dict(space)).check()
    assert {name.split(".")[0] for name in space} == {table_of(algo), "network"}


def test_the_built_in_space_leaves_the_discount_of_a_discounted_score():
    maze, tiger = (
        SweepConfig(default_config(env), dict(default_space(default_config(env)))) for env in ("t-maze", "tiger")
    )
    assert set(maze.space) - set(tiger.space) == {"ppo.discount"}


def test_the_command_writes_what_train_takes(tmp_path, capsys):
    (tmp_path / "space.toml").write_text("[ppo]\nlearning_rate = { low = 1e-4, high = 1e-1, log = true }\n")
    words = ["sweep", "t-maze", "--memory", "lstm", "--space", str(tmp_path / "space.toml"), "--seeds", "1"]
    assert main([*words, "--trials", "3", "--out", str(tmp_path / "s")]) == 0
    assert "throughtime train --config" in " ".join(capsys.readouterr().out.split())
    best = from_toml((tmp_path / "s" / "best.toml").read_text(), RunConfig)
    assert (best.seed, best.network.memory) == (0, "lstm")
    rates = [
        float(tomllib.loads(p.read_text())["ppo"]["learning_rate"]) for p in (tmp_path / "s").glob("*/*/config.toml")
    ]
    assert best.ppo.learning_rate == max(rates, key=lambda rate: truth({"ppo.learning_rate": rate}, 0))


def test_evaluation_seeds_are_refused_at_the_command_line(tmp_path, capsys):
    words = ["sweep", "t-maze", "--seed", str(EVALUATION_SEED - 1), "--seeds", "2", "--out", str(tmp_path / "s")]
    assert main(words) == 2
    assert "one of evaluation" in capsys.readouterr().err
