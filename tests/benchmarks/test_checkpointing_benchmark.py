"""What the benchmark of checkpointed BPTT says of memory."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "checkpointing.py"
MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_the_peak_is_that_of_the_block_and_of_nothing_before():
    spec = importlib.util.spec_from_file_location("checkpointing_benchmark", FILE)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    before = np.ones(256 * MIB, np.uint8)  # as a compiler's
    del before
    with benchmark.peak_rise() as rise:
        inside = np.ones(48 * MIB, np.uint8)
        del inside
    assert 47 * MIB < rise[0] < 60 * MIB
