"""Compiled programs kept on disk, so that the second run starts at once."""

import os
from pathlib import Path

import jax

CACHE_VARIABLE = "THROUGHTIME_CACHE"


def enable_compilation_cache() -> Path | None:
    """Turns on JAX's persistent compilation cache, unless the user has set one up.

    The folder is `$THROUGHTIME_CACHE`, else `throughtime` below `$XDG_CACHE_HOME` or `~/.cache`. An empty
    `THROUGHTIME_CACHE` turns it off; so does a folder that cannot be written (training needs no cache).

    Returns:
        The folder in use, or None.
    """
    current = jax.config.values["jax_compilation_cache_dir"]
    if current:
        return Path(current)
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen == "":
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(chosen) if chosen else base / "throughtime"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return folder
