"""`throughtime info`."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata

import jax

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core.version import __version__
from throughtime.kernels import native_here
from throughtime.runs.compilation import enable_compilation_cache


@dataclass(frozen=True)
class Info:
    """Says which versions and devices are in use."""

    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Prints the facts that a bug report needs."""
    output = Output(parse(Info, "info", argv).json)
    facts = {
        "throughtime": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jax", "jaxlib", "equinox", "optax", "numpy")},
        "devices": ", ".join(str(device) for device in jax.devices()),
        "cores": os.cpu_count(),
        "kernels": native_here()[1],
        "compilation cache": str(enable_compilation_cache() or "off"),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        output.console.print(f"{name:<{width}}  {value}", soft_wrap=True)
    output.result(facts)
    return 0
