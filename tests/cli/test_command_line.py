"""The command line as its users meet it: words in, words and exit status out."""

import json
import shutil
import tomllib
from importlib import import_module

import pytest

from throughtime.cli import main
from throughtime.cli.main import VERBS
from throughtime.proof.twins import ROLES

TINY = ["--steps", "64", "--episodes", "4", "--ppo.num-envs", "2", "--ppo.rollout-length", "16", "--ppo.epochs", "1"]
TINY += ["--ppo.minibatches", "1", "--network.hidden-size", "4", "--network.encoder", "4", "--env.length", "3"]


def run(*argv: str) -> int:
    return main(list(argv))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny comparison of an agent and its twins."""
    out = tmp_path_factory.mktemp("runs") / "maze"
    assert run("train", "t-maze", *TINY, "--twins", "--out", str(out)) == 0
    return out


def test_no_word_or_help_lists_the_verbs(capsys):
    assert run() == 0
    listing = capsys.readouterr().out
    assert all(verb in listing for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "t-maez"], "Did you mean 't-maze'?"),
        (["train", "t-maze", "--network.memory", "gruu"], "Did you mean 'gru'?"),
        (["train", "t-maze", "--ppo.bptt-length", "200"], "longer than rollout_length"),
        (["train", "t-maze", "--ppo.minibatches", "7"], "64 sequences cannot be dealt into 7"),
        (["train", "t-maze", "--steps", "10"], "less than one iteration"),
        (["train", "t-maze", "--env.length", "0"], "length"),
        (["train", "t-maze", "--seeds", "0"], "--seeds 0"),
        (["report"], "needs a run"),
        (["train", "--seed", "3", "cartpole"], "The environment comes first"),
        (["train", "t-maze", "--episodes", "0"], "evaluation_episodes = 0"),
        (["train", "t-maze", "--seed", "-1"], "seed = -1"),
        (["train", "t-maze", "--ppo.learning-rate", "inf"], "finite"),
        (["train", "t-maze", "--window", "4"], "--window without --twins"),
        (["train", "t-maze", "--seeds", "2", "--window=8"], "--window without --twins"),
        (["train", "t-maze", "--network.initial-log-std", "-1"], "initial_log_std = -1.0 for discrete actions"),
        (["train", "t-maze", "--algo", "r2d2", "--network.initial-log-std", "-1"], "beside action values"),
        (["train", "--no-twins", "--window", "4"], "--window without --twins"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(argv, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    assert hint in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_an_unknown_option_gets_a_suggestion(capsys):
    with pytest.raises(SystemExit) as stop:
        run("train", "t-maze", "--ppo.learning-rat", "1e-3")
    assert stop.value.code == 2
    assert "--ppo.learning-rate" in capsys.readouterr().err


def test_missing_runs_are_named(capsys, tmp_path):
    for verb in ("eval", "resume", "report"):
        assert run(verb, str(tmp_path / "nothing")) == 1
        assert "nothing" in capsys.readouterr().err


def test_train_with_twins_writes_runs_and_a_report(trained, capsys):
    assert (trained / "report.html").stat().st_size > 10_000
    for role in ("memory", "memoryless", "window"):
        assert (trained / role / "seed-0" / "config.toml").exists()
    capsys.readouterr()
    for words in ([], ["--twins"]):
        assert run("train", "t-maze", *TINY, *words, "--out", str(trained)) == 1
        assert "holds a training with twins" in capsys.readouterr().err


def test_a_run_is_replaced_only_on_request(capsys, tmp_path):
    for out, words in ((tmp_path / "one", []), (tmp_path / "two", ["--seeds", "2"])):
        assert run("train", "t-maze", *TINY, *words, "--out", str(out)) == 0
        assert run("train", "t-maze", *TINY, *words, "--out", str(out)) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert run("train", "t-maze", *TINY, *words, "--out", str(out), "--overwrite") == 0


def test_eval_and_report_print_json_alone_on_stdout(trained, capsys, tmp_path):
    assert run("eval", str(trained / "memory" / "seed-0"), "--episodes", "8", "--json") == 0
    score = json.loads(capsys.readouterr().out)
    assert score["episodes"] == 8
    assert score["memoryless_return"] == 0.5
    assert run("report", str(trained), "--out", str(tmp_path / "page.html"), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["role"] for row in rows] == ["memory", "memoryless", "window"]
    assert (tmp_path / "page.html").exists()


def test_a_finished_comparison_resumes_to_the_same_table(trained, capsys):
    assert run("resume", str(trained), "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert [row["seeds"] for row in table["rows"]] == [1, 1, 1]


def test_a_missing_part_of_a_comparison_is_trained_on_resume(trained, capsys):
    checkpoints = trained / "window" / "seed-0" / "checkpoints"
    for file in checkpoints.iterdir():
        file.unlink()
    assert run("resume", str(trained)) == 0
    assert any(checkpoints.iterdir())


def test_report_only_reads(trained, capsys, tmp_path):
    """A part that is missing is left out, never trained on the way."""
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    shutil.rmtree(copy / "window")
    assert run("report", str(copy), "--json") == 0
    assert [row["role"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["memory", "memoryless"]
    assert not (copy / "window").exists()


def test_report_takes_runs_together_only_where_the_seed_alone_differs(trained, capsys, tmp_path):
    one = str(trained / "memory" / "seed-0")
    out = str(tmp_path / "page.html")
    assert run("report", one, one, "--out", out, "--json") == 0
    assert [row["seeds"] for row in json.loads(capsys.readouterr().out)["rows"]] == [1]
    other = tmp_path / "other"
    assert run("train", "t-maze", *TINY, "--ppo.clip", "0.1", "--out", str(other)) == 0
    capsys.readouterr()
    assert run("report", one, str(other), "--out", out, "--json") == 0
    assert [row["label"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["GRU (1)", "GRU (2)"]
    longer = tmp_path / "longer"
    assert run("train", "t-maze", *TINY, "--env.length", "4", "--out", str(longer)) == 0
    capsys.readouterr()
    assert run("report", one, str(longer), "--out", out) == 2
    assert "different environments" in capsys.readouterr().err


def test_a_folder_of_runs_names_its_runs_where_one_is_wanted(trained, capsys):
    assert run("eval", str(trained)) == 1
    assert str(trained / "memory" / "seed-0") in capsys.readouterr().err


def test_memory_options_come_over_the_tuned_ones(tmp_path, capsys):
    out = tmp_path / "lstm"
    words = ["--network.memory", "lstm", "--network.memory-options", "peepholes", "True", "--steps", "64e0"]
    assert run("train", "t-maze", *TINY, *words, "--out", str(out)) == 0
    config = tomllib.loads((out / "config.toml").read_text())
    assert config["network"]["memory_options"] == {"chrono": 100.0, "peepholes": True}
    # The config of a run is where another one may start from.
    again = tmp_path / "again"
    assert run("train", "--config", str(out / "config.toml"), "--seed", "3", "--out", str(again)) == 0
    assert tomllib.loads((again / "config.toml").read_text()) == config | {"seed": 3}


@pytest.mark.parametrize("verb", ["envs", "memories", "info"])
def test_listings_have_a_json_form(verb, capsys):
    assert run(verb) == 0
    assert capsys.readouterr().out.strip()
    assert run(verb, "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_words_that_an_option_may_be_are_listed_the_default_first(capsys):
    assert run("memories") == 0
    assert "reset=after | before" in " ".join(capsys.readouterr().out.split())
    assert run("memories", "--json") == 0
    assert json.loads(capsys.readouterr().out)["gru"]["choices"] == {"reset": ["after", "before"]}


def test_eval_computes_exact_values_on_request(capsys, tmp_path):
    tiny = [word for word in TINY if word not in ("--env.length", "3")]
    assert run("train", "tiger", *tiny, "--out", str(tmp_path / "tiger")) == 0
    capsys.readouterr()
    assert run("eval", str(tmp_path / "tiger"), "--exact", "--max-nodes", "200", "--json") == 0
    score = json.loads(capsys.readouterr().out)
    assert score["exact_value"] <= score["optimal_return"] + 1e-3


def test_train_alone_is_the_main_job_with_its_twins(monkeypatch):
    class BegunError(Exception):
        pass

    def began(plan, *rest, **named):
        raise BegunError(plan)

    monkeypatch.setattr("throughtime.cli.train.compare", began)
    with pytest.raises(BegunError) as error:
        import_module("throughtime.cli.train").run([])
    plan = error.value.args[0]
    assert plan.run.env.name == "t-maze"
    assert plan.roles == ROLES
