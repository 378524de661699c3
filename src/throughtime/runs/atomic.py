"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when the block has ended without an error.

    The bytes go to a temporary file beside it, which is synced and renamed over `path`; then the folder is
    synced. After a crash or a power cut `path` is the old file or the new one, never a part.

    Args:
        path: the file to write or to replace; its folder has to exist.

    Raises:
        OSError: as the file system says; `path` is then untouched and the temporary file is gone.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
