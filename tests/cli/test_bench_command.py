"""`throughtime bench` as its users meet it."""

import json

import pytest

from throughtime.bench import cell_peers
from throughtime.cli import _bench_tables as tables
from throughtime.cli import bench, main

TINY = ["cells", "--cells", "gru", "--cases", "2,1,2,3", "--passes", "both", "--rounds", "3", "--seconds", "0.1"]


def run(*argv: str) -> int:
    return main(["bench", *argv])


@pytest.fixture(autouse=True)
def only_equinox(monkeypatch):
    monkeypatch.setattr(cell_peers, "find_spec", lambda package: object() if package == "equinox" else None)


def test_without_a_name_it_lists_them(capsys):
    assert run("--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"cells", "ppo", "scaling"}


def test_json_is_alone_on_stdout_and_in_the_file(capsys, tmp_path):
    assert run(*TINY, "--json", "--out", str(tmp_path / "cells.json")) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said == json.loads((tmp_path / "cells.json").read_text())
    (row,) = said["rows"]
    assert (row["sizes"], row["pass"], row["best_peer"]) == ({"T": 2, "B": 1, "I": 2, "H": 3}, "both", "equinox scan")
    assert "equinox scan" in captured.err
    assert "left out: torch.nn (pip install torch)" in captured.err


def test_people_read_a_table_on_stdout(capsys, monkeypatch):
    monkeypatch.setattr(cell_peers, "find_spec", lambda package: None)
    assert run(*TINY) == 0
    out = capsys.readouterr().out
    assert "2,1,2,3" in out
    assert tables.NOTHING in out
    assert "left out: equinox scan (pip install equinox)" in out


@pytest.mark.parametrize("name", bench.BENCHMARKS)
def test_every_benchmark_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        run(name, "--help")
    assert stop.value.code == 0
    assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["cels"], "Did you mean 'cells'?"),
        (["cells", "--cases", "7"], "one of 0 to 6"),
        (["cells", "--cases", "1,2,3"], "A case is T,B,I,H"),
        (["cells", "--cases", "1,2,3,0"], "A case is T,B,I,H"),
        (["cells", "--rounds", "2"], "--rounds 2"),
        (["cells", "--seconds", "0"], "--seconds 0"),
        (["cells", "--out", "no/such/folder.json"], "cannot be written"),
        (["ppo", "--memorax-python", "no/such/python"], "cannot be run"),
        (["ppo", "--widths", "0"], "widths = [0]"),
        (["ppo", "--minibatches", "7"], "64 sequences cannot be dealt into 7"),
        (["scaling", "--cores", "4096"], "cores = 4096"),
        (["scaling", "--factors", "0"], "factors = [0]"),
    ],
)
def test_mistakes_are_named_before_anything_is_measured(argv, hint, capsys, monkeypatch):
    monkeypatch.delenv("THROUGHTIME_MEMORAX_PYTHON", raising=False)
    assert run(*argv) == 2
    assert hint in capsys.readouterr().err


def test_all_tables_show_what_was_measured_and_what_was_not(capsys):
    from throughtime.bench import ppo, scaling
    from throughtime.bench.timing import Timing
    from throughtime.cli._output import Output

    timings = {"gru, separate critic": Timing(1.0, 1.0, 1.0, 3), ppo.MEMORAX: Timing(2.0, 2.0, 2.0, 3)}
    contests = [ppo.Contest(8, ppo.Load(), timings, {}, {"differences": ["another colour"]})]
    measured = {"xla": {"seconds": {"median": 0.5}, "xla_bytes": 3 * 2**20, "resident_bytes": None}}
    points = [scaling.Point("T", 1, 1, {"T": 10}, measured)]
    console = Output(False).console
    console.width = 200
    for shown, report in ((tables.ppo_table(contests), ppo.report(contests)), (tables.scaling_table(points), None)):
        console.print(shown)
        console.print("\n".join(tables.remarks(report) if report else ()))
    out = capsys.readouterr().out
    assert "gru, separate critic is 2.00 times as fast as memorax gru" in out
    assert "memorax differs: another colour" in out
    assert "T=10" in out
    assert "500" in out
