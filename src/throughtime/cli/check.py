"""`throughtime check MODULE:NAME`."""

import contextlib
import sys
from dataclasses import asdict, dataclass

import tyro
from rich.markup import escape

from throughtime.cli._arguments import Json, parse
from throughtime.cli._load import load_object
from throughtime.cli._output import Output
from throughtime.core import ConfigError
from throughtime.proof.memcheck import GROUPS, all_laws, memcheck, memcheck_any


@dataclass(frozen=True)
class Check:
    """Checks whether your own policy, environment or rollout, in any framework, handles its memory correctly.

    The object is what `MODULE:NAME` or `path/to/file.py:NAME` names: an instance, a class, or a function without
    arguments that makes one. The exit status is 0 where every law that was checked holds, 1 where one is broken, 2
    where there was nothing to check.
    """

    target: tyro.conf.Positional[str | None] = None
    """A policy (or a rollout, or an environment): my_agent:policy, agents/lstm.py:make_policy."""
    env: str | None = None
    """An environment in the same form; it is checked too, and says what the policy's observations look like."""
    rollout: str | None = None
    """A recorded rollout in the same form."""
    observation_shape: tuple[int, ...] | None = None
    """Of one observation, where neither the policy nor an environment tells."""
    time: int = 12
    """Steps of the sequences: even, 6 or more."""
    batch: int = 4
    """Rows of the batches: 2 or more."""
    seed: int = 0
    """Of the observations drawn."""
    timeout: float = 60.0
    """Seconds that one call may take; 0 for no limit."""
    tolerance: float | None = None
    """Relative difference that counts as equal; by default what rounding explains."""
    laws: tyro.conf.FlagCreatePairsOff[bool] = False
    """Lists all laws with their explanations, and checks nothing."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Loads, checks, prints the table."""
    arguments: Check = parse(Check, "check", argv)
    output = Output(arguments.json)
    if arguments.laws:
        return _list(output)
    if arguments.target is None and arguments.env is None and arguments.rollout is None:
        raise ConfigError("check what?", "It takes MODULE:NAME.", "Such as: throughtime check my_agent:policy")
    options = {
        name: getattr(arguments, name)
        for name in ("observation_shape", "time", "batch", "seed", "timeout", "tolerance")
    }
    # The user's own prints would spoil the JSON object.
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():
        target, env, rollout = (
            None if name is None else load_object(name) for name in (arguments.target, arguments.env, arguments.rollout)
        )
        with output.console.status("checking …"):
            if env is None and rollout is None:
                report = memcheck_any(target, **options)
            else:
                report = memcheck(target, env, rollout, **options)
    output.console.print(report)
    output.result(report.json())
    return 0 if report.passed else 1


def _list(output: Output) -> int:
    groups = {group: all_laws(group) for group in GROUPS}
    for law in (law for laws in groups.values() for law in laws):
        said = f"[bold]{law.id}[/bold]  {escape(law.statement)}\n{escape(law.explanation)}\n"
        output.console.print(f"{said}Usual cause: {escape(law.usual_cause)}\n")
    output.result({group: [asdict(law) for law in laws] for group, laws in groups.items()})
    return 0
