"""The results as one self-contained page."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np

from throughtime.reports.lines import Axis, Line, lines_figure
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table, write_page
from throughtime.reports.results.figure import Mark, colours, intervals_figure
from throughtime.reports.results.markdown import notes
from throughtime.reports.results.rows import FLOOR, OPTIMUM, bar_rows, head, overall_rows, rows, source
from throughtime.reports.results.table import Results, Task, curves


def write_results_page(results: Results, path: Path) -> Path:
    """Writes the page; the folder exists.

    Raises:
        RunFolderError: it cannot be written.
    """
    sections = []
    colour = colours([(entry.label, entry.role) for task in results.tasks for entry in task.entries])
    columns, body = bar_rows(results)
    if body:
        sections.append(section("Bars", paragraph(_bars(results)), table(columns, body, "Bars")))
    if results.overall:
        columns, body = overall_rows(results)
        sections.append(
            section(
                "All tasks",
                paragraph(_reading(results), lead=True),
                _intervals(
                    [Mark(row.label, colour[row.label], row.estimate) for row in results.overall],
                    [("without a memory", 0.0), ("optimum", 1.0)],
                    "overall",
                    "0: the best without a memory, 1: optimal",
                    "Interquartile mean over all runs of all tasks, and its 95% interval.",
                ),
                table(columns, body, "All tasks"),
            )
        )
    for number, task in enumerate(results.tasks):
        sections.append(_task(results, task, f"task-{number}", colour))
    if results.failures:
        sections.append(
            section("Failed", bullets([f"{name}: {' '.join(why.split())}" for name, why in results.failures]))
        )
    again = [results.replay(run) for task in results.tasks for entry in task.entries for run in entry.runs]
    listing = "\n".join(command_line(command) for command in again)
    unfinished = (
        f"{results.unfinished} runs are not finished: the command goes on with them." if results.unfinished else ""
    )
    sections += [
        section(
            "How to reproduce",
            command_line(results.command),
            paragraph(unfinished) if unfinished else "",
            f"<details><summary>{escape(f'Each of the {len(again)} runs by itself')}</summary>{listing}</details>"
            if again
            else "",
        ),
        section("How this was measured", bullets(notes(results))),
    ]
    return write_page(page(results.title, _subtitle(results), sections), path)


def _subtitle(results: Results) -> str:
    runs = [run for task in results.tasks for entry in task.entries for run in entry.runs]
    steps = sum(run.score.steps for run in runs)
    tasks = "one task" if len(results.tasks) == 1 else f"{len(results.tasks)} tasks"
    return f"{len(runs)} trainings on {tasks}, {steps:,} environment steps in all."


def _reading(results: Results) -> str:
    best = max(results.overall, key=lambda row: row.estimate.value)
    share = f"{best.estimate.value:.0%}".replace("-", "−")
    return f"{best.label} comes furthest: {share} of the way from memoryless to optimal over {best.tasks} tasks."


def _bars(results: Results) -> str:
    asked = [task for task in results.tasks if task.bar is not None]
    reached = {row[0] for row in bar_rows(results)[1] if row[5] == "yes"}
    return f"{len(reached)} of {len(asked)} bars are reached by some agent, on every seed."


def _task(results: Results, task: Task, name: str, colour: Mapping[str, str]) -> str:
    note = paragraph(task.note) if task.note else ""
    if not task.entries:
        return section(task.title, note, paragraph("No run is finished."))
    known = [(OPTIMUM, task.env.optimal_return), (FLOOR, task.env.memoryless_return)]
    references = [(label, value) for label, value in (*known, ("bar", task.bar)) if value is not None]
    lines = []
    for entry in task.entries:
        steps, returns = curves(entry, results.folder)
        seen = np.isfinite(returns).any(axis=0)
        if seen.any():
            mean = np.nanmean(returns[:, seen], axis=0)
            lines.append(Line(entry.label, steps[seen].tolist(), mean.tolist(), colour[entry.label]))
    parts = [
        _intervals(
            [Mark(entry.label, colour[entry.label], entry.estimate) for entry in task.entries],
            references,
            f"{name}-returns",
            "return",
            "Interquartile mean over seeds of the final policies' returns, and its 95% interval.",
        ),
        table(head(results), rows(results, task), task.title),
    ]
    if lines:
        wide, narrow = (
            lines_figure(
                lines,
                Axis("environment steps"),
                Axis("mean return of finished episodes"),
                f"{name}-curves",
                f"Learning curves on {task.title}",
                references=references,
                narrow=narrow,
            )
            for narrow in (False, True)
        )
        parts.append(figure(wide, narrow, "Returns while training, actions drawn: the mean over seeds."))
    return section(task.title, note, *parts, bullets([source(row) for row in task.published]) if task.published else "")


def _intervals(marks: list[Mark], references: list[tuple[str, float]], name: str, unit: str, caption: str) -> str:
    wide, narrow = (intervals_figure(marks, references, name, unit, narrow=narrow) for narrow in (False, True))
    return figure(wide, narrow, caption)
