"""Interleaved timing: who runs when, and what is made of the samples."""

import time

from throughtime.bench.timing import interleave


def recorded(calls, name, seconds=0.002):
    def work():
        calls.append(name)
        time.sleep(seconds)

    return work


def test_each_runs_once_a_round_in_an_order_that_turns():
    calls = []
    timings = interleave({name: recorded(calls, name) for name in "abc"}, rounds=4, seconds=60.0)
    assert "".join(calls) == "aabbcc" + "abc" + "bca" + "cab" + "abc"
    assert [t.samples for t in timings.values()] == [4, 4, 4]
    assert all(0.002 <= t.low <= t.median <= t.high for t in timings.values())


def test_time_ends_the_rounds_but_never_before_three():
    calls = []
    timings = interleave({"a": recorded(calls, "a")}, rounds=100, seconds=0.0)
    assert timings["a"].samples == 3


def test_short_work_is_repeated_within_a_sample():
    calls = []
    timing = interleave({"a": lambda: calls.append("a")}, rounds=3, seconds=60.0)["a"]
    assert len(calls) > 2 + 3 * 10
    assert timing.median < 1e-4
