"""metrics.jsonl is valid, loses at most a line, and a resumed run's equals the uninterrupted one's."""

import json
import math
import struct
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from throughtime.core import RunFolderError
from throughtime.runs.metrics import MetricsWriter, read_metrics


def lines(folder):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def events(folder):
    """(step, tag, value) of each scalar, and the steps at which sessions start, from the TFRecords."""
    scalars, starts = [], []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event, data = Event.FromString(data[12 : 12 + size]), data[16 + size :]
            scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            if event.session_log.status == SessionLog.START:
                starts.append(event.step)
    return scalars, starts


def test_rows_are_json_and_events(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write(64, {"return": 0.5, "episodes": 3, "note": "ä\n", "best": True, "kl": None})
        assert lines(tmp_path)[0]["return"] == 0.5  # on disk before the writer is closed
        writer.write(128, {"return": np.float32(0.1), "loss": jnp.asarray(2.5, jnp.bfloat16), "n": jnp.int32(7)})
    assert lines(tmp_path) == [
        {"step": 64, "return": 0.5, "episodes": 3, "note": "ä\n", "best": True, "kl": None},
        {"step": 128, "return": float(np.float32(0.1)), "loss": 2.5, "n": 7},
    ]
    assert read_metrics(tmp_path / "metrics.jsonl") == lines(tmp_path)
    scalars, starts = events(tmp_path)
    assert (64, "return", 0.5) in scalars
    assert (128, "loss", 2.5) in scalars
    assert {tag for _, tag, _ in scalars} == {"return", "episodes", "best", "loss", "n"}
    assert starts == []


def test_what_json_lacks_is_null(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write(1, {"a": math.nan, "b": np.float32(np.inf), "c": jnp.asarray(-jnp.inf)})
    assert lines(tmp_path) == [{"step": 1, "a": None, "b": None, "c": None}]


def test_only_scalars_are_metrics(tmp_path):
    with MetricsWriter(tmp_path) as writer, pytest.raises(TypeError, match="scalar"):
        writer.write(1, {"a": np.zeros(2)})


@pytest.mark.parametrize("tail", [b"", b'{"step": 40, "ret', b'{"step": 40, "return": 40}', b"\x00\x00\x00\n"])
def test_a_resumed_run_has_the_rows_of_the_uninterrupted_one(tmp_path, tail):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    for folder, chunks in ((whole, [range(10, 60, 10)]), (halves, [range(10, 40, 10), range(30, 60, 10)])):
        folder.mkdir()
        for number, chunk in enumerate(chunks):
            with MetricsWriter(folder, resume_step=20 if number else None) as writer:
                for step in chunk:
                    writer.write(step, {"return": step})
            if number == 0 and folder is halves:
                with open(folder / "metrics.jsonl", "ab") as file:
                    file.write(tail)
    assert (halves / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    # TensorBoard hides the first row of step 30, which lies before the start at 21; no file is overwritten.
    scalars, starts = events(halves)
    assert starts == [21]
    assert [step for step, _, _ in scalars] == [10, 20, 30, 30, 40, 50]


@pytest.mark.parametrize("half", [b'{"st', b'{"step": 3}'])
def test_resuming_beyond_the_end_keeps_all_rows_but_a_half_written_one(tmp_path, half):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 2}\n' + half)
    with MetricsWriter(tmp_path, resume_step=5) as writer:
        assert [row["step"] for row in lines(tmp_path)] == [1, 2]
        writer.write(6, {})
    assert [row["step"] for row in lines(tmp_path)] == [1, 2, 6]


def test_resuming_without_a_file_and_starting_afresh_over_one(tmp_path):
    for resume_step, step in ((3, 4), (None, 1)):
        with MetricsWriter(tmp_path, resume_step=resume_step) as writer:
            writer.write(step, {})
        assert lines(tmp_path) == [{"step": step}]


@pytest.mark.parametrize("damage", [b"{\n", b"[1]\n", b'{"a": 1}\n', b"\xff\xfe\n", b"[" * 5000 + b"\n"])
def test_a_damaged_line_within_is_named(tmp_path, damage):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + damage + b'{"step": 3}\n')
    with pytest.raises(RunFolderError, match=r"Line 2 of .* \(byte 12\)"):
        read_metrics(path)
    before = path.read_bytes()
    with pytest.raises(RunFolderError, match="Line 2"):
        MetricsWriter(tmp_path, resume_step=3)
    assert path.read_bytes() == before


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be read"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_killed_process_loses_no_row_that_it_wrote(tmp_path):
    program = """
import os, signal, sys
from throughtime.runs.metrics import MetricsWriter
writer = MetricsWriter(sys.argv[1])
for step in range(1, 6):
    writer.write(step, {"return": step})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], timeout=60, check=False)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5]
