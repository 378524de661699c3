"""How time and memory grow: the arithmetic on made-up points, and a tiny measurement in a process of its own."""

import os
import sys

import numpy as np
import pytest

from throughtime.bench import scaling
from throughtime.bench.scaling import Point
from throughtime.bench.scaling_worker import peak_rise
from throughtime.core import ConfigError

linux = pytest.mark.skipif(sys.platform != "linux", reason="cores and peaks are Linux's to tell")
MIB = 2**20


def point(factor, seconds, xla_bytes, axis="T"):
    measured = {"xla": {"seconds": {"median": seconds}, "xla_bytes": xla_bytes, "resident_bytes": None}}
    return Point(axis, factor, 1, {axis: factor}, measured)


def test_growth_is_from_the_smallest_size_to_the_largest():
    points = [point(10, 9.0, 80), point(1, 3.0, 40), point(100, 300.0, 400)]
    assert scaling.growth(points) == [
        {
            "axis": "T",
            "cores": 1,
            "kernels": "xla",
            "size": 100.0,
            "time": 100.0,
            "exponent": pytest.approx(1.0),
            "memory": 10.0,
        }
    ]
    assert scaling.growth([point(1, 3.0, 40)])[0]["exponent"] is None
    assert points[0].seconds("native") is None


@linux
def test_a_tiny_measurement():
    told = []
    base = {"T": 2, "B": 1, "I": 2, "H": 3}
    points = scaling.bench_scaling(["T"], factors=[1, 4], cores=[1], base=base, rounds=3, seconds=0.1, tell=told.append)
    assert told == ["T × 1, 1 core (1 of 2)", "T × 4, 1 core (2 of 2)"]
    assert [p.sizes for p in points] == [base, base | {"T": 8}]
    names, missing = scaling.implementations()
    assert set(names) | set(missing) == {"native", "xla"}
    for p in points:
        assert list(p.measured) == names
        assert all(m["seconds"]["samples"] == 3 for m in p.measured.values())
    # ys and the gradient of xs, at least: 8 steps of 3 and of 2 floats
    assert points[1].xla_bytes("xla") >= 8 * (3 + 2) * 4
    report = scaling.report(points)
    assert [row["size"] for row in report["summary"]] == [4.0] * len(names)


@linux
def test_more_cores_than_there_are():
    here = len(os.sched_getaffinity(0))
    with pytest.raises(ConfigError, match=f"cores = {here + 1}"):
        scaling.bench_scaling(cores=[here + 1])


@linux
def test_the_peak_is_that_of_the_call():
    rise = peak_rise(lambda: np.ones(48 * MIB, np.uint8))
    assert rise is not None
    assert 47 * MIB < rise < 60 * MIB
