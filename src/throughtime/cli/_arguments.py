"""Arguments from dataclasses, by tyro."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from throughtime.envs import ENVIRONMENTS, EnvironmentEntry

Json = Annotated[bool, tyro.conf.FlagCreatePairsOff]


def parse(cls: Any, verb: str, argv: list[str]) -> Any:
    """Reads the words after a verb; on a mistake tyro says what was meant and exits with status 2."""
    return tyro.cli(cls, args=argv, prog=f"throughtime {verb}")


def env_options(name: str) -> Any:
    """A dataclass of an environment's own options, with their defaults."""
    entry: EnvironmentEntry = ENVIRONMENTS[name]
    options = [(option, type(value), dataclasses.field(default=value)) for option, value in entry.options.items()]
    cls = dataclasses.make_dataclass(f"{entry.build.__name__}Options", options, frozen=True)
    cls.__doc__ = f"Options of {name}."
    return cls


def free_folder(stem: str) -> Path:
    """`runs/STEM-1`, or the first number that is not taken."""
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path
