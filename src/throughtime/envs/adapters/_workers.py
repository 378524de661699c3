"""Who steps a group of environments: a thread of this process, or a process of its own. Neither can hang unnoticed."""

import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol, runtime_checkable

from throughtime.envs.adapters._arrays import Shapes
from throughtime.envs.adapters._build import Recipe
from throughtime.envs.adapters._group import Failure, Group
from throughtime.envs.adapters._mask import MaskReader

Reply = list[Failure]


class WorkerLost(Exception):  # noqa: N818  it is no error yet: the worker may be started anew
    """A worker that will not answer any more: why, and the traceback of where it stands or stood."""

    def __init__(self, why: str, trace: str):
        self.why, self.trace = why, trace
        super().__init__(why)


@runtime_checkable
class Worker(Protocol):
    """Steps the environments of some rows; whatever it writes lies in the shared arrays."""

    rows: slice

    def send(self, command: str) -> None:
        """Begins "reset" or "step"."""
        ...

    def receive(self, timeout: float) -> Reply:
        """Waits for its end; the failures. Raises `WorkerLost` after `timeout` seconds, or where the worker died."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class ThreadWorker:
    """A thread beside XLA's: an environment that hangs can then be left behind (it cannot be ended)."""

    def __init__(self, rows: slice, make_group: Callable[[], Group]):
        self.rows = rows
        self._commands: SimpleQueue[str | None] = SimpleQueue()
        self._replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self._group = make_group()
        self._thread = threading.Thread(target=self._work, name="throughtime environments", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (command := self._commands.get()) is not None:
            try:
                self._replies.put(self._group.run(command))
            except BaseException as error:  # a SystemExit of the user's code, say: the thread ends, and says why
                self._replies.put(error)
                return
        self._group.close()

    def send(self, command: str) -> None:
        """As `Worker` has it."""
        self._commands.put(command)

    def receive(self, timeout: float) -> Reply:
        """As `Worker` has it."""
        try:
            reply = self._replies.get(timeout=timeout)
        except Empty:
            self._group.abandoned = True
            frame = sys._current_frames().get(self._thread.ident or 0)
            stack = [] if frame is None else traceback.extract_stack(frame)
            trace = "".join(traceback.format_list([entry for entry in stack if entry.filename != threading.__file__]))
            raise WorkerLost(f"did not answer within {timeout:g} s", trace) from None
        if isinstance(reply, BaseException):
            raise WorkerLost("ended its thread", "".join(traceback.format_exception(reply)))
        return reply

    def close(self) -> None:
        """As `Worker` has it."""
        self._commands.put(None)


class ProcessWorker:
    """A process of its own, which maps the same arrays. It speaks over a socket: one line of JSON each way."""

    def __init__(self, rows: slice, recipe: Recipe, mask: MaskReader | None, shapes: Shapes, memory: int):
        self.rows = rows
        self._socket, theirs = socket.socketpair()
        self._crash_log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
        setup = {
            "recipe": recipe,
            "mask": mask,
            "rows": (rows.start, rows.stop),
            "shapes": shapes,
            "memory": memory,
            "socket": theirs.fileno(),
            "crash_log": self._crash_log.fileno(),
            "path": [entry for entry in sys.path if entry],
        }
        # Not multiprocessing: forking beside XLA's threads deadlocks, and spawning runs the user's script anew.
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from throughtime.envs.adapters._child import main; main()", json.dumps(setup)],
            pass_fds=(memory, theirs.fileno(), self._crash_log.fileno()),
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(_source_path())},
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._buffer = b""

    def send(self, command: str) -> None:
        """As `Worker` has it."""
        with contextlib.suppress(OSError):  # it is dead: receive will say so
            self._socket.sendall(command.encode() + b"\n")

    def receive(self, timeout: float) -> Reply:
        """As `Worker` has it."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            try:
                self._socket.settimeout(max(left, 1e-3))
                data = self._socket.recv(65536)
            except TimeoutError:
                raise WorkerLost(f"did not answer within {timeout:g} s", self._where_it_hangs()) from None
            except OSError:
                data = b""
            if not data:
                raise WorkerLost(self._how_it_died(), self._log())
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return [Failure(*failure) for failure in json.loads(line)]

    def _where_it_hangs(self) -> str:
        """The traceback of a process that does not answer (it writes one on SIGUSR1)."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 1.0
        while not self._log() and time.monotonic() < end and self._process.poll() is None:
            time.sleep(0.02)
        time.sleep(0.05)
        return self._log()

    def _how_it_died(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if status < 0:
            return f"died of {signal.Signals(-status).name}"
        return f"died with exit status {status}"

    def _log(self) -> str:
        self._crash_log.seek(0)
        return self._crash_log.read().decode(errors="replace")

    def close(self) -> None:
        """As `Worker` has it; gives the environments a second to close."""
        self._socket.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._crash_log.close()


def shared_memory(size: int) -> tuple[int, mmap.mmap]:
    """Memory without a name that other processes can map by its descriptor; it is gone with the last of them."""
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        descriptor = os.dup(file.fileno())
    return descriptor, mmap.mmap(descriptor, size)


def _source_path() -> list[str]:
    """Where a process of its own finds throughtime, and what the user's PYTHONPATH names."""
    source = str(Path(__file__).parents[3])
    return [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
