"""Forms of names that a higher floor adds to the registry: `world:RUN`, which takes a run's checkpoint to build."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Form(NamedTuple):
    """A form `prefix:…`."""

    shape: str  # as people write it, such as "world:RUN"
    description: str  # one line for people
    find: Callable[[str], tuple[type[Any], dict[str, Any], str]]
    """What follows the colon → the environment's class, the fields that the name decides, and a line on it."""


ADDED: dict[str, Form] = {}
"""By prefix. Whoever adds one does so when it is imported."""


def add_form(prefix: str, form: Form) -> None:
    """Makes `prefix:…` a name of environments."""
    ADDED[prefix] = form


def added_form(name: str) -> Form | None:
    """The added form that a name is of, or None."""
    prefix, colon, _ = name.partition(":")
    return ADDED.get(prefix) if colon else None
