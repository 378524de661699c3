"""What a memory knows, as sections of a page: scores beside their controls, memory states in the plane, one episode."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from throughtime.reports.belief_curve import curve_section
from throughtime.reports.lines import Axis, Line, lines_figure
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table
from throughtime.reports.svg import GREY, NARROW, WIDE, axes_at, inline_svg, text_at
from throughtime.runs.belief import BeliefProbe, Embedding, Row
from throughtime.runs.belief_curve import BeliefCurve

NOTES = (
    "Probes are fitted on some of the policy's own episodes and scored on others, with another seed. The linear probe "
    "is ridge regression (or softmax regression, for distributions), the small network has a hidden layer of 64 units.",
    "KL is the mean of KL(exact belief ‖ probed belief) in nats; a Gaussian belief is probed for its mean and credited "
    "with its exact covariance.",
    "Controls: the same network before its first update, reading the same inputs; the present observation alone; that "
    "and the action before it; the memory's state at another step of another episode (shuffled).",
)
_COLOURS = colormaps["cividis"]


def belief_page(probe: BeliefProbe, title: str, command: str, curve: BeliefCurve | None = None) -> str:
    """A page on what one memory knows.

    Args:
        probe: what was measured.
        title: whose memory.
        command: the command line that makes it again.
        curve: how it came to know it, where that was measured.
    """
    head, rows = score_table(probe)
    parts = [
        section("What can be read from the memory", paragraph(reading(probe), lead=True), table(head, rows, "Probes")),
        "" if curve is None else curve_section(curve),
        section("One held-out episode", _episode(probe)),
        section("States of the memory", _embedding(probe)),
        section("How to reproduce", command_line(command)),
        section("How this was measured", bullets(NOTES)),
    ]
    return page(title, f"{probe.steps:,} held-out steps on {probe.environment}.", parts)


def score_table(probe: BeliefProbe) -> tuple[list[str], list[list[str]]]:
    """Head and rows, for a page or a terminal."""
    head, count = ["Read from, by", "KL to the exact belief"], 0
    if probe.rows[0].state_r2 is None:
        head.append("Hidden state, accuracy")
    else:
        count = len(probe.rows[0].state_r2)
        head += [f"Hidden state {i + 1}, R²" for i in range(count)]
    rows = [[f"{row.source}, {row.model}", *_cells(row)] for row in probe.rows]
    if probe.exact is not None:
        rows.append(["the exact belief itself", "–", *_cells(probe.exact)[1:]])
    if all(row.belief_kl is None for row in probe.rows):
        head.pop(1)
        rows = [[first, *rest[1:]] for first, *rest in rows]
    return head, rows


def reading(probe: BeliefProbe) -> str:
    """The figures in a sentence or two, and no more than they say."""
    sources = {row.source for row in probe.rows}
    row = probe.rows[0]
    said = []
    if row.belief_kl is not None:
        said.append(f"The {row.model} probe reads the exact belief to {row.belief_kl:.2g} nats.")
        if "untrained" in sources:
            other = probe.row("untrained", row.model).belief_kl
            if other is not None and row.belief_kl > 0:
                said.append(f"From the untrained network it is {other:.2g}, {other / row.belief_kl:.3g} times as much.")
    if row.mean_r2 is not None:
        said.append(f"Of the hidden state's variance it explains {row.mean_r2:.1%}")
        if probe.exact is not None and probe.exact.mean_r2:
            said[-1] += f", {row.mean_r2 / probe.exact.mean_r2:.1%} of what the exact belief explains"
        said[-1] += "."
    if row.state_accuracy is not None:
        said.append(f"It names the hidden state in {row.state_accuracy:.1%} of the steps")
        if probe.exact is not None and probe.exact.state_accuracy is not None:
            said[-1] += f", the exact belief in {probe.exact.state_accuracy:.1%}"
        said[-1] += "."
    return " ".join(said)


def _cells(row: Row) -> list[str]:
    kl = "–" if row.belief_kl is None else f"{row.belief_kl:.2g}"
    if row.state_r2 is not None:
        return [kl, *(f"{value:.3f}".replace("-", "−") for value in row.state_r2)]
    return [kl, "–" if row.state_accuracy is None else f"{row.state_accuracy:.1%}"]


def _episode(probe: BeliefProbe) -> str:
    episode = probe.episode
    steps = range(len(episode.probed))
    index = episode.probed.shape[1] - 1 if episode.hidden.ndim == 1 else 0
    lines = []
    if episode.exact is not None:
        lines.append(Line("exact", list(steps), episode.exact[:, index].tolist()))
    lines.append(Line("probed", list(steps), episode.probed[:, index].tolist()))
    if episode.hidden.ndim == 1:
        y = Axis(f"probability of hidden state {index}", low=-0.02, high=1.02)
        caption = f"Belief in hidden state {index} (of {index + 1}, from 0) along one held-out episode."
    else:
        lines.append(Line("true", list(steps), episode.hidden[:, 0].tolist()))
        y, caption = Axis("hidden state 1"), "The first number of the hidden state along one held-out episode."
    caption += " Probed: read by the linear probe from the memory's state."
    drawn = [
        lines_figure(lines, Axis("step"), y, "belief-episode", "Belief along one episode", narrow=narrow)
        for narrow in (False, True)
    ]
    return figure(drawn[0], drawn[1], caption)


def _embedding(probe: BeliefProbe) -> str:
    e = probe.embedding
    shown: list[tuple[str, np.ndarray]] = []
    if e.hidden.ndim == 1:
        shown.append(("true hidden state", e.hidden.astype(float)))
        if e.belief is not None:
            shown.append((f"exact belief in state {e.belief.shape[1] - 1}", e.belief[:, -1]))
    else:
        shown += [(f"true hidden state {i + 1}", e.hidden[:, i]) for i in range(min(2, e.hidden.shape[1]))]
    caption = (
        f"{len(e.points):,} held-out states of the memory in the plane in which they vary most "
        f"({e.shares[0]:.0%} and {e.shares[1]:.0%} of the variance), coloured from the lowest value (dark) to the "
        "highest (bright)."
    )
    return figure(_scatter(e, shown, False), _scatter(e, shown, True), caption)


def _scatter(e: Embedding, shown: Sequence[tuple[str, np.ndarray]], narrow: bool) -> str:
    width = NARROW if narrow else WIDE
    columns = 1 if narrow else len(shown)
    side = (width - 24 * (columns - 1)) // max(columns, 2) if not narrow else width
    height = (side + 26) * (len(shown) if narrow else 1)

    def draw(fig: Figure) -> None:
        for i, (name, values) in enumerate(shown):
            left, top = (0, i * (side + 26)) if narrow else (i * (side + 24), 0)
            text_at(fig, left, top + 14, name, color=GREY, size=12)
            axes = axes_at(fig, left, top + 24, side, side)
            axes.scatter(*e.points.T, c=values, s=5, cmap=_COLOURS, linewidths=0, rasterized=True)
            axes.set(xticks=[], yticks=[])

    name = f"belief-states-{'narrow' if narrow else 'wide'}"
    said = ", ".join(name for name, _ in shown)
    return inline_svg(draw, name, width, height, "States of the memory", f"Principal plane, coloured by {said}.")
