"""`throughtime task`: lists, trains, reports, compares, and refuses what cannot work before it trains."""

import json

import pytest

from throughtime.cli import main
from throughtime.cli._output import Output
from throughtime.cli._tasks import TaskBar
from throughtime.tasks import TASKS, Progress

QUICK = ["--updates", "20", "--validate-every", "10", "--hidden-size", "4", "--batch-size", "4"]


def run(capsys, *argv):
    status = main(["task", *argv])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_without_a_name_all_tasks_are_listed(capsys):
    status, out, _ = run(capsys, "--json")
    assert status == 0
    assert json.loads(out).keys() == TASKS.keys()
    status, out, _ = run(capsys)
    assert all(name in out for name in TASKS)


def test_a_training_prints_its_scores_and_writes_its_report(capsys, tmp_path):
    out_dir = tmp_path / "echo"
    argv = [
        "echo",
        "--lag",
        "2",
        "--memory",
        "elman",
        *QUICK,
        "--seeds",
        "2",
        "--flow",
        "every=10",
        "--out",
        str(out_dir),
    ]
    status, out, _ = run(capsys, *argv, "--json")
    result = json.loads(out)
    assert status == 0
    assert result["task"] == "echo"
    assert result["options"]["lag"] == 2
    assert result["memoryless_score"] == 0.25
    assert [seed["seed"] for seed in result["seeds"]] == [0, 1]
    assert result["seeds"][0]["updates"] == 20
    assert [look["update"] for look in result["seeds"][0]["flow"]] == [0, 10, 20]
    page = (out_dir / "report.html").read_text()
    assert "throughtime task echo" in page
    assert "Gradient flow, seed 1" in page
    assert "environment steps" not in page
    stored = json.loads((out_dir / "results.json").read_text())
    assert stored["seeds"] == result["seeds"]


def test_the_defaults_are_those_of_the_memory_and_the_options(capsys):
    with pytest.raises(SystemExit):
        main(["task", "adding", "--length", "600", "--memory", "lstm", "--help"])
    words = capsys.readouterr().out.split()
    assert words[words.index("--batch-size") :].index("16)") < 12


def test_the_tuned_options_of_a_memory_stay_beside_those_given(capsys, tmp_path):
    status, out, _ = run(
        capsys,
        "adding",
        "--length",
        "5",
        *QUICK,
        "--memory-options",
        "reset",
        "before",
        "--out",
        str(tmp_path / "a"),
        "--json",
    )
    assert status == 0
    assert json.loads(out)["config"]["memory_options"] == {"chrono": 5.0, "reset": "before"}


def test_a_folder_is_not_written_over(capsys, tmp_path):
    (tmp_path / "kept").write_text("mine")
    status, _, err = run(capsys, "echo", *QUICK, "--out", str(tmp_path))
    assert status == 1
    assert "--overwrite" in err
    assert (tmp_path / "kept").read_text() == "mine"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["ehco"], "Did you mean 'echo'"),
        (["echo", "--memory", "gruu"], "Did you mean 'gru'"),
        (["echo", "--lag", "-1"], "lag is -1"),
        (["echo", "--updates", "0"], "updates is 0"),
        (["scan", "--instructions", "walk twice", "jump thrise"], "Did you mean 'thrice'"),
        (["echo", "--seeds", "0"], "--seeds 0"),
        (["echo", "--flow", "0"], "--flow 0"),
        (["digits", "--flow", "5"], "no sequences"),
        (["compare", "--memories", "gru", "gruu"], "Did you mean 'gru'"),
        (["--memory", "gru"], "Write: throughtime task NAME --memory"),
        (["compare", "--lags", "0"], "lag of 0"),
        (["compare", "--seeds", "0"], "--seeds 0"),
        (["compare", "--memories", "gru", "gru"], "twice"),
    ],
)
def test_mistakes_are_explained(argv, says, capsys, tmp_path):
    status, _, err = run(capsys, *argv, "--out", str(tmp_path / "run"))
    assert status == 2
    assert says in err
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_the_data_stands_alone(capsys, tmp_path):
    """Not below the empty bar of a training that never began."""
    (tmp_path / "a.csv").write_text("text,label\nbad, film,neg\n")
    status, out, err = run(capsys, "sentiment", "--path", str(tmp_path / "a.csv"), "--out", str(tmp_path / "run"))
    assert status == 2
    assert out.strip() == ""
    assert err.startswith(f"throughtime: {tmp_path / 'a.csv'}, line 2: 3 fields")


def test_a_training_that_reaches_its_target_early_is_done(capsys):
    with TaskBar(Output(False)) as bar:
        for label in ("one", "two"):
            bar.row(label, 100)(Progress(50, 100, 0.0, 1.0, 1.0))
    assert capsys.readouterr().out.count("100%") == 2


def test_compare_measures_the_guides_table(capsys, tmp_path):
    argv = ["compare", "--lags", "1", "2", "--memories", "tdnn", "elman", "--taps", "2", "--updates", "200"]
    status, out, _ = run(capsys, *argv, "--hidden-size", "16", "--out", str(tmp_path / "c"), "--json")
    assert status == 0
    tdnn, elman = json.loads(out)["rows"]
    assert (tdnn["recurrent"], elman["recurrent"]) == (False, True)
    assert (tdnn["window"], elman["window"]) == (2, None)
    assert (tdnn["state_numbers"], elman["state_numbers"]) == (4, 16)  # one past input of 4 symbols; 16 units
    assert tdnn["learned_lag"] == 1  # two taps see one step back, and no training makes them see two
    assert abs(tdnn["accuracies"]["2"] - 0.25) < 0.05
    assert elman["accuracies"]["1"] > 0.9
    assert tdnn["flow"]["horizon"] == 1
    page = (tmp_path / "c" / "report.html").read_text()
    assert "feedforward" in page
