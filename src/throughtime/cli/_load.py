"""Finds the object that the user names: `module:name`, `package.module:name` or `path/to/file.py:name`."""

import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from throughtime.core import ConfigError, did_you_mean


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
    module = _module(place)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
            raise ConfigError(f"{place} has no {name!r}.", "", did_you_mean(part, known))
        found = getattr(found, part)
    if inspect.isclass(found) or inspect.isroutine(found):
        return _guarded(f"{name}()", found)
    return found


def _module(place: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    if not place.endswith(".py"):
        return _guarded(f"import {place}", importlib.import_module, place)
    path = Path(place).resolve()
    if not path.is_file():
        raise ConfigError(f"There is no file {place}.", "", "The path is relative to the working directory.")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem not in sys.modules else f"{path.stem}_checked"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look themselves up there
    _guarded(f"running {place}", spec.loader.exec_module, module)
    return module


def _guarded(what: str, function: Any, *args: Any) -> Any:
    """Runs the user's code; its errors become a message that names their line."""
    try:
        return function(*args)
    except (Exception, SystemExit) as error:
        here = Path(importlib.__file__ or "").parent
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        frames = [f for f in frames if not f.filename.startswith(("<", str(here)))]
        line = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        raise ConfigError(
            f"{what} failed.", f"{type(error).__name__}: {error}{line}", "memcheck runs it as it stands: mend it first."
        ) from error
