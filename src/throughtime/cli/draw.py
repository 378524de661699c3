"""`throughtime draw MEMORY`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError, did_you_mean
from throughtime.insight.drawing import Architecture, Format, Forms, describe, draw
from throughtime.memory import MEMORIES, Memory, WithReadout, make_memory, memory_options
from throughtime.runs.atomic import atomic_write

_SUFFIXES: dict[str, Format] = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid"}


@dataclass(frozen=True)
class Draw:
    """Draws the folded and the unfolded network of a memory.

    MEMORY comes first; `throughtime memories` lists them, and `throughtime draw MEMORY --help` its own options.
    """

    input_size: int = 4
    """Features of an input."""
    hidden_size: int = 64
    """Hidden units of each layer."""
    num_layers: int = 1
    """Layers on top of each other."""
    residual: bool = False
    """Adds each layer's input to its output where both have the same size."""
    readout: int | None = None
    """Outputs of a readout on top; none by default."""
    architecture: Architecture = "many-to-many"
    """What is read and put out."""
    T: int | None = None
    """Time steps, by default 4; of more than 8 the first and the last are drawn."""
    T_out: int | None = None
    """Time steps of the decoder of an encoder-decoder; as many as T by default."""
    form: Forms = "both"
    """Folded (with loops), unfolded (through time), or both."""
    format: Format | None = None
    """By default as the name of --out says, else svg."""
    out: Path | None = None
    """The file to write; by default MEMORY-ARCHITECTURE.svg here, and for mermaid standard output."""
    overwrite: bool = False
    """Replaces an older file."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Draws, writes the file or prints the text."""
    if argv and argv[0] in ("-h", "--help"):
        parse(Draw, "draw MEMORY", argv)
    if not argv or argv[0].startswith("-"):
        raise ConfigError("no memory is named.", "", f"Write: throughtime draw MEMORY …\n{did_you_mean('', MEMORIES)}")
    name = argv[0]
    options = _options(name)
    arguments = parse(options, f"draw {name}", argv[1:])
    memory = eqx.filter_eval_shape(lambda: _memory(name, arguments))  # shapes alone: no weight is drawn
    file, kind = _target(name, arguments)
    settings = {"architecture": arguments.architecture, "T_out": arguments.T_out, "form": arguments.form}
    drawing = describe(memory, arguments.T, **settings)
    text = draw(memory, arguments.T, format=kind, **settings)
    output = Output(arguments.json)
    result: dict[str, Any] = {
        "title": drawing.title,
        "description": drawing.description,
        "format": kind,
        "out": None if file is None else str(file),
        "parameters": sum(weight.size for weight in drawing.weights),
        "weights": {weight.name: weight.shape for weight in drawing.weights},
    }
    if file is not None:
        with atomic_write(file) as stream:
            stream.write(text.encode())
        output.console.print(f"[bold]{drawing.title}[/bold] · {result['parameters']:,} parameters · {file}")
    elif arguments.json:
        result["text"] = text
    else:
        print(text, end="")
    output.result(result)
    return 0


def _options(name: str) -> Any:
    """The dataclass of the command line, with this memory's own options."""
    own: list[Any] = []
    for option, spec in memory_options(name).items():
        kind: Any = Literal[spec.choices] if spec.choices else spec.kind
        default = MEMORIES[name].default(option)
        own.append((option, kind if default is not None else kind | None, dataclasses.field(default=default)))
    cls = dataclasses.make_dataclass("Draw", own, bases=(Draw,), frozen=True)
    words = "\n".join(f"    {option}: {spec.help}." for option, spec in memory_options(name).items())
    cls.__doc__ = f"Draws the folded and the unfolded network of {name}: {MEMORIES[name].summary}.\n\n"
    cls.__doc__ += f"Args:\n{words}\n" if words else ""
    return cls


def _memory(name: str, arguments: Any) -> Memory:
    options = {option: getattr(arguments, option) for option in memory_options(name)}
    memory = make_memory(
        name,
        arguments.input_size,
        arguments.hidden_size,
        num_layers=arguments.num_layers,
        residual=arguments.residual,
        key=jax.random.key(0),
        **{option: value for option, value in options.items() if value is not None},
    )
    if arguments.readout is None:
        return memory
    return WithReadout(memory, arguments.readout, key=jax.random.key(0))


def _target(name: str, arguments: Any) -> tuple[Path | None, Format]:
    """The file, or None for standard output, and the format."""
    file: Path | None = arguments.out
    named = None if file is None else _SUFFIXES.get(file.suffix.lower())
    if file is not None and named is None and arguments.format is None:
        raise ConfigError(
            f"{file} has no ending that names a format.",
            "What is drawn is SVG or Mermaid text.",
            "Let it end in .svg, .mmd or .mermaid, or give --format svg or --format mermaid.",
        )
    if named is not None and arguments.format not in (None, named):
        raise ConfigError(f"{file} is to be {arguments.format}.", f"Its ending says {named}.", "Change one of them.")
    kind: Format = arguments.format or named or "svg"
    if file is None and kind == "svg":
        file = Path(f"{name}-{arguments.architecture}.svg")
    if file is not None and not file.parent.is_dir():
        raise ConfigError(f"there is no folder {file.parent}.", f"{file} cannot be written.", "Make it first.")
    if file is not None and file.exists() and not arguments.overwrite:
        raise ConfigError(f"{file} exists already.", "", "Name another --out, or give --overwrite.")
    return file, kind
