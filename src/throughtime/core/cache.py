"""Where throughtime keeps what it can compute again."""

import os
from pathlib import Path

CACHE_VARIABLE = "THROUGHTIME_CACHE"


def cache_folder() -> Path | None:
    """The folder `$THROUGHTIME_CACHE`, else `throughtime` below `$XDG_CACHE_HOME` or `~/.cache`; made where missing.

    Returns:
        The folder, or None where `THROUGHTIME_CACHE` is empty (which turns caches off) or it cannot be written.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(chosen) if chosen else base / "throughtime"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def read_cached(name: str) -> str | None:
    """The text kept under a name, or None.

    Args:
        name: of the file in `cache_folder()`.
    """
    folder = cache_folder()
    try:
        return None if folder is None else (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def write_cached(name: str, text: str) -> None:
    """Keeps a text, whole or not at all; does nothing where that is not possible, for it can be computed again.

    Args:
        name: of the file in `cache_folder()`.
        text: what to keep.
    """
    folder = cache_folder()
    if folder is None:
        return
    part = folder / f".{name}.{os.getpid()}.tmp"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / name)
    except OSError:
        part.unlink(missing_ok=True)
