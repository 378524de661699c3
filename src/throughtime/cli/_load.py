"""Finds the object that the user names: `module:name`, `package.module:name` or `path/to/file.py:name`."""

import inspect
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.core.user_code import load_module, place_of


def load_object(target: str) -> Any:
    """The object; a class or a function without arguments is called first.

    Args:
        target: what the user wrote. The working directory is on the path, as for `python -m`.

    Raises:
        ConfigError: no such file, module or name, or the user's code failed while it was loaded.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name:
        raise ConfigError(
            f"{target!r} names no object.", "", "Write MODULE:NAME or path/to/file.py:NAME, such as my_agent:policy."
        )
    module = load_module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise ConfigError(f"{place} has no {name!r}.", "", did_you_mean(part, known))
        found = getattr(found, part)
    if inspect.isclass(found) or inspect.isroutine(found):
        return _made(name, found)
    return found


def _made(name: str, maker: Any) -> Any:
    """Calls it; its errors become a message that names their line."""
    try:
        return maker()
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error} ({place_of(error)})."
        raise ConfigError(f"{name}() failed.", said, "It is called without arguments: mend it first.") from error
