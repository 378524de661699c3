"""`results.md`."""

from collections.abc import Sequence

from throughtime.reports.results.rows import BAR_NOTE, MMER_NOTE, NOTES, bar_rows, head, overall_rows, rows, source
from throughtime.reports.results.table import Results


def results_markdown(results: Results) -> str:
    """The tables as a page of Markdown, as documentation has it."""
    parts = [f"# {results.title}", _code(results.command)]
    columns, body = bar_rows(results)
    if body:
        parts += ["## Bars", _table(columns, body)]
    if results.overall:
        columns, body = overall_rows(results)
        parts += ["## All tasks", _table(columns, body)]
    for task in results.tasks:
        parts.append(f"## {task.title}")
        if task.note:
            parts.append(task.note)
        if task.entries:
            parts.append(_table(head(results), rows(results, task)))
        else:
            parts.append("No run is finished.")
        if task.published:
            parts.append("\n".join(f"- {source(row)}" for row in task.published))
    if results.failures:
        parts.append("## Failed")
        parts.append("\n".join(f"- {name}: {' '.join(why.split())}" for name, why in results.failures))
    if results.unfinished:
        parts.append(f"{results.unfinished} runs are not finished: the command above goes on with them.")
    parts += ["## How this was measured", "\n".join(f"- {note}" for note in notes(results))]
    commands = [results.replay(run) for task in results.tasks for entry in task.entries for run in entry.runs]
    if commands:
        parts += ["## Each run again", _code("\n".join(commands))]
    return "\n\n".join(parts) + "\n"


def notes(results: Results) -> list[str]:
    """How it was measured."""
    bars = [BAR_NOTE] if any(task.bar is not None for task in results.tasks) else []
    return [*NOTES, *bars, *([MMER_NOTE] if results.mmer else [])]


def _table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """First column flush left, the others right; padded, so that it can be read as it is."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *body)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def _code(text: str) -> str:
    return f"```text\n{text}\n```"
