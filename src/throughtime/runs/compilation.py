"""Compiled programs kept on disk, so that the second run starts at once."""

from pathlib import Path

import jax

from throughtime.core.cache import CACHE_VARIABLE as CACHE_VARIABLE
from throughtime.core.cache import cache_folder


def enable_compilation_cache() -> Path | None:
    """Turns on JAX's persistent compilation cache, unless the user has set one up.

    The folder is that of `core.cache`. An empty `THROUGHTIME_CACHE` turns it off; so does a folder that cannot be
    written (training needs no cache).

    Returns:
        The folder in use, or None.
    """
    current = jax.config.values["jax_compilation_cache_dir"]
    if current:
        return Path(current)
    folder = cache_folder()
    if folder is None:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return folder
