"""A figure of lines with a name each: losses over updates, scores over lags."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from throughtime.reports.figures import short_steps, spread
from throughtime.reports.flow.axes import log_ticks, whole_ticks
from throughtime.reports.svg import GREY, INK, NARROW, WIDE, axes_at, inline_svg, text_at

COLOURS = ("#0072b2", "#d55e00", "#00875f", "#cc79a7", "#a07800", "#3d9fd6", "#1f2328")
"""Okabe and Ito's palette, the pale ones darkened, for colour-blind readers."""
MARKS = ("o", "s", "^", "D", "v", "P", "X")

LEAST = 0.02
"""Powers of ten that a logarithmic axis spans at least (5%): a line that hardly changes looks flat."""


@dataclass(frozen=True)
class Line:
    """One line of the figure. Lines of one label are drawn alike, and named once."""

    label: str
    x: Sequence[int | float]
    y: Sequence[int | float]
    colour: str | None = None
    """By default one of `COLOURS`, by the order of the labels."""


@dataclass(frozen=True)
class Axis:
    """What an axis shows; `low` and `high` in its own units, for axes that are not logarithmic."""

    label: str
    log: bool = False
    low: int | float | None = None
    high: int | float | None = None


def lines_figure(
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    name: str,
    title: str,
    *,
    references: Sequence[tuple[str, int | float]] = (),
    marks: bool = False,
    narrow: bool = False,
) -> str:
    """Lines, named at their right ends (wide) or above the frame (narrow).

    Args:
        lines: at least one, with at least one finite point.
        x: the horizontal axis.
        y: the vertical axis; where it is logarithmic, only positive values are drawn.
        name: unique in the page; letters, digits and hyphens.
        title: of the figure, shown on hover and read out.
        references: (name, value) of dashed horizontal lines.
        marks: draws the points.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    labels = list(dict.fromkeys(line.label for line in lines))
    width, height = (NARROW, 300 + 18 * len(labels)) if narrow else (WIDE, 380)
    left, right, bottom = (46, 14, 42) if narrow else (60, 230, 42)
    top = 28 + (18 * len(labels) if narrow else 0)
    style = {label: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, label in enumerate(labels)}
    style |= {line.label: (line.colour, style[line.label][1]) for line in lines if line.colour is not None}

    def drawn(values: Sequence[int | float], axis: Axis) -> np.ndarray:
        array = np.asarray(values, float)
        if not axis.log:
            return array
        return np.log10(np.where(array > 0, array, np.nan))

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        ends: list[tuple[str, str, float]] = []
        for line in lines:
            colour, mark = style[line.label]
            px, py = drawn(line.x, x), drawn(line.y, y)
            alone = np.isfinite(py).sum() == 1  # a line of one point would not be seen
            axes.plot(px, py, color=colour, linewidth=1.8, marker=mark if marks or alone else None, markersize=6)
            if line.label not in [label for label, _, _ in ends] and np.isfinite(py).any():
                ends.append((line.label, colour, float(py[np.isfinite(py)][-1])))
        for label, value in references:
            at = float(drawn([value], y)[0])
            axes.axhline(at, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
            ends.append((label, GREY, at))
        low, high = axes.get_ylim()
        if y.log and high - low < LEAST:
            low, high = (low + high - LEAST) / 2, (low + high + LEAST) / 2
        axes.set_ylim(y.low if y.low is not None else low, y.high if y.high is not None else high)
        axes.margins(x=0.02)
        if not x.log and (x.low is not None or x.high is not None):
            axes.set_xlim(x.low, x.high)
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines.left.set_visible(False)
        if y.log:
            log_ticks(axes, 7)
        if x.log:
            ticks = sorted({v for line in lines for v in line.x if v > 0})
            axes.set_xticks(np.log10(ticks), [f"{v:g}" for v in ticks])
        else:
            axes.xaxis.set_major_locator(whole_ticks(4 if narrow else 8))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short_steps(v)))
        text_at(figure, 0, 12, y.label, color=GREY, size=12)
        text_at(figure, width - right, height - 4, x.label, ha="right", color=GREY, size=12)
        _name(figure, axes.get_ylim(), ends)

    def _name(figure: Figure, limits: tuple[float, float], ends: list[tuple[str, str, float]]) -> None:
        if narrow:
            for i, (label, colour, _) in enumerate(ends):
                text_at(figure, left, 30 + 18 * i, f"— {label}", color=colour, size=12)
            return
        low, high = limits
        ends = sorted(ends, key=lambda end: -end[2])
        room = height - top - bottom
        places = [height - bottom - (np.clip(v, low, high) - low) / (high - low) * room for _, _, v in ends]
        for (label, colour, _), place in zip(
            ends, spread(np.array(places, float), 18, top + 6, height - bottom), strict=True
        ):
            text_at(
                figure, width - right + 10, place + 4, label, color=INK if colour == COLOURS[-1] else colour, size=12
            )

    return inline_svg(draw, f"{name}-{'narrow' if narrow else 'wide'}", width, height, title, title)
