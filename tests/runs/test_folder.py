"""A run's folder: nothing foreign is touched, and two processes never share one."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from throughtime.core import RunFolderError
from throughtime.runs.folder import RunFolder


def files(folder):
    """Relative path -> bytes of each file; the lock file's process id may change."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != ".throughtime.lock"}


def make_run(path):
    """What a finished run leaves."""
    with RunFolder.create(path) as run:
        run.write_config("seed = 1\n")
        run.metrics_path.write_text('{"step": 1}\n')
        run.report_path.write_text("<html>")
        (run.checkpoints / "step-000000000001.safetensors").write_bytes(b"1")
        (run.checkpoints / ".step-000000000002.safetensors.77.tmp").write_bytes(b"2")
        (path / "events.out.tfevents.1.host.0").write_bytes(b"3")
    return path


def test_create_then_open(tmp_path):
    path = tmp_path / "deep" / "run"
    with RunFolder.create(path) as run:
        run.write_config('name = "ä"\n')
        assert run.checkpoints.is_dir()
        assert (run.path, run.metrics_path) == (path, path / "metrics.jsonl")
    with RunFolder.open(path) as run:
        assert run.read_config() == 'name = "ä"\n'
    assert not list(path.glob("*.tmp"))


def test_an_empty_folder_and_an_aborted_creation_are_free(tmp_path):
    for _ in range(2):
        RunFolder.create(tmp_path).close()


def test_a_run_is_not_overwritten_unasked(tmp_path):
    path = make_run(tmp_path / "run")
    before = files(path)
    with pytest.raises(RunFolderError, match="holds a run already") as error:
        RunFolder.create(path)
    assert f"throughtime resume {path}" in error.value.mend
    assert "--overwrite" in error.value.mend
    assert files(path) == before
    RunFolder.open(path).close()  # the failed create gave its lock back


def test_overwrite_takes_a_runs_files_and_no_other(tmp_path):
    path = make_run(tmp_path / "run")
    (path / "notes.txt").write_text("mine")
    (path / "checkpoints" / "favourite.safetensors").write_text("mine")
    RunFolder.create(path, overwrite=True).close()
    assert files(path) == {"notes.txt": b"mine", "checkpoints/favourite.safetensors": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "config.toml"])
def test_a_foreign_folder_is_never_touched(tmp_path, name, overwrite):
    (tmp_path / name).write_text("years of work")
    with pytest.raises(RunFolderError, match="exists and is not empty") as error:
        RunFolder.create(tmp_path, overwrite)
    assert name in error.value.why
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "years of work"


@pytest.mark.parametrize("below", ["", "run", "runs/run"])
@pytest.mark.parametrize("action", [RunFolder.create, RunFolder.open])
def test_a_file_in_the_way_is_named(tmp_path, below, action):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RunFolderError, match="file is a file"):
        action(file / below)
    assert file.read_text() == "x"


def test_a_folder_that_cannot_be_made(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(RunFolderError, match="cannot be written") as error:
        RunFolder.create(tmp_path / "run")
    assert "Read-only file system" in error.value.why


@pytest.fixture
def public():
    """A folder that other users may enter: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_folder_without_permission(public):
    """In a process of its own, which may give up the rights of root first."""
    path, bare, closed = make_run(public / "run"), public / "bare", public / "closed"
    program = """
import os, sys
from throughtime.core import RunFolderError
from throughtime.runs.folder import RunFolder
run, bare, closed = sys.argv[1:]
if os.geteuid() == 0:
    os.setuid(65534)
for action in (
    lambda: RunFolder.open(run),
    lambda: RunFolder.create(run, overwrite=True),
    lambda: RunFolder.create(bare),
    lambda: RunFolder.create(bare + "/below"),
    lambda: RunFolder.create(closed),
    lambda: RunFolder.open(closed),
):
    try:
        action()
    except RunFolderError as error:
        print(error.what.split()[-1], error.why)
RunFolder.open(run, lock=False)
"""
    bare.mkdir()
    closed.mkdir()
    (path / ".throughtime.lock").chmod(0o444)
    for folder, mode in ((path, 0o555), (bare, 0o555), (closed, 0)):
        folder.chmod(mode)
    before = files(path)
    command = [sys.executable, "-c", program, str(path), str(bare), str(closed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expected = ["written. Permission denied."] * 4 + ["read. Permission denied."] * 2
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.returncode == 0, done.stderr
    assert files(path) == before
    for folder in (path, bare, closed):  # so that they can be removed
        folder.chmod(0o755)


def test_open_suggests_a_neighbour(tmp_path):
    make_run(tmp_path / "maze-gru")
    make_run(tmp_path / "tiger")
    with pytest.raises(RunFolderError, match="There is no run folder") as error:
        RunFolder.open(tmp_path / "maze-gur")
    assert error.value.mend == "Did you mean 'maze-gru'? Known: maze-gru, tiger."
    (tmp_path / "other").mkdir()
    with pytest.raises(RunFolderError, match="other is no run folder"):
        RunFolder.open(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    with pytest.raises(RunFolderError, match="There is no run folder") as error:
        RunFolder.open(tmp_path / "nowhere" / "run")
    assert "--out" in error.value.mend


def test_a_lock_holds_within_a_process_too(tmp_path):
    path = make_run(tmp_path / "run")
    (path / ".throughtime.lock").write_text("123456789012")  # of a former owner
    first = RunFolder.open(path)
    with pytest.raises(RunFolderError, match=rf"locked by process {os.getpid()}\."):
        RunFolder.open(path)
    RunFolder.open(path, lock=False).close()  # reading needs no lock, and takes none away
    with pytest.raises(RunFolderError, match="locked"):
        RunFolder.create(path, overwrite=True)
    first.close()
    first.close()
    RunFolder.open(path).close()


def test_a_lock_goes_with_its_process(tmp_path):
    path = make_run(tmp_path / "run")
    before = files(path)
    program = """
import sys, time
from throughtime.runs.folder import RunFolder
run = RunFolder.open(sys.argv[1])
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "ready\n"
        for action in (
            lambda: RunFolder.open(path),
            lambda: RunFolder.create(path),
            lambda: RunFolder.create(path, overwrite=True),
        ):
            with pytest.raises(RunFolderError, match=f"locked by process {process.pid}\\."):
                action()
        process.send_signal(signal.SIGKILL)
    assert files(path) == before
    RunFolder.open(path).close()


def test_a_config_that_is_no_text(tmp_path):
    path = make_run(tmp_path / "run")
    (path / "config.toml").write_bytes(b"\xff\xff")
    with RunFolder.open(path) as run, pytest.raises(RunFolderError, match=r"config\.toml cannot be read"):
        run.read_config()
