"""Packages that only some adapters need."""

from importlib import import_module
from types import ModuleType

from throughtime.core import ConfigError


def require(package: str, extra: str, who: str) -> ModuleType:
    """Imports a package of an extra.

    Args:
        package: its name.
        extra: the extra that installs it.
        who: what needs it, for the message.

    Raises:
        ConfigError: it, or something that it imports, is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        why = "It is not installed." if error.name == package else f"It imports {error.name}, which is not installed."
        mend = f'Install it: pip install "throughtime[{extra}]".'
        raise ConfigError(f"{who} needs the package {package}.", why, mend) from error
