"""`throughtime envs`."""

from dataclasses import dataclass

from rich import box
from rich.table import Table

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.envs import ENVIRONMENTS, make
from throughtime.envs.adapters.names import OWN, PREFIXES


@dataclass(frozen=True)
class Envs:
    """Lists the environments and what is known of them."""

    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Prints the table."""
    output = Output(parse(Envs, "envs", argv).json)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("environment", no_wrap=True)
    for name in ("optimum", "memoryless", "lag"):
        table.add_column(name, justify="right")
    table.add_column("what it is")
    rows = {}
    for name, entry in ENVIRONMENTS.items():
        env = make(name)
        facts = {
            "optimal_return": env.optimal_return,
            "memoryless_return": env.memoryless_return,
            "required_lag": env.required_lag,
        }
        rows[name] = {**facts, "description": entry.description, "options": dict(entry.options)}
        options = ", ".join(f"{k}={v}" for k, v in entry.options.items())
        about = entry.description + (f" [dim]({options})[/dim]" if options else "")
        table.add_row(name, *("–" if v is None else f"{v:.4g}" for v in facts.values()), about)
    output.console.print(table)
    output.console.print("\nEnvironments of others, each an extra of its name (throughtime\\[gymnasium] for gym):")
    for form, about in {**{f"{prefix}:ID": text for prefix, text in PREFIXES.items()}, "module:Class": OWN}.items():
        output.console.print(f"  {form:<13} {about}")
    output.result(rows)
    return 0
