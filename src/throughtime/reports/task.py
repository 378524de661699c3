"""The report on a supervised task: scores of all seeds, learning curves, and what they compare with."""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.core import RunFolderError
from throughtime.reports.flow import training_section
from throughtime.reports.instructions import instructions_section
from throughtime.reports.lines import Axis, Line, lines_figure
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table, write_page
from throughtime.runs.atomic import atomic_write
from throughtime.tasks import TaskResult
from throughtime.tasks.scan import Followed

DIVERGED = 10
"""An error of so many times the memoryless one is no failure to remember: training has diverged."""


@dataclass(frozen=True)
class TaskReport:
    """One task, one memory, one or more seeds."""

    results: tuple[TaskResult, ...]
    command: str

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, as plain values; null for what is not finite."""
        first = self.results[0]
        return {
            "task": first.task.name,
            "options": first.task.options(),
            "architecture": first.task.architecture,
            "required_lag": first.task.required_lag,
            "memoryless_score": floor_of(first),
            "beside_memory": first.task.beside_memory,
            "score": first.task.score,
            "higher_is_better": first.task.higher_is_better,
            "config": dataclasses.asdict(first.config),
            "command": self.command,
            "seeds": [
                {
                    "seed": r.seed,
                    "scores": {name: _finite(value) for name, value in r.scores.items()},
                    "updates": r.curve[-1].update,
                    "seconds": round(r.seconds, 2),
                    "skipped_updates": r.skipped,
                    "parameters": r.parameters,
                    "flow": [{"update": update, **flow.summary()} for update, flow in r.flows],
                    "examples": [example._asdict() for example in r.examples],
                    "curve": [[p.update, _finite(p.loss), _finite(p.validation_loss)] for p in r.curve],
                }
                for r in self.results
            ],
        }


def write_task_report(report: TaskReport, folder: Path) -> Path:
    """Writes `results.json` and `report.html`.

    Returns:
        The page's path.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "results.json") as file:
            file.write(json.dumps(report.as_json(), indent=1, allow_nan=False).encode())
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written.", f"{error}.", "Name another --out.") from error
    return write_page(render_task(report), folder / "report.html")


def verdict_of(results: Sequence[TaskResult]) -> str:
    """What came out, in one sentence."""
    task = results[0].task
    name = task.score.replace("_", " ")
    scores = [r.score for r in results]
    if not all(math.isfinite(score) for score in scores):
        bad = ", ".join(str(r.seed) for r in results if not math.isfinite(r.score))
        return f"The {name} of the final model is not a number (seed {bad})."
    worst = min(scores) if task.higher_is_better else max(scores)
    if len(scores) == 1:
        said = f"The {name} of the final model on held-out data is {show(scores[0])}"
    else:
        said = (
            f"The {name} of the final models on held-out data is {show(sum(scores) / len(scores))} on average over "
            f"{len(scores)} seeds, {show(worst)} at worst"
        )
    if task.architecture == "one-to-one":
        return f"{said}."  # one step: there is nothing to remember
    floor = floor_of(results[0])
    if task.beside_memory and results[0].config.memory == "none":
        true = "" if floor is None else f", which is {show(floor)}"
        return f"{said}; this is without recurrence, but with {task.beside_memory}: no memoryless floor{true}."
    if floor is None:
        return said + "; what a model without memory could reach is not known exactly."
    # Scores are means over a sample: what is within 2% of the floor is not told apart from it.
    better = worst > 1.02 * floor if task.higher_is_better else worst < 0.98 * floor
    beside = f"a model without memory reaches {show(floor)} at best"
    if not task.higher_is_better and worst > DIVERGED * floor:
        return f"{said}: training diverged ({beside})."
    return f"{said}; {beside}." if better else f"{said}: no better than without memory ({beside})."


def floor_of(result: TaskResult) -> float | None:
    """The memoryless score: the task's own or, where that depends on the data, what was measured on them."""
    known = result.task.memoryless_score
    return result.scores.get(f"memoryless_{result.task.score}") if known is None else known


def render_task(report: TaskReport) -> str:
    """The page."""
    first = report.results[0]
    task, name = first.task, first.task.score.replace("_", " ")
    head, *rows = score_table(report.results, floor=True)
    lines = [
        Line("validation loss", [p.update for p in r.curve], [p.validation_loss for p in r.curve])
        for r in report.results
    ]
    positive = all(v > 0 for line in lines for v in line.y if math.isfinite(v))
    wide, narrow = (
        lines_figure(
            lines,
            Axis("updates", low=0),
            Axis("validation loss", log=positive),
            "curves",
            "Learning curves",
            narrow=narrow,
        )
        for narrow in (False, True)
    )
    options = ", ".join(f"{key} {value}" for key, value in task.options().items()) or "none"
    notes = [
        f"{first.config.memory}, {first.config.hidden_size} units, {first.parameters:,} parameters; "
        f"options of the task: {options}.",
        "Scores are of the final model"
        + (" with the lowest validation loss" if first.config.keep_best else "")
        + " on data that played no part in training; validation data decided nothing else than when to stop"
        + (" and which model to keep (so a validation score is not a test score)." if first.config.keep_best else "."),
        "Seconds are wall clock: data, compilation (or its cache) and training.",
    ]
    if skipped := sum(r.skipped for r in report.results):
        notes.append(f"{skipped} updates were left out because their gradient was not finite.")
    if task.beside_memory:
        notes.append(
            f"Beside its memory the model sees {task.beside_memory}: --memory none measures what that is worth without "
            "recurrence, and is no memoryless floor."
        )
    if task.required_lag is not None:
        notes.append(f"The longest lag that the task needs is {task.required_lag} steps.")
    return page(
        f"{task.name}: {first.config.memory}",
        f"{task.summary[0].upper()}{task.summary[1:]} ({task.architecture}).",
        [
            section(
                _headline(report.results, name),
                paragraph(verdict_of(report.results), lead=True),
                table(head, rows, "Scores"),
            ),
            section(
                "Learning curves",
                figure(wide, narrow, "Loss on validation data while training, a line a seed."),
            ),
            *([instructions_section(followed)] if (followed := _followed(first)) else []),
            *(
                training_section(
                    f"seed {r.seed}",
                    [update for update, _ in r.flows],
                    [flow.record() for _, flow in r.flows],
                    f"seed-{r.seed}",
                    "updates",
                )
                for r in report.results
                if r.flows
            ),
            section("How to reproduce", command_line(report.command)),
            section("How this was measured", bullets(notes)),
        ],
    )


def score_table(results: Sequence[TaskResult], *, floor: bool = False) -> list[tuple[str, ...]]:
    """Head and rows of all scores, whichever there are fewer of in columns: scores or seeds.

    Args:
        results: of all seeds.
        floor: adds the memoryless score.
    """
    task, names = results[0].task, list(results[0].scores)
    lines = [("", *(name.replace("_", " ") for name in names), "updates", "seconds", "parameters")]
    lines += [
        (
            f"seed {r.seed}",
            *(show(r.scores[name]) for name in names),
            f"{r.curve[-1].update:,}",
            f"{r.seconds:,.1f}",
            f"{r.parameters:,}",
        )
        for r in results
    ]
    if floor and task.memoryless_score is not None:
        reached = (show(task.memoryless_score) if name == task.score else "" for name in names)
        lines.append(("without memory, at best", *reached, "", "", ""))
    return lines if len(lines) > len(lines[0]) else list(zip(*lines, strict=True))


def show(value: float) -> str:
    """Four digits, more where a value below 1 would read as 1; small numbers with a power of ten."""
    if not math.isfinite(value):
        return "–"
    if value and abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    if 0.99 < value < 1:
        return next(text for digits in range(4, 18) if float(text := f"{value:.{digits}g}") < 1)
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _followed(result: TaskResult) -> list[Followed]:
    return [example for example in result.examples if isinstance(example, Followed)]


def _headline(results: Sequence[TaskResult], name: str) -> str:
    scores = [r.score for r in results]
    many = len(scores) > 1
    return f"{name[0].upper()}{name[1:]} {show(sum(scores) / len(scores))}{' on average' * many}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
