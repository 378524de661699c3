"""`throughtime envs [ENV]`."""

from dataclasses import dataclass
from typing import Any

import tyro
from rich import box
from rich.table import Table

from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.core import ConfigError
from throughtime.envs import (
    ENVIRONMENTS,
    Bounds,
    Discrete,
    Environment,
    PomdpFile,
    entry_of,
    forms,
    make,
    solve,
    solve_memoryless,
)

SHOWN = 12  # names of one kind that fit into the terminal


@dataclass(frozen=True)
class Envs:
    """Lists the environments and what is known of them; with a name, all that is known of that one."""

    env: tyro.conf.Positional[str | None] = None
    """A name of the list, or pomdp:FILE. Where the POMDP is finite, its optimum is bounded by a point-based solver."""
    seconds: float | None = None
    """With ENV: how long the solver may take for each pair of bounds; by default what is known already, or 10 and 5."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Prints the table, or one environment."""
    arguments = parse(Envs, "envs", argv)
    output = Output(arguments.json)
    if arguments.env is not None:
        return _one(arguments.env, arguments.seconds, output)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("environment", no_wrap=True)
    for name in ("optimum", "memoryless", "lag"):
        table.add_column(name, justify="right")
    table.add_column("what it is")
    rows: dict[str, Any] = {}
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
    for form, description in forms().items():
        rows[form] = {"description": description}
        table.add_row(form, "", "", "", f"{description} [dim](throughtime envs {form})[/dim]")
    output.console.print(table)
    output.result(rows)
    return 0


def _one(name: str, seconds: float | None, output: Output) -> int:
    if seconds is not None and not seconds > 0:
        raise ConfigError(f"--seconds {seconds}", "The solver needs time.", "Give a positive number.")
    entry, env = entry_of(name), make(name)
    with output.console.status("solving …"):
        optimum, memoryless = _bounds(env, seconds)
    tables = env.tables()
    facts: dict[str, Any] = {"description": entry.description, "discount": env.discount, **_sizes(env)}
    facts |= {
        "optimal_return": env.optimal_return,
        "memoryless_return": env.memoryless_return,
        "required_lag": env.required_lag,
        "max_episode_steps": env.max_episode_steps,
        "terminates": None if tables is None else bool(tables.terminal.any()),
        "optimum": None if optimum is None else optimum._asdict(),
        "memoryless": None if memoryless is None else memoryless._asdict(),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, text in _lines(env, facts, optimum, memoryless):
        table.add_row(label, text)
    output.console.print(f"[bold]{name}[/bold]: {entry.description}")
    output.console.print(table)
    output.result(facts)
    return 0


def _bounds(env: Environment, seconds: float | None) -> tuple[Bounds | None, Bounds | None]:
    """Of policies with memory, and without; None where the POMDP is not finite, or its returns are not discounted."""
    if isinstance(env, PomdpFile) and seconds is None:
        known = env.ceilings
        return (None, None) if known is None else (known.optimum, known.memoryless)
    tables = env.tables()
    if tables is None or env.discount >= 1:
        return None, None
    optimum = solve(tables, env.discount, gap=1e-5, seconds=10.0 if seconds is None else seconds)
    return optimum, solve_memoryless(
        tables, env.discount, seconds=5.0 if seconds is None else seconds, upper=optimum.upper
    )


def _sizes(env: Environment) -> dict[str, Any]:
    tables, space = env.tables(), env.action_space
    return {
        "states": None if tables is None else len(tables.initial),
        "actions": list(env.action_labels),
        "discrete": isinstance(space, Discrete),
        "observations": list(env.observation_labels),
    }


def _lines(
    env: Environment, facts: dict[str, Any], optimum: Bounds | None, memoryless: Bounds | None
) -> list[tuple[str, str]]:
    lines = []
    if facts["states"] is not None:
        lines.append(("states", f"{facts['states']}"))
    for kind in ("actions", "observations"):
        names = facts[kind]
        lines.append((kind, f"{len(names)}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"))
    lines.append(("discount", f"{env.discount:g}"))
    ends = " or where nothing more is to be earned" if facts["terminates"] else ""
    if env.max_episode_steps is not None:
        lines.append(("episode ends", f"after {env.max_episode_steps} steps{ends}"))
    if optimum is None:
        for label, value in (("optimum", env.optimal_return), ("memoryless", env.memoryless_return)):
            lines.append((label, "not known" if value is None else f"{value:.4f}"))
    else:
        lines.append(("optimum", f"{_between(optimum)} with memory"))
    if memoryless is not None:
        lines.append(("memoryless", f"{_between(memoryless)} without, drawn actions included"))
    if optimum is not None:
        lines.append(("", "(exact lower and upper bounds of the discounted return; no time limit)"))
    return lines


def _between(bounds: Bounds) -> str:
    return f"{bounds.lower:.4f} to {bounds.upper:.4f}"
