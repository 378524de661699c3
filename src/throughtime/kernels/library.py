"""The compiled kernels: where they are, whether they load, and why not where they do not."""

import ctypes
import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import jax

TARGETS = ("throughtime_forward", "throughtime_backward")


@dataclass(frozen=True)
class Library:
    """What became of the compiled kernels in this process."""

    instruction_set: str | None  # the one in use: avx512, avx2 or portable; None where there are no kernels
    reason: str  # in words, for people


@cache
def library() -> Library:
    """Loads the kernels and registers them with XLA, once; says why where that is impossible."""
    folder = Path(__file__).parent
    found = [folder / f"_native{suffix}" for suffix in EXTENSION_SUFFIXES if (folder / f"_native{suffix}").exists()]
    if not found:
        return Library(None, "not compiled on installation (no C++ compiler, a failed build, or skipped)")
    if sys.byteorder != "little":
        return Library(None, "compiled, but this machine is not little-endian")
    try:
        loaded = ctypes.CDLL(str(found[0]))
        loaded.throughtime_sources.restype = ctypes.c_char_p
        if _sources(folder / "native") not in ("", loaded.throughtime_sources().decode()):
            return Library(None, "compiled from other sources than those that lie here; `make kernels` compiles them")
        for target in TARGETS:
            handler = jax.ffi.pycapsule(getattr(loaded, target))
            jax.ffi.register_ffi_target(target, handler, platform="cpu")
    except Exception as error:  # also XLA's own, for another version of its interface
        return Library(None, f"compiled, but it does not load: {error}")
    loaded.throughtime_instruction_set.restype = ctypes.c_char_p
    name = loaded.throughtime_instruction_set().decode()
    return Library(name, f"compiled, for {name}")


def _sources(folder: Path) -> str:
    """A checksum of the sources, as setup.py compiles it in; nothing where they are not installed."""
    files = sorted([*folder.glob("*.h"), *folder.glob("*.cc")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""
