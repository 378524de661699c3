"""Every test runs with shapes and dtypes checked at run time, and with no silent promotion."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

# On in tests, free in production: each annotated function checks its arrays against its annotation.
install_import_hook("throughtime", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def _few_memory_maps():
    """Drops compiled programs before the process runs out of memory maps.

    Each takes several, Linux allows 65,530 to a process, and beyond that XLA crashes in the middle of a compilation.
    """
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="module")
def quick_compiler():
    """For modules in which compiling takes most of the time, and what is compiled runs for moments."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def float64():
    """Arrays of float64 for a whole module."""
    with jax.enable_x64(True):
        yield
