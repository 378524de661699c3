"""The user's own classes: `module:Class`, `file.py:Class`.

Naming one runs its code, so only the user may: in this process by `make` or `trust`, never a file that is loaded.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from throughtime.core import ConfigError, did_you_mean

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
    module = _load_file(Path(where), name) if where.endswith(".py") else _import(where, name)
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        what = f"{where} has no class {attribute!r}."
        mend = did_you_mean(attribute, classes) if classes else "It has no class at all."
        raise ConfigError(what, "" if found is None else f"{attribute} is a {type(found).__name__}.", mend)
    _specs[found] = name
    return found


def _import(where: str, name: str) -> ModuleType:
    folder = str(Path.cwd())
    added = folder not in sys.path
    if added:  # as `python -m` has it: the user's module lies where the user is
        sys.path.insert(0, folder)
    try:
        return import_module(where)
    except ModuleNotFoundError as error:
        missing = error.name or where
        mine = where == missing or where.startswith(f"{missing}.")
        what = f"There is no module {where!r}." if mine else f"{name} cannot be imported."
        mend = f"Name a file, {where.replace('.', '/')}.py:Class, or install the module." if mine else ""
        raise ConfigError(what, f"{error}.", mend or f"Install {missing}.") from error
    except Exception as error:
        raise _broken(name, error) from error
    finally:
        if added:
            sys.path.remove(folder)


def _load_file(path: Path, name: str) -> ModuleType:
    path = path.expanduser().resolve()
    known = f"throughtime_user_{path.stem}_{abs(hash(str(path))):x}"
    if known in sys.modules:
        return sys.modules[known]
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        mend = did_you_mean(path.name, near) if near else f"{path.parent} holds no Python file."
        raise ConfigError(f"There is no file {path}.", "", mend)
    spec = spec_from_file_location(known, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[known] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[known]
        raise _broken(name, error) from error
    return module


def _broken(name: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{name} cannot be imported.", f"{type(error).__name__}: {error}", "Mend the error in that file."
    )
