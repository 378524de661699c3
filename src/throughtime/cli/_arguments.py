"""Arguments from dataclasses, by tyro."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from throughtime.core import ConfigError
from throughtime.envs import entry_of, trust

Json = Annotated[bool, tyro.conf.FlagCreatePairsOff]
EnvCode = Annotated[
    str | None,
    tyro.conf.arg(
        help="The environment's code, module:Class or file.py:Class, where the run was trained on such a one: "
        "a run folder alone never makes code run, so name it here."
    ),
]


def parse(cls: Any, verb: str, argv: list[str]) -> Any:
    """Reads the words after a verb; on a mistake tyro says what was meant and exits with status 2."""
    return tyro.cli(cls, args=[_whole(word) for word in argv], prog=f"throughtime {verb}")


def _whole(word: str) -> str:
    """`1e6` as `1000000`: steps are often written so, and a float option reads it all the same."""
    return str(int(float(word))) if re.fullmatch(r"[1-9]\d*e\d", word) else word


def given(argv: Sequence[str], *options: str) -> list[str]:
    """Those of the options that the user wrote, whatever their value; `hidden_size` is found as `--hidden-size`."""
    flags = {f"--{option.replace('_', '-')}" for option in options}
    words = [word.partition("=")[0].replace("_", "-") for word in argv]
    return [word for word in words if word in flags]


def env_options(name: str, chosen: Mapping[str, Any]) -> Any:
    """A dataclass of an environment's own options, with `chosen` over their defaults."""
    entry = entry_of(name)
    options: list[Any] = [
        (option, type(value), dataclasses.field(default=chosen.get(option, value)))
        for option, value in entry.options.items()
    ]
    if entry.takes_arguments:
        others = {option: value for option, value in chosen.items() if option not in entry.options}
        kind = dict[str, int | float | bool | str]
        options.append(("arguments", kind, dataclasses.field(default_factory=lambda: others)))
    cls = dataclasses.make_dataclass(f"{entry.build.__name__}Options", options, frozen=True)
    cls.__doc__ = f"Options of {name}."
    return cls


def trust_code(name: str | None) -> None:
    """Lets a run folder name this environment's code; the user has named it at the command line."""
    if name is not None:
        trust(name)


def free_folder(stem: str) -> Path:
    """`runs/STEM-1`, or the first number that is not taken."""
    number = 1
    stem = re.sub(r"[^\w.-]+", "-", stem)  # gym:CartPole-v1, my/file.py:Class
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


def flow_every(text: str | None, unit: str) -> int | None:
    """N of "every=N", or of N alone; None where nothing was given.

    Raises:
        ConfigError: no whole number of 1 or more.
    """
    if text is None:
        return None
    number = text.removeprefix("every=")
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"--flow {text}", f"It says how often to look, in {unit}.", "Write --flow every=10.")
    return int(number)
