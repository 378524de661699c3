"""Checks of options, before anything is compiled."""

from typing import Any

from throughtime.core import ConfigError


def check_at_least_one(owner: str, option: str, value: Any, why: str) -> None:
    """Raises a `ConfigError` unless `value` is a whole number of at least 1.

    Args:
        owner: whose option it is, for the message.
        option: the option's name.
        value: what the user gave.
        why: what the option counts, as a sentence.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(
            f"{owner}: {option} = {value!r} is impossible.",
            why,
            f"Set {option} to a whole number of at least 1.",
        )
