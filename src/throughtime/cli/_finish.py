"""What follows a training: evaluation, report, summary, exit status."""

from pathlib import Path

from rich.text import Text

from throughtime.cli._output import Output
from throughtime.proof import Comparison
from throughtime.reports import Report, summary, write_report
from throughtime.reports.build import comparison_report, runs_report
from throughtime.runs import Run


def finish(trained: Run | Comparison, path: Path, command: str, output: Output) -> int:
    """Evaluates, writes `report.html`, prints the table or the JSON object; 128 + n after signal n."""
    if trained.interrupted is not None:
        output.console.print(f"Interrupted and saved. Go on with: throughtime resume {path}")
        output.result({"folder": str(path), "interrupted": True})
        return 128 + trained.interrupted
    with output.console.status("evaluating …"):
        if isinstance(trained, Run):
            report = runs_report([trained], command)
        else:
            report = comparison_report(trained, command)
    show(report, output, str(write_report(report, path / "report.html")), str(path))
    return 0


def show(report: Report, output: Output, page: str, folder: str) -> None:
    """The summary for people and the JSON object for programs."""
    output.console.print()
    summary(report, output.console)
    output.console.print()
    output.console.print(Text(f"Report: {page}"), soft_wrap=True)
    rows = [
        {
            "label": row.label,
            "role": row.role,
            "mean_return": row.mean_return,
            "interval": row.interval,
            "episodes": row.episodes,
            "seeds": row.seeds,
            "parameters": row.parameters,
            "env_steps": row.env_steps,
            "steps_per_second": row.steps_per_second,
            "seconds": row.seconds,
        }
        for row in report.rows
    ]
    output.result(
        {
            "folder": folder,
            "report": page,
            "optimal_return": report.ceilings.optimal_return,
            "memoryless_return": report.ceilings.memoryless_return,
            "rows": rows,
        }
    )
