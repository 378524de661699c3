"""The report of `throughtime task compare`: the guide's table of TDNN and RNN, with figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from throughtime.reports.lines import Axis, Line, lines_figure
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table, write_page
from throughtime.reports.task import show
from throughtime.tasks.compare import LEARNED, LONGER, MemoryRow


def guide_table(rows: Sequence[MemoryRow]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Head and rows of the guide's table, one column a memory."""
    top = max(rows[0].accuracies)

    def each(name: str, cell: Any) -> tuple[str, ...]:
        return (name, *(cell(row) for row in rows))

    def longer(row: MemoryRow) -> str:
        lag = row.learned_lag
        return "–" if lag is None else show(row.longer_accuracies[lag])

    def growth(row: MemoryRow) -> str:
        return "–" if row.flow.horizon.growth is None else f"{row.flow.horizon.growth:.3f}"

    return ["", *(row.label for row in rows)], [
        each("Structure", lambda r: "recurrent" if r.recurrent else "feedforward"),
        each("  parameters", lambda r: f"{r.parameters:,}"),
        each("  numbers carried from step to step", lambda r: f"{r.state_numbers:,}"),
        each(
            "Memory: steps back the output can depend on",
            lambda r: "unlimited" if r.window is None else str(r.window - 1),
        ),
        each(f"  longest echo learned (accuracy ≥ {LEARNED:g})", lambda r: _learned(r, top)),
        each(f"Training: ms per update, echo {top}", lambda r: f"{r.milliseconds:.2f}"),
        each(
            "  updates to learn the shortest echo (in fifties)",
            lambda r: "–" if r.learned_lag is None else f"{r.updates[min(r.updates)]:,.0f}",
        ),
        each("Gradients before training: horizon, steps", lambda r: str(r.flow.horizon)),
        each("  growth of the norm per step", growth),
        each(f"Flexibility: accuracy on {LONGER} times longer sequences", longer),
    ]


def write_compare(rows: Sequence[MemoryRow], command: str, folder: Path) -> Path:
    """Writes `report.html` into a folder that exists."""
    head, body = guide_table(rows)
    lags = sorted(rows[0].accuracies)
    reach = [
        lines_figure(
            [Line(row.label, lags, [row.accuracies[lag] for lag in lags]) for row in rows],
            Axis("lag of the echo, steps (logarithmic)", log=True),
            Axis("accuracy of the echo", low=0.15, high=1.03),
            "accuracy",
            "Accuracy of the echo by lag",
            references=[("a guess", 0.25)],
            marks=True,
            narrow=narrow,
        )
        for narrow in (False, True)
    ]
    back = [
        lines_figure(
            [Line(row.label, range(len(row.ratios)), row.ratios) for row in rows],
            Axis("lag k, steps"),
            Axis("‖∂Lₜ/∂hₜ₋ₖ‖, relative to lag 0", log=True),
            "gradients",
            "Gradient norm by lag",
            references=[("1% of lag 0", 0.01)],
            narrow=narrow,
        )
        for narrow in (False, True)
    ]
    html = page(
        "TDNN against RNN",
        "Say the symbol of k steps ago: a window of fixed length and networks that feed their state back.",
        [
            section(
                "What each of them is, and can do", paragraph(reading(rows), lead=True), table(head, body, "Table")
            ),
            section(
                "How far each of them reaches",
                figure(reach[0], reach[1], "Accuracy on held-out data after training on each lag, mean of the seeds."),
            ),
            section(
                "What gradients do on the way back",
                figure(back[0], back[1], "Before training, at the longest lag; where a line ends the gradient is 0."),
            ),
            section("How to reproduce", command_line(command)),
            section(
                "How this was measured",
                bullets(
                    [
                        "All memories have the same width, settings and budget; a training stops early when its "
                        "validation loss is below 1% of a guess's.",
                        "The symbols are four, all equally probable, so a guess is right in one case of four; the "
                        "first k steps of a sequence do not count.",
                        "A TDNN runs over sequences of any length, too: what is fixed is how far it sees.",
                    ]
                ),
            ),
        ],
    )
    return write_page(html, folder / "report.html")


def reading(rows: Sequence[MemoryRow]) -> str:
    """What the figures say, in two sentences."""
    top = max(rows[0].accuracies)
    windows = [row for row in rows if row.window is not None and row.learned_lag is not None]
    others = [row for row in rows if row.window is None]
    said = [
        f"{row.label} echoes up to {row.learned_lag} steps and sees {(row.window or 1) - 1} steps back: no training "
        "makes it see further."
        for row in windows
    ]
    reach = ", ".join(
        f"{row.label} "
        + ("none" if row.learned_lag is None else f"{row.learned_lag}{' or more' * (row.learned_lag == top)}")
        for row in others
    )
    return " ".join([*said, f"Nothing limits the others but learning: {reach}." if others else ""])


def _learned(row: MemoryRow, top: int) -> str:
    lag = row.learned_lag
    return "none" if lag is None else f"{lag} or more" if lag == top else str(lag)
