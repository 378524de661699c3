"""Code that the user names at the command line or in a call: `module` or `path/to/file.py`. Naming it runs it."""

import sys
import traceback
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePath
from types import ModuleType

from throughtime.core.errors import ConfigError, did_you_mean


def load_module(where: str) -> ModuleType:
    """The module of that name, or of that file; a file is run once in a process.

    The working directory (for a file: its folder) is put on the path, as `python -m` has it, and stays there: what
    the code imports later is found too.

    Args:
        where: `package.module`, or a path that ends in `.py`.

    Raises:
        ConfigError: no such module or file (with a suggestion), or what the code raised, and in which line.
    """
    if where.endswith(".py"):
        return _load_file(Path(where).expanduser().resolve())
    _on_path(Path.cwd())
    try:
        return import_module(where)
    except ModuleNotFoundError as error:
        missing = error.name or where
        if where == missing or where.startswith(f"{missing}."):
            mend = f"Name a file, {where.replace('.', '/')}.py:NAME, or install the module."
            raise ConfigError(f"There is no module {where!r}.", f"{_said(error)}.", mend) from error
        raise ConfigError(f"{where} cannot be imported.", f"{_said(error)}.", f"Install {missing}.") from error
    except (Exception, SystemExit) as error:
        raise _broken(where, error) from error


def place_of(error: BaseException) -> str:
    """File and line of the innermost frame outside of installed packages, such as `agent.py:12`."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{PurePath(own[-1].filename).name}:{own[-1].lineno}" if own else "an unknown place"


def _load_file(path: Path) -> ModuleType:
    known = f"throughtime_user_{path.stem}_{abs(hash(str(path))):x}"
    if known in sys.modules:
        return sys.modules[known]
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
        mend = did_you_mean(path.name, near) if near else f"{path.parent} holds no Python file."
        raise ConfigError(f"There is no file {path}.", "", mend)
    _on_path(path.parent)
    spec = spec_from_file_location(known, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[known] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[known]
        raise _broken(str(path), error) from error
    return module


def _on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _broken(where: str, error: BaseException) -> ConfigError:
    return ConfigError(f"{where} cannot be imported.", f"{_said(error)} ({place_of(error)}).", "Mend it first.")
