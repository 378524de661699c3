"""`throughtime memories`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.memory import MEMORIES


@dataclass(frozen=True)
class Memories:
    """Lists the memories and their options."""

    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Prints the table."""
    output = Output(parse(Memories, "memories", argv).json)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("memory", no_wrap=True)
    table.add_column("what it is")
    table.add_column("options: the default, then what else may be said")
    rows = {}
    for name, spec in MEMORIES.items():
        options = {option: spec.default(option) for option in spec.options}
        choices = {option: known.choices for option, known in spec.options.items() if known.choices}
        rows[name] = {"summary": spec.summary, "options": options, "choices": choices}
        shown = (f"{k}={_shown(v, choices.get(k, ()))}" for k, v in options.items() if not isinstance(v, type))
        table.add_row(name, spec.summary, ", ".join(shown))
    output.console.print(table)
    output.result(rows)
    return 0


def _shown(default: Any, choices: Sequence[str]) -> str:
    """A default, and what else may stand in its place: `tanh | identity | relu`."""
    others = [word for word in choices if word != default]
    return " | ".join(["off" if default is None else str(default), *others])
