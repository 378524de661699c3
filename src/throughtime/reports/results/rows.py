"""The cells of the tables: the same for Markdown, for the page and for the terminal."""

from collections.abc import Callable

import numpy as np

from throughtime.reports.interquartile import Estimate
from throughtime.reports.numbers import formatter
from throughtime.reports.results.published import Published
from throughtime.reports.results.table import Results, Task

OPTIMUM, FLOOR = "best of all policies", "best without a memory"

NOTES = (
    "Returns are of the final policies with their most probable actions, on fresh episodes that no training uses, in "
    "the environment's own discount.",
    "IQM: the interquartile mean over seeds, with its 95% interval by stratified bootstrap over trainings (Agarwal et "
    "al. 2021). With fewer than four seeds no score is dropped, and the interval is narrower than it should be.",
    "Over several tasks a return counts as a share: 0 for the best policy without a memory, 1 for the best of all. "
    "Only tasks for which both are known take part.",
    "Seconds are of one training, its compilation included; so many ran side by side as there were workers.",
    "Published numbers are as their sources give them; budgets and machines differ.",
)
BAR_NOTE = (
    "A bar is reached where the final policy of every seed reaches it, and not yet where some are still to be trained; "
    "memoryless policies are not measured by it."
)
MMER_NOTE = (
    "MMER is POPGym's metric: the maximum over epochs of 65,536 steps of the mean return of training episodes, "
    "averaged over seeds. It is of the best moment of training, not of the final policy."
)


def head(results: Results) -> list[str]:
    """The names of the columns of a task's table."""
    mmer = ["MMER"] if results.mmer else []
    return ["", "IQM", "95% interval", "mean", "worst seed", "best seed", *mmer, "seeds", "steps", "seconds"]


def rows(results: Results, task: Task) -> list[list[str]]:
    """The rows of a task's table: what is known, then what was trained, then what others have published."""
    show = formatter(
        [
            *(value for entry in task.entries for value in (*entry.returns, entry.mmer)),
            task.env.optimal_return,
            task.env.memoryless_return,
            *(row.value for row in task.published),
        ]
    )
    width = len(head(results)) - 2
    found = []
    for name, value in ((OPTIMUM, task.env.optimal_return), (FLOOR, task.env.memoryless_return)):
        if value is not None:
            found.append([name, show(value), *[""] * width])
    for entry in task.entries:
        estimate, returns = entry.estimate, entry.returns
        seeds = f"{len(entry.runs)}" + (f" of {len(entry.runs) + entry.missing}" if entry.missing else "")
        mmer = [show(entry.mmer)] if results.mmer else []
        found.append(
            [
                entry.label,
                show(estimate.value),
                interval(estimate, show),
                show(float(np.mean(returns))),
                show(float(returns.min())),
                show(float(returns.max())),
                *mmer,
                seeds,
                f"{entry.steps:,}",
                f"{entry.seconds:,.0f}",
            ]
        )
    for row in task.published:
        steps = "" if row.steps is None else f"{row.steps:,}"
        found.append([f"published: {row.who}", show(row.value), *[""] * (width - 2), steps, ""])
    return found


def overall_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table over all tasks."""
    return ["", "IQM of shares", "95% interval", "tasks", "runs"], [
        [
            row.label,
            f"{row.estimate.value:.3f}".replace("-", "−"),
            interval(row.estimate, _three),
            str(row.tasks),
            str(row.runs),
        ]
        for row in results.overall
    ]


def bar_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of bars: every agent with a memory on every task that has one."""
    found = []
    for task in results.tasks:
        if task.bar is None:
            continue
        entries = [entry for entry in task.entries if entry.role not in ("memoryless", "state")]
        if not entries:
            found.append([task.title, f"≥ {formatter([task.bar])(task.bar)}", "none yet", "–", "–", "not yet", "", ""])
        for entry in entries:
            show = formatter([task.bar, *entry.returns])
            count, seeds = entry.reaching(task.bar), len(entry.runs) + entry.missing
            found.append(
                [
                    task.title,
                    f"≥ {show(task.bar)}",
                    entry.label,
                    ", ".join(show(float(value)) for value in entry.returns),
                    f"{count} of {seeds}",
                    "yes" if count == seeds else "not yet" if count == len(entry.runs) else "no",
                    f"{entry.steps:,}",
                    f"{entry.seconds:,.0f}",
                ]
            )
    return ["", "bar", "agent, memory", "each seed", "seeds", "reached", "steps", "seconds"], found


def interval(estimate: Estimate, show: Callable[[float | None], str]) -> str:
    """Both ends, as in 0.98 to 1.00; a dash where there is none."""
    if np.isnan(estimate.low):
        return "–"
    return f"{show(estimate.low)} to {show(estimate.high)}"


def source(row: Published) -> str:
    """Where a published number stands."""
    return f"{row.who}: {row.value:g}" + (f" ({row.spread})" if row.spread else "") + f". {row.source}."


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")
