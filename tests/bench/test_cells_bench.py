"""Layers beside their peers: the arithmetic on made-up times, and a tiny measurement."""

import pytest

from throughtime.bench import cell_peers, cells
from throughtime.bench.cells import Row
from throughtime.bench.timing import Timing

MACHINE = {"sgemm xla": 2.0, "sgemm torch": 1.0}


def row(cell="gru", which="forward", sizes=(2, 3, 4, 5), **seconds):
    names = {"ours": "throughtime", "torch": "torch.nn", "flax": "flax.nnx.RNN"}
    times = {names[name]: value for name, value in seconds.items()} | MACHINE
    return Row(cell, sizes, which, {name: Timing(value, value, value, 3) for name, value in times.items()})


def only(monkeypatch, *packages):
    monkeypatch.setattr(cell_peers, "find_spec", lambda package: object() if package in packages else None)


@pytest.mark.parametrize(
    ("cell", "which", "flops"),
    [  # T·B = 6 rows times I + H = 9 inputs times G·5 outputs, a multiplication and an addition each
        ("elman", "forward", 540),
        ("gru", "forward", 1620),
        ("lstm", "forward", 2160),
        ("gru", "both", 4860),
    ],
)
def test_flops_are_those_of_the_products(cell, which, flops):
    measured = row(cell, which, ours=0.5)
    assert measured.flops == flops
    assert measured.rate == 2 * flops
    assert measured.fraction_of_sgemm == pytest.approx(2 * flops / 2_147_483_648)  # 2·1024³ in the better 1 s


def test_the_ratio_is_to_the_fastest_peer():
    measured = row(ours=0.5, torch=1.0, flax=0.25)
    assert (measured.best_peer, measured.ratio) == ("flax.nnx.RNN", 0.5)


def test_without_a_peer_our_own_figures_stay():
    measured = row(ours=0.5)
    said = measured.as_dict()
    assert (said["best_peer"], said["ratio_to_best_peer"], said["flop_per_second"]) == (None, None, 3240)
    assert cells.report([measured])["summary"] == {}


def test_the_summary_is_of_each_pass():
    large = row(which="both", sizes=(2, 32, 128, 128), ours=0.5, torch=1.5)
    summary = cells.report([row(ours=1.0, torch=4.0), row(ours=1.0, torch=1.0), large])["summary"]
    assert summary["forward"] == pytest.approx({"geometric_mean_ratio": 2.0, "lowest_ratio": 1.0})
    assert summary["both"] == pytest.approx({"geometric_mean_ratio": 3.0, "lowest_ratio": 3.0})
    # 3 passes · 2 · (2·32 rows) · 3·128 outputs · 256 inputs in half a second
    assert summary["lowest_fraction_of_sgemm_when_large"] == pytest.approx(2 * 37_748_736 / 2_147_483_648)


def test_what_is_not_installed_is_named_with_its_command(monkeypatch):
    only(monkeypatch, "torch", "equinox")
    assert cell_peers.installed() == ["torch.nn", "equinox scan"]
    assert cell_peers.missing() == {"flax.nnx.RNN": "pip install flax", "keras on JAX": "pip install keras"}


@pytest.mark.parametrize(("packages", "peers"), [(["equinox"], {"equinox scan"}), ([], set())])
def test_a_tiny_measurement(packages, peers, monkeypatch):
    only(monkeypatch, *packages)
    told = []
    rows = cells.bench_cells(["gru"], [(2, 1, 2, 3)], rounds=3, seconds=0.1, tell=told.append)
    assert told == ["gru 2,1,2,3 forward (1 of 2)", "gru 2,1,2,3 both (2 of 2)"]
    assert [r.which for r in rows] == ["forward", "both"]
    for r in rows:
        assert set(r.peers) == peers
        assert all(t.samples == 3 for t in r.timings.values())
    report = cells.report(rows)
    assert set(report["summary"]) == ({"forward", "both"} if peers else set())
    assert "torch.nn" in report["left_out"]
