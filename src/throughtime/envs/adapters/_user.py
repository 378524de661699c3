"""The user's own classes: `module:Class`, `file.py:Class`.

Naming one runs its code, so only the user may: in this process by `make` or `trust`, never a file that is loaded.
"""

from throughtime.core import ConfigError, did_you_mean
from throughtime.core.user_code import load_module

_named: set[str] = set()
_specs: dict[type, str] = {}


def trust(name: str) -> None:
    """Says that the user, not a file, named this code: from now on a run folder may name it too."""
    _named.add(name)


def check_trusted(name: str) -> None:
    """Refuses code that only a file named.

    Raises:
        ConfigError: the user did not name it in this process.
    """
    if name not in _named:
        raise ConfigError(
            f"The settings name code to run: {name}.",
            "Loading a file runs no code, unless you name that code yourself.",
            f'If you trust it, pass --env {name} at the command line, or call tt.make("{name}") first.',
        )


def spec_of(cls: type) -> str | None:
    """By which name `find_class` gave this class, or None."""
    return _specs.get(cls)


def find_class(name: str) -> type:
    """The class of `module:Class` or `file.py:Class`.

    Raises:
        ConfigError: no such file, module or class in it (with a suggestion), or an error while importing.
    """
    where, _, attribute = name.rpartition(":")
    module = load_module(where)
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        what = f"{where} has no class {attribute!r}."
        mend = did_you_mean(attribute, classes) if classes else "It has no class at all."
        raise ConfigError(what, "" if found is None else f"{attribute} is a {type(found).__name__}.", mend)
    _specs[found] = name
    return found
