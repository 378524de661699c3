"""Checks that every memory makes before it draws a weight."""

from collections.abc import Iterable
from typing import Any

from throughtime.core import ConfigError, did_you_mean


def check_sizes(**sizes: int | None) -> None:
    """Raises ConfigError unless each size is at least 1 (None means that the option is not used)."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            article = "an" if name[0] in "aeio" else "a"
            raise ConfigError(
                f"{name} is {size}", f"A memory needs {article} {name} of at least 1.", f"Set {name} to 1 or more."
            )


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raises ConfigError, with a suggestion, unless `value` is one of the `known` words."""
    known = tuple(known)
    if value not in known:
        raise ConfigError(f"{name} is {value!r}, which is not one of its values", "", did_you_mean(str(value), known))
