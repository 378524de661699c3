"""The choice between the compiled kernels and the pure XLA path, which are the same function up to rounding.

`$THROUGHTIME_KERNELS` or `kernels(...)` say it: "native" (an error where it is impossible), "xla", or "auto" (the
default: native on a CPU where the kernels were compiled). The choice is made while a function is traced: what has been
compiled under another choice stays as it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

from throughtime.core import ConfigError, did_you_mean
from throughtime.kernels.library import library

VARIABLE = "THROUGHTIME_KERNELS"
CHOICES = ("auto", "native", "xla")

_chosen: ContextVar[str | None] = ContextVar("kernels", default=None)


@contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Within it, what is traced uses these kernels; stronger than `$THROUGHTIME_KERNELS`.

    Args:
        choice: "auto", "native" or "xla".

    Raises:
        ConfigError: another word.
    """
    token = _chosen.set(_check(choice, "kernels"))
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen() -> str:
    """What the context or the environment says: "auto", "native" or "xla"."""
    inner = _chosen.get()
    return _check(os.environ.get(VARIABLE) or "auto", f"${VARIABLE}") if inner is None else inner


def native_here() -> tuple[bool, str]:
    """Whether fused layers run natively at this place, and why.

    Raises:
        ConfigError: "native" was asked for and is impossible.
    """
    choice = chosen()
    if choice == "xla":
        return False, "xla: chosen"
    platform = _platform()
    if platform != "cpu":
        possible, reason = False, f"the default device is a {platform}, and the kernels are for CPUs"
    else:
        possible, reason = library().instruction_set is not None, library().reason
    if choice == "native" and not possible:
        raise ConfigError(
            "The native kernels were asked for and cannot be used.",
            f"Here they are impossible: {reason}.",
            f"Set {VARIABLE}=auto, or install throughtime again where a C++ compiler is (g++ or clang++).",
        )
    return possible, f"{'native' if possible else 'xla'}: {reason}"


def _platform() -> str:
    device = jax.config.values["jax_default_device"]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def _check(choice: str, name: str) -> str:
    if choice not in CHOICES:
        raise ConfigError(f"{name} is {choice!r}, which is not one of its values", "", did_you_mean(choice, CHOICES))
    return choice
