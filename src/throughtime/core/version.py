"""The version of the package, as pyproject.toml has it."""

from importlib import metadata

__version__ = metadata.version("throughtime")
