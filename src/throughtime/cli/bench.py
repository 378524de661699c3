"""`throughtime bench [cells|ppo|scaling]`."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.text import Text

from throughtime.bench import cells, ppo, scaling
from throughtime.cli import _bench_tables as tables
from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError, did_you_mean

BENCHMARKS = {
    "cells": "recurrent layers, forwards and backwards, beside torch, flax, Equinox and Keras",
    "ppo": "recurrent PPO end to end, beside sb3-contrib and memorax",
    "scaling": "time and memory as T, B, H and the number of environments grow, on one core and two",
}


@dataclass(frozen=True)
class Cells:
    """Recurrent layers beside the same layers in other libraries, measured in turn."""

    cells: tuple[Literal["elman", "lstm", "gru"], ...] = ("elman", "lstm", "gru")
    """Which recurrences."""
    cases: tuple[str, ...] = ()
    """Sizes: T,B,I,H, or numbers of the default cases, from 0. By default all of those."""
    passes: tuple[Literal["forward", "both"], ...] = ("forward", "both")
    """The forward pass alone, or with its backward pass."""
    seconds: float = 4.0
    """Time for the repeats of one row."""
    rounds: int = 40
    """Interleaved repeats of one row at the most; 3 or more."""
    out: Path | None = None
    """Writes the JSON object to this file, too."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


@dataclass(frozen=True)
class Ppo:
    """Recurrent PPO beside other libraries, on CartPole without velocities: iterations measured in turn."""

    widths: tuple[int, ...] = (64, 128)
    """Units of the dense layer and of the memory."""
    memorax_python: str | None = None
    """An interpreter that has memorax. By default $THROUGHTIME_MEMORAX_PYTHON, else this one if it has it."""
    envs: int = 64
    """Environments stepped together."""
    steps: int = 128
    """Steps of each in an iteration."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 4
    """Gradient steps a pass."""
    seconds: float = 60.0
    """Time for the repeats of one width."""
    rounds: int = 15
    """Interleaved repeats of one width at the most; 3 or more."""
    out: Path | None = None
    """Writes the JSON object to this file, too."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


@dataclass(frozen=True)
class Scaling:
    """How time and memory of a GRU layer (T, B, H) and of PPO's iterations (envs) grow with their sizes."""

    axes: tuple[Literal["T", "B", "H", "envs"], ...] = ("T", "B", "H", "envs")
    """The sizes that grow, one after the other."""
    factors: tuple[int, ...] = (1, 10)
    """By how much, from the base size."""
    cores: tuple[int, ...] = ()
    """Numbers of cores to measure with. By default 1 and 2, as far as there are so many."""
    seconds: float = 4.0
    """Time for the repeats of one point."""
    rounds: int = 20
    """Interleaved repeats of one point at the most; 3 or more."""
    out: Path | None = None
    """Writes the JSON object to this file, too."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Runs one benchmark; without a name, lists them."""
    if argv and argv[0] == "--json":
        argv = [*argv[1:], "--json"]
    if argv in ([], ["--json"]):
        return _list(Output(bool(argv)))
    if argv[0] in ("-h", "--help"):
        print("usage: throughtime bench [NAME [OPTIONS]] [--json]\n")
        raise SystemExit(_list(Output(False)))
    name, words = argv[0], argv[1:]
    if name not in BENCHMARKS:
        raise ConfigError(f"There is no benchmark {name!r}.", "Its name comes first.", did_you_mean(name, BENCHMARKS))
    kind, measure = {"cells": (Cells, _cells), "ppo": (Ppo, _ppo), "scaling": (Scaling, _scaling)}[name]
    arguments = parse(kind, f"bench {name}", words)
    _check(arguments)
    output = Output(arguments.json)
    with output.console.status("measuring …") as status:
        shown, result = measure(arguments, lambda text: status.update(f"measuring {text} …"))
    output.console.print(shown)
    for line in tables.remarks(result):
        output.console.print(Text(line), soft_wrap=True)
    if arguments.out is not None:
        output.write(result, arguments.out)
    output.result(result)
    return 0


def _cells(arguments: Cells, tell: Callable[[str], object]) -> tuple[Any, dict[str, Any]]:
    sizes = [_case(text) for text in arguments.cases] or cells.CASES
    rows = cells.bench_cells(
        arguments.cells, sizes, arguments.passes, rounds=arguments.rounds, seconds=arguments.seconds, tell=tell
    )
    return tables.cells_table(rows), cells.report(rows)


def _ppo(arguments: Ppo, tell: Callable[[str], object]) -> tuple[Any, dict[str, Any]]:
    contests = ppo.bench_ppo(
        arguments.widths,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        memorax=arguments.memorax_python,
        load=ppo.Load(arguments.envs, arguments.steps, arguments.epochs, arguments.minibatches),
        tell=tell,
    )
    return tables.ppo_table(contests), ppo.report(contests)


def _scaling(arguments: Scaling, tell: Callable[[str], object]) -> tuple[Any, dict[str, Any]]:
    points = scaling.bench_scaling(
        arguments.axes,
        factors=arguments.factors,
        cores=arguments.cores or None,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        tell=tell,
    )
    return tables.scaling_table(points), scaling.report(points)


def _case(text: str) -> cells.Sizes:
    """`2` is the third default case, `64,16,32,64` a size of one's own."""
    words = text.split(",")
    if all(word.isdecimal() for word in words):
        numbers = [int(word) for word in words]
        if len(numbers) == 1 and numbers[0] < len(cells.CASES):
            return cells.CASES[numbers[0]]
        if len(numbers) == 4 and min(numbers) >= 1:
            T, B, I, H = numbers  # noqa: E741
            return T, B, I, H
    raise ConfigError(
        f"--cases {text}",
        "A case is T,B,I,H (steps, sequences, inputs, units) or the number of a default one.",
        f"Write 64,16,32,64, or one of 0 to {len(cells.CASES) - 1}.",
    )


def _check(arguments: Cells | Ppo | Scaling) -> None:
    """Refuses what would spoil the measurement, before it begins."""
    if arguments.rounds < 3:
        raise ConfigError(f"--rounds {arguments.rounds}", "Quartiles need 3 repeats.", "Give 3 or more.")
    if not 0 < arguments.seconds < math.inf:
        raise ConfigError(f"--seconds {arguments.seconds}", "It is a time.", "Give a positive number.")
    for name in ("cells", "passes", "widths", "axes", "factors"):
        if getattr(arguments, name, None) == ():
            raise ConfigError(f"--{name} is empty.", "Nothing would be measured.", "Name one, or leave the option out.")
    out = arguments.out
    if out is not None and (out.is_dir() or not os.access(out.absolute().parent, os.W_OK)):
        raise ConfigError(
            f"--out {out} cannot be written.",
            "It is a folder." if out.is_dir() else f"{out.absolute().parent} is no folder that can be written.",
            "Name a file in a folder that is there.",
        )


def _list(output: Output) -> int:
    width = max(map(len, BENCHMARKS))
    for name, text in BENCHMARKS.items():
        output.console.print(f"{name:<{width}}  {text}", soft_wrap=True)
    output.console.print(
        "throughtime bench NAME runs one, throughtime bench NAME --help says what each option means; each takes --json."
    )
    output.result(BENCHMARKS)
    return 0
