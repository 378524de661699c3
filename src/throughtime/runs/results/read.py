"""Grids from TOML files, the user's and those that come with the library."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.runs.jobs.differences import flatten
from throughtime.runs.results.grid import Grid
from throughtime.runs.toml import from_dict

_FILES = resources.files("throughtime.runs.results").joinpath("suites")
SUITES = tuple(sorted(path.name.removesuffix(".toml") for path in _FILES.iterdir() if path.name.endswith(".toml")))
"""Names of the grids that come with the library."""


def read_grid(name: str) -> Grid:
    """The grid of a TOML file, or of a name in `SUITES`.

    Args:
        name: of either.

    Raises:
        ConfigError: no such file, no TOML, or an unknown or impossible field, named.
    """
    source: Any = _FILES / f"{name}.toml" if name in SUITES else Path(name)
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML.", f"{error}.", "Correct that line.") from error
    except (OSError, UnicodeDecodeError) as error:
        hint = "" if name.endswith(".toml") or "/" in name else f" Of the built-in grids: {did_you_mean(name, SUITES)}"
        raise ConfigError(f"{name} cannot be read.", f"{error}.", f"Name a TOML file.{hint}") from error
    return grid_of(values)


def grid_of(values: Mapping[str, Any]) -> Grid:
    """The grid that the tables of a TOML file describe.

    Entries of an axis are names, or tables with name, label and settings; `seeds` is a list, or how many, counted from
    0. Settings are tables as in a run's config.toml.

    Raises:
        ConfigError: an unknown or impossible field.
    """
    plain = dict(values)
    if type(plain.get("seeds")) is int:
        if plain["seeds"] < 1:
            raise ConfigError(f"seeds = {plain['seeds']}", "Nothing would be trained.", "Give 1 or more.")
        plain["seeds"] = list(range(plain["seeds"]))
    for axis in ("environments", "memories", "agents"):
        if isinstance(plain.get(axis), list):
            plain[axis] = [_entry(entry) for entry in plain[axis]]
    return from_dict(_with_dotted(plain), Grid)


def _entry(entry: Any) -> Any:
    if isinstance(entry, str):
        return {"name": entry}
    return _with_dotted(entry) if isinstance(entry, Mapping) else entry


def _with_dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """With `settings` as dotted fields instead of tables."""
    settings = values.get("settings")
    return {**values, "settings": dict(flatten(settings))} if isinstance(settings, Mapping) else dict(values)
