"""`throughtime report RUN…`."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from throughtime.cli._arguments import EnvCode, Json, parse, trust_code
from throughtime.cli._finish import show
from throughtime.cli._output import Output
from throughtime.core import ConfigError
from throughtime.proof import is_comparison, load_comparison
from throughtime.reports import write_report
from throughtime.reports.build import comparison_report, runs_report
from throughtime.runs import load_run


@dataclass(frozen=True)
class Report:
    """Writes one self-contained HTML report of finished runs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders of one environment, or one folder that train made with twins."""
    out: Path | None = None
    """The file; by default report.html in the first folder."""
    env: EnvCode = None
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Evaluates the final policies anew and writes the page."""
    arguments = parse(Report, "report", argv)
    trust_code(arguments.env)
    if not arguments.runs:
        raise ConfigError("report needs a run.", "", "Name one or more run folders.")
    output, first = Output(arguments.json), arguments.runs[0]
    command = shlex.join(["throughtime", "report", *argv])
    with output.console.status("evaluating …"):
        if is_comparison(first):
            if len(arguments.runs) > 1:
                raise ConfigError(f"{first} holds several runs already.", "", "Report it alone, or name run folders.")
            report = comparison_report(load_comparison(first), command)
        else:
            runs = [load_run(path) for path in {path.resolve(): path for path in arguments.runs}.values()]
            tasks = {str(trained.env) for trained in runs}
            if len(tasks) > 1:
                raise ConfigError(
                    f"The runs are of different environments: {', '.join(sorted(tasks))}.",
                    "Their returns cannot be compared.",
                    "Report each environment by itself.",
                )
            report = runs_report(runs, command)
    page = write_report(report, arguments.out or first / "report.html")
    show(report, output, str(page), str(first))
    return 0
