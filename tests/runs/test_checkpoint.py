"""Checkpoints come back bit for bit, or not at all: no damage goes unseen, and each is named."""

import errno
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from throughtime.core import CheckpointError, ConfigError
from throughtime.runs.checkpoint import (
    checkpoint_name,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
)

CONFIG = 'seed = 1\nname = "ä\\u0000 \\"header_sha256\\":\\"' + "0" * 64 + '\\""\n'


class State(NamedTuple):
    h: jax.Array
    key: jax.Array


def make_tree():
    return {
        "state": State(jnp.asarray([[1.5, -0.0, np.inf, np.nan]], jnp.float32), jax.random.key(7)),
        "keys": jax.random.split(jax.random.key(3), 2),
        "half": jnp.asarray([3.14, -2.5], jnp.bfloat16),
        "flags": jnp.asarray([True, False, True]),
        "count": jnp.asarray(5, jnp.int32),
        "bits": jnp.asarray([0xDEADBEEF], jnp.uint32),
        "wide": np.asarray([1 / 3, 5e-324]),
        "none": jnp.zeros((0, 3)),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "activation": "tanh",
        "absent": None,
    }


def bits(tree):
    """Dtype, shape and bytes of each array, keys as their data."""

    def describe(leaf):
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        return str(leaf.dtype), array.shape, array.tobytes()

    return jax.tree.map(describe, tree)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / checkpoint_name(640)
    save_checkpoint(path, make_tree(), config=CONFIG, step=640)
    return path


def damage(path, offset, mask=0xFF):
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def header_size(path):
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def test_a_tree_comes_back_bit_for_bit(path):
    tree = make_tree()
    loaded = load_checkpoint(path, jax.tree.map(lambda x: x * 0 if isinstance(x, np.ndarray) else x, tree))
    assert bits(loaded) == bits(tree)
    assert isinstance(loaded["wide"], np.ndarray)
    assert isinstance(loaded["half"], jax.Array)
    # A typed key is usable as one.
    drawn = [jax.random.bits(t["state"].key) for t in (loaded, tree)]
    assert drawn[0] == drawn[1]


def test_a_tree_of_shapes_is_enough(tmp_path):
    def build():
        return State(jnp.arange(3, dtype=jnp.bfloat16), jax.random.split(jax.random.key(1), 2))

    save_checkpoint(tmp_path / "x.safetensors", build(), config="", step=0)
    loaded = load_checkpoint(tmp_path / "x.safetensors", jax.eval_shape(build))
    assert bits(loaded) == bits(build())


def test_float64_of_jax(tmp_path):
    with jax.enable_x64(True):
        tree = {"x": jnp.asarray([1 / 3])}
        save_checkpoint(tmp_path / "x.safetensors", tree, config="", step=0)
        assert bits(load_checkpoint(tmp_path / "x.safetensors", tree)) == bits(tree)


def test_it_can_be_read_without_a_tree(path):
    arrays, metadata = read_checkpoint(path)
    assert (metadata.step, metadata.config, metadata.version) == (640, CONFIG, 1)
    assert arrays["bits"].tolist() == [0xDEADBEEF]
    assert arrays["state.key"].dtype == np.uint32
    assert arrays["count"].shape == ()


def test_safetensors_itself_reads_it(path):
    tree = make_tree()
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata()["format"] == "throughtime"
        assert file.metadata()["config"] == CONFIG
        assert file.get_tensor("wide").tobytes() == tree["wide"].tobytes()
        assert file.get_tensor("transposed").tolist() == tree["transposed"].tolist()
        assert file.get_tensor("none").shape == (0, 3)
        assert set(file.keys()) == {
            *("state.h", "state.key", "keys", "half", "flags", "count"),
            *("bits", "wide", "none", "transposed"),
        }


def test_equal_trees_give_equal_files(path, tmp_path):
    save_checkpoint(tmp_path / "again", make_tree(), config=CONFIG, step=640)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_tree_without_arrays(tmp_path):
    save_checkpoint(tmp_path / "x", {"activation": "relu"}, config="", step=3)
    assert load_checkpoint(tmp_path / "x", {"activation": "relu"}) == {"activation": "relu"}
    assert read_checkpoint(tmp_path / "x").metadata.step == 3


def test_no_flipped_byte_goes_unseen(path):
    """Each byte of the file, in one bit and in all: the header's as well as the tensors'."""
    data, flipped = path.read_bytes(), path.with_name("flipped")
    for offset in range(len(data)):
        for mask in (1 << offset % 8, 0xFF):
            flipped.write_bytes(data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :])
            with pytest.raises(CheckpointError):
                read_checkpoint(flipped)


def test_no_cut_goes_unseen(path):
    data, cut = path.read_bytes(), path.with_name("cut")
    for size in range(len(data)):
        cut.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match=r"truncated|empty"):
            read_checkpoint(cut)


@pytest.mark.parametrize("leaf", ["state.h", "wide", "flags", "state.key"])
def test_a_damaged_leaf_is_named_with_its_bytes(path, leaf):
    wanted = read_checkpoint(path).arrays[leaf].tobytes()
    offset = path.read_bytes().index(wanted, header_size(path)) + len(wanted) - 1
    damage(path, offset, 0x10)
    with pytest.raises(CheckpointError, match=f"damaged in leaf '{leaf}'") as error:
        read_checkpoint(path)
    begin, end = map(int, re.search(r"bytes (\d+) to (\d+)", error.value.what).groups())
    assert (begin, end) == (offset + 1 - len(wanted), offset + 1)


def test_a_truncated_file_names_the_leaf_that_is_cut(path):
    path.write_bytes(path.read_bytes()[:-1])
    size = path.stat().st_size
    with pytest.raises(CheckpointError, match=f"truncated at byte {size}, in leaf 'flags'"):
        read_checkpoint(path)


def test_surplus_bytes(path):
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\x00" * 3)
    with pytest.raises(CheckpointError, match=f"3 bytes too many, from byte {size} on"):
        read_checkpoint(path)


@pytest.mark.parametrize("what", [b'"format":"throughtime"', b'"version":"1"', b'"step":"640"', b"seed = 1"])
def test_damaged_metadata_names_the_headers_bytes(path, what):
    damage(path, path.read_bytes().index(what) + len(what) - 2, 1)
    with pytest.raises(CheckpointError, match=rf"header of .* damaged \(bytes 0 to {header_size(path)}\)"):
        read_checkpoint(path)


def test_a_header_that_is_no_json_names_the_byte(path):
    damage(path, 8, 1)  # the first brace
    with pytest.raises(CheckpointError, match=r"header of .* damaged \(seen at byte 8\)"):
        read_checkpoint(path)


class Bomb:
    """Unpickled, it would leave a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def write_zip(path, trace):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.pkl", pickle.dumps(Bomb(trace)))


def write_npz(path, trace):
    with path.open("wb") as file:
        np.savez(file, x=np.ones(3))


STRANGERS = {
    "pickle": (lambda path, trace: path.write_bytes(pickle.dumps(Bomb(trace))), "looks like a pickle"),
    "zip": (write_zip, "zip archive"),
    "numpy": (write_npz, "zip archive"),
    "hdf5": (lambda path, trace: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), "HDF5"),
    "safetensors": (
        lambda path, trace: safetensors.numpy.save_file({"x": np.ones(3)}, path),
        "did not write",
    ),
    "marked by another": (
        lambda path, trace: safetensors.numpy.save_file({"x": np.ones(3)}, path, {"format": "pt"}),
        "did not write",
    ),
    "text": (lambda path, trace: path.write_text("hello, world"), "truncated, or damaged"),
    "short": (lambda path, trace: path.write_bytes(b"abc"), "truncated, or damaged"),
    "empty": (lambda path, trace: path.write_bytes(b""), "is empty"),
    "missing": (lambda path, trace: None, "No such file"),
    "folder": (lambda path, trace: path.mkdir(), "Is a directory"),
    "deep": (lambda path, trace: path.write_bytes((99999).to_bytes(8, "little") + b"[" * 99999), "damaged"),
    "list": (lambda path, trace: path.write_bytes((2).to_bytes(8, "little") + b"[]"), "damaged"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_named_and_never_run(tmp_path, name):
    write, message = STRANGERS[name]
    trace = tmp_path / "trace"
    write(tmp_path / "stranger", trace)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "stranger", make_tree())
    assert not trace.exists()


def forge(path, **changes):
    """Changes the header and signs it anew, as an attacker or another version would."""
    data, start = path.read_bytes(), header_size(path)
    header = json.loads(data[8:start])
    for name, value in changes.items():
        (header if name in header else header["__metadata__"])[name] = value
    header["__metadata__"] = {k: v for k, v in header["__metadata__"].items() if v is not None}
    header["__metadata__"]["header_sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":")).encode()
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head).hexdigest().encode()
    path.write_bytes(head.replace(b'"header_sha256":"' + b"0" * 64, b'"header_sha256":"' + digest) + data[start:])


def test_another_format_version_is_named(path):
    forge(path, version="2")
    with pytest.raises(CheckpointError, match="has format version 2") as error:
        read_checkpoint(path)
    assert "reads version 1" in error.value.why


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "six"},
        {"step": None},
        {"crc32": "[]", "sha256": "0" * 64},
        {"wide": {"dtype": "F64", "shape": [2], "data_offsets": [-16, 0]}},
        {"wide": {"dtype": "F64", "shape": [3], "data_offsets": [0, 16]}},
        {"wide": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}},
        {"wide": {"dtype": "F64"}},
        {"wide": 5},
    ],
)
def test_a_forged_header_is_refused(path, changes):
    forge(path)
    read_checkpoint(path)  # the forgery itself is good
    forge(path, **changes)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree | {"more": jnp.ones(2)}, "'more' is missing"),
        (lambda tree: {k: v for k, v in tree.items() if k != "bits"}, "'bits' is surplus"),
        (
            lambda tree: tree | {"count": jnp.asarray([5], jnp.int32)},
            r"'count' has shape \(\), expected \(1,\)",
        ),
        (lambda tree: tree | {"half": jnp.ones(2)}, "'half' has dtype bfloat16, expected float32"),
    ],
)
def test_another_tree_is_refused_by_leaf(path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, change(make_tree()))


def test_a_dtype_that_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="'z' is of dtype complex64"):
        save_checkpoint(tmp_path / "x", {"z": np.ones(1, np.complex64)}, config="", step=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_checkpoint(path, monkeypatch, function):
    def refuse(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.read_bytes()
    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(CheckpointError, match="cannot be written") as error:
        save_checkpoint(path, {"x": jnp.ones(3)}, config="", step=641)
    assert "No space left" in error.value.why
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(tmp_path / "no" / "x", {}, config="", step=0)


def test_the_order_of_an_atomic_write(tmp_path, monkeypatch):
    """The bytes are synced before the rename, the folder after it."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    save_checkpoint(tmp_path / "x", {"x": jnp.ones(3)}, config="", step=0)
    assert calls == ["fsync", "replace", "fsync"]


def test_a_process_killed_before_the_rename_leaves_the_old_checkpoint(path):
    program = """
import os, signal, sys
import jax.numpy as jnp
from throughtime.runs.checkpoint import save_checkpoint
os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
save_checkpoint(sys.argv[1], {"x": jnp.ones(3)}, config="", step=641)
"""
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == before
    assert len(os.listdir(path.parent)) == 2  # the part that was not renamed
    assert latest_checkpoint(path.parent).path == path
    prune_checkpoints(path.parent, keep=1)
    assert os.listdir(path.parent) == [path.name]


def save_steps(folder, *steps):
    for step in steps:
        save_checkpoint(folder / checkpoint_name(step), {"x": jnp.full(2, step)}, config="", step=step)


def test_the_latest_is_the_highest_step(tmp_path):
    save_steps(tmp_path, 9, 10**12, 9 * 10**11)  # more digits than a name is padded to
    (tmp_path / "notes.safetensors").write_text("mine")
    assert latest_checkpoint(tmp_path) == (tmp_path / checkpoint_name(10**12), ())


def test_a_damaged_latest_is_passed_over_and_told(tmp_path):
    save_steps(tmp_path, 1, 2, 3)
    damage(tmp_path / checkpoint_name(3), -1)
    (tmp_path / checkpoint_name(2)).write_bytes(b"")
    latest = latest_checkpoint(tmp_path)
    assert latest.path.name == checkpoint_name(1)
    assert [re.search("damaged in leaf 'x'|empty", error.what)[0] for error in latest.skipped] == [
        "damaged in leaf 'x'",
        "empty",
    ]


def test_no_checkpoint_and_none_that_is_whole(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        latest_checkpoint(tmp_path / "missing")
    save_steps(tmp_path, 1, 2)
    for step in (1, 2):
        damage(tmp_path / checkpoint_name(step), -1)
    with pytest.raises(CheckpointError, match=r"No checkpoint in .* can be loaded") as error:
        latest_checkpoint(tmp_path)
    assert all(checkpoint_name(step) in error.value.why for step in (1, 2))


def test_pruning_keeps_the_newest_and_what_is_not_ours(tmp_path):
    save_steps(tmp_path, 5, 20, 100, 3)
    (tmp_path / "notes.safetensors").write_text("mine")
    prune_checkpoints(tmp_path, keep=2)
    assert sorted(os.listdir(tmp_path)) == ["notes.safetensors", checkpoint_name(20), checkpoint_name(100)]
    with pytest.raises(ConfigError, match="keep = 0"):
        prune_checkpoints(tmp_path, keep=0)


def test_pruning_never_deletes_what_was_just_written(tmp_path):
    """Damaged files with later steps may lie beside it, after a resume from an older one."""
    for step in (100, 300):
        (tmp_path / checkpoint_name(step)).write_bytes(b"damaged")
    written = tmp_path / checkpoint_name(200)
    save_checkpoint(written, {"a": np.zeros(1, np.float32)}, config="", step=200)
    prune_checkpoints(tmp_path, keep=1, newest=written)
    assert sorted(path.name for path in tmp_path.iterdir()) == [written.name]
