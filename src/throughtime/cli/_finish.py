"""What follows a training: evaluation, evidence, report, summary, exit status."""

from pathlib import Path
from typing import Any

from rich.text import Text

from throughtime.cli._evidence import verdict_text
from throughtime.cli._output import Output
from throughtime.proof import Comparison
from throughtime.proof import prove as measure
from throughtime.reports import Report, summary, write_report
from throughtime.reports.build import comparison_report, runs_report
from throughtime.runs import Run
from throughtime.runs.folder import EVIDENCE_FILE


def finish(trained: Run | Comparison, path: Path, command: str, output: Output, *, prove: bool | None = None) -> int:
    """Evaluates, writes `report.html`, prints the table or the JSON object; 128 + n after signal n.

    Args:
        trained: what was trained.
        path: its folder.
        command: the command line that makes it again.
        output: where to print.
        prove: whether to measure how the memory is used, too; None: where there are twins to compare it with.
    """
    if trained.interrupted is not None:
        output.console.print(f"Interrupted and saved. Go on with: throughtime resume {path}")
        output.result({"folder": str(path), "interrupted": True})
        return 128 + trained.interrupted
    record = None
    with output.console.status("evaluating …") as status:
        if prove is None:
            prove = isinstance(trained, Comparison) and len(trained.entries) > 1
        if prove:
            evidence = measure(trained, stage=lambda words: status.update(f"{words} …"))
            record = evidence.record()
            output.write(record, path / EVIDENCE_FILE)
        if isinstance(trained, Run):
            report = runs_report([trained], command, evidence=record)
        else:
            report = comparison_report(trained, command, evidence=record)
    show(report, output, str(write_report(report, path / "report.html")), str(path), record)
    return 0


def show(report: Report, output: Output, page: str, folder: str, evidence: dict[str, Any] | None = None) -> None:
    """The summary for people and the JSON object for programs."""
    output.console.print()
    summary(report, output.console)
    output.console.print()
    if evidence is not None:
        output.console.print(verdict_text(evidence))
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
            "verdict": None if evidence is None else evidence["verdict"],
        }
    )
