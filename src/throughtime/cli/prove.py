"""`throughtime prove RUN`."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from throughtime.cli._arguments import Json, parse
from throughtime.cli._evidence import show_evidence
from throughtime.cli._output import Output, TrainingBar
from throughtime.core import RunFolderError
from throughtime.proof import Comparison, prove, train_twins, twins_of
from throughtime.proof.evidence import load_subject
from throughtime.reports import write_report
from throughtime.reports.build import comparison_report, runs_report
from throughtime.runs import Run
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.runs.folder import EVIDENCE_FILE, REPORT_FILE

NOT_SHOWN, AT_FAULT = 3, 4
STATUS = {
    "uses": 0,
    "none": NOT_SHOWN,
    "clock": NOT_SHOWN,
    "ignores": NOT_SHOWN,
    "harmful": AT_FAULT,
    "broken": AT_FAULT,
}


@dataclass(frozen=True)
class Prove:
    """Says with evidence whether, how far back and for what an agent uses its memory.

    Exit status: 0 where it uses its memory, 3 where that is not shown, 4 where its memory is broken or does harm.
    """

    run: tyro.conf.Positional[Path]
    """A run folder, a folder that train made with twins or several seeds, or one checkpoint."""
    episodes: int = 512
    """Episodes of each ablation, at least 16."""
    seed: int | None = None
    """Of the episodes; by default one that no training uses."""
    train_twins: bool = False
    """First trains the twins that are missing: memoryless, short window, and one that sees the hidden state."""
    out: Path | None = None
    """The folder for evidence.json and report.html; by default the run's own."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Measures, prints, writes evidence.json and the report."""
    arguments = parse(Prove, "prove", argv)
    output, path = Output(arguments.json), arguments.run
    enable_compilation_cache()
    if arguments.train_twins and not _trained(path, output):
        return 130
    with output.console.status("loading …") as status:
        subject = load_subject(path)
        evidence = prove(
            subject,
            episodes=arguments.episodes,
            seed=arguments.seed,
            stage=lambda words: status.update(f"{words} …"),
        )
        record = evidence.record()
        written = _write(subject, record, arguments.out, shlex.join(["throughtime", "prove", *argv]), status, output)
    show_evidence(record, output.console)
    if written is not None:
        output.console.print()
        output.console.print(f"Report: {written}", soft_wrap=True, markup=False)
    output.result({"folder": str(path), "report": None if written is None else str(written), **record})
    return STATUS[record["verdict"]["kind"]]


def _trained(path: Path, output: Output) -> bool:
    """Trains what is missing; False where a signal ended it."""
    if path.suffix == ".safetensors":
        raise RunFolderError(f"{path} is one checkpoint.", "Its twins would have no place.", "Name its run folder.")
    with TrainingBar(output.console) as bar:
        done = train_twins(path, progress=bar.update)
    if done.interrupted is not None:
        output.console.print("Interrupted and saved. The same command goes on.")
    return done.interrupted is None


def _write(
    subject: Run | Comparison, record: dict[str, Any], out: Path | None, command: str, status: Any, output: Output
) -> Path | None:
    """Writes evidence.json and the report; None where there is no folder to write them into."""
    folder = out or subject.path
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        output.write(record, folder / EVIDENCE_FILE)
    except OSError as error:
        raise RunFolderError(
            f"{folder} cannot be written.", f"{error.strerror or error}.", "Choose another --out."
        ) from error
    status.update("drawing …")
    if isinstance(subject, Run):
        report = runs_report([subject, *(twin.runs[0] for twin in twins_of(subject))], command, evidence=record)
    else:
        report = comparison_report(subject, command, evidence=record)
    return write_report(report, folder / REPORT_FILE)
