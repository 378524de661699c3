"""`throughtime resume RUN`."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from throughtime.cli._arguments import EnvCode, Json, parse, trust_code
from throughtime.cli._finish import finish
from throughtime.cli._output import Output, TrainingBar
from throughtime.proof import is_comparison, resume_comparison
from throughtime.runs import resume


@dataclass(frozen=True)
class Resume:
    """Goes on with an interrupted training; the result equals the uninterrupted one's, bit for bit."""

    run: tyro.conf.Positional[Path]
    """The folder that train made."""
    env: EnvCode = None
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Goes on with a training, or with the agent and twins of one command."""
    arguments = parse(Resume, "resume", argv)
    trust_code(arguments.env)
    path, output = arguments.run, Output(arguments.json)
    with TrainingBar(output.console) as bar:
        if is_comparison(path):
            trained = resume_comparison(path, progress=bar.update)
        else:
            trained = resume(path, progress=lambda p: bar.update("resumed", 0, p))
    return finish(trained, path, shlex.join(["throughtime", "resume", *argv]), output)
