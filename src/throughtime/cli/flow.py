"""`throughtime flow [RUN]`: the gradient microscope."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.agents import algorithm
from throughtime.agents.flow import Microscope
from throughtime.cli._arguments import Json, free_folder, given, parse
from throughtime.cli._output import Output
from throughtime.cli._tasks import refuse_full
from throughtime.core import ConfigError, RunFolderError
from throughtime.gradients.flow import Flow, measure_flow
from throughtime.memory import make_memory
from throughtime.proof.twins import memory_name, memory_owner
from throughtime.reports import write_page
from throughtime.reports.flow import figures_table, flow_page
from throughtime.runs import load_run

FRESH = ("memory", "length", "hidden_size", "num_layers", "input_size", "memory_options", "loss", "required_lag")
"""The options that are for a fresh memory alone."""


@dataclass(frozen=True)
class FlowArguments:
    """Shows where gradients through time go: how far they reach, what stops them, and what would help.

    With RUN: the policy of a trained run, through its algorithm's own loss on the rollout that would come next.
    Without: a fresh memory on random inputs, through a random linear loss of its outputs.
    """

    run: tyro.conf.Positional[Path | None] = None
    """A run folder. The options from --memory to --required-lag are for a fresh memory, and refused beside it."""
    memory: str = "gru"
    """The recurrence: a name that `throughtime memories` lists."""
    length: int = 100
    """Time steps of each sequence."""
    hidden_size: int = 64
    """Hidden units of each layer."""
    num_layers: int = 1
    """Layers on top of each other."""
    input_size: int = 8
    """Features of an input; inputs are drawn from the standard normal distribution."""
    memory_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the memory, NAME VALUE pairs: spectral_radius 1.1 for elman makes gradients to order."""
    loss: Literal["every", "last"] = "every"
    """Whether every step has a loss, or the last one alone."""
    required_lag: int | None = None
    """How far back a task would have to reach; for RUN the environment tells it."""
    sequences: int = 16
    """Sequences (of a batch, or of the rollout) that are looked at; the intervals are over them."""
    seed: int | None = None
    """Of weights, inputs and loss; for RUN of another rollout than the next one."""
    out: Path | None = None
    """The folder for report.html; by default flow/ in RUN, or a new one under runs/."""
    overwrite: bool = False
    """Writes over an older report in the folder that --out names."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Measures, prints the figures and the verdict, writes the page."""
    arguments = parse(FlowArguments, "flow", argv)
    _check(arguments, argv)
    if arguments.out is not None:
        refuse_full(arguments.out, arguments.overwrite)
    output = Output(arguments.json)
    with output.console.status("following gradients back …"):
        title, subtitle, flows = _fresh(arguments) if arguments.run is None else _trained(arguments, arguments.run)
    records = {name: flow.record() for name, flow in flows.items()}
    if arguments.run is None:
        folder = arguments.out or free_folder(f"flow-{arguments.memory}")
    else:
        folder = arguments.out or arguments.run / "flow"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"The folder {folder} cannot be made.", f"{error.strerror or error}.", "Choose another --out."
        ) from error
    page = write_page(
        flow_page(title, subtitle, records, shlex.join(["throughtime", "flow", *argv])), folder / "report.html"
    )
    output.console.print(Text(title, style="bold"))
    for name, record in records.items():
        output.console.print()
        _show(name if len(records) > 1 else "", record, output)
    output.console.print()
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    output.result({"report": str(page), "title": title, "networks": records})
    return 0


def _fresh(arguments: FlowArguments) -> tuple[str, str, dict[str, Flow]]:
    """A new memory on random inputs."""
    key_memory, key_xs, key_loss = jax.random.split(jax.random.key(arguments.seed or 0), 3)
    T, B = arguments.length, arguments.sequences
    options: dict[str, Any] = dict(arguments.memory_options)
    memory = make_memory(
        arguments.memory,
        arguments.input_size,
        arguments.hidden_size,
        num_layers=arguments.num_layers,
        key=key_memory,
        **options,
    )
    xs = jax.random.normal(key_xs, (T, B, arguments.input_size))
    d_ys = jax.random.normal(key_loss, (T, B, memory.output_size))
    if arguments.loss == "last":
        d_ys = jnp.zeros_like(d_ys).at[-1].set(d_ys[-1])
    flow = measure_flow(
        memory, memory.initial_state(B), xs, jnp.zeros((T, B), bool), d_ys, required_lag=arguments.required_lag
    )
    words = "".join(f", {name} {value}" for name, value in arguments.memory_options.items())
    layers = "" if arguments.num_layers == 1 else f"{arguments.num_layers} layers of "
    title = f"Gradient flow through {layers}{memory_name(arguments.memory)}, {arguments.hidden_size} units{words}"
    where = "every step" if arguments.loss == "every" else "the last step"
    subtitle = (
        f"Fresh weights, random inputs, and a random linear loss of the output at {where}: {B} sequences of {T} steps."
    )
    return title, subtitle, {"network": flow}


def _trained(arguments: FlowArguments, path: Path) -> tuple[str, str, dict[str, Flow]]:
    """The policy of a run, on the rollout that would come next."""
    if (path / "results.json").exists() and not (path / "config.toml").exists():
        raise RunFolderError(
            f"{path} is the folder of a task.",
            "It holds scores and a report, and no model to look at.",
            "Train again with throughtime task … --flow every=N, which looks while training.",
        )
    trained = load_run(path)
    agent, state = trained.config.build(trained.env), trained.state
    if arguments.seed is not None:
        state = state._replace(key=jax.random.key(arguments.seed))
    flows = Microscope(agent, sequences=arguments.sequences, max_sources=64, jacobian_rows=2).measure(state)
    title = f"Gradient flow of {memory_owner(trained.config)} on {trained.env.name}"
    loss = "PPO's own loss" if trained.config.algo == "ppo" else f"The loss of {algorithm(trained.config.algo).title}"
    subtitle = f"{loss} on a rollout of the policy after {trained.steps:,} environment steps."
    return title, subtitle, flows


def _check(arguments: FlowArguments, argv: list[str]) -> None:
    foreign = ", ".join(given(argv, *FRESH))
    if arguments.run is not None and foreign:
        raise ConfigError(
            f"{foreign} beside the run {arguments.run}",
            "A run has its own memory, inputs, loss and required lag; these options are for a fresh memory.",
            "Leave them out, or leave out the run.",
        )
    for name, least in (("length", 2), ("sequences", 1), ("num_layers", 1), ("required_lag", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}", "", f"Set --{name.replace('_', '-')} to {least} or more.")


def _show(name: str, record: dict[str, Any], output: Output) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right", no_wrap=True)
    for row in figures_table(record):
        table.add_row(*(Text(cell) for cell in row))
    if name:
        output.console.print(Text(name.capitalize(), style="bold"))
    output.console.print(table)
    output.console.print()
    verdict = record["verdict"]
    output.console.print(Text.assemble((f"{verdict['headline']}. ", "bold"), " ".join(verdict["sentences"])))
