"""Estimates with their intervals on one axis."""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from throughtime.reports.data import Role
from throughtime.reports.interquartile import Estimate
from throughtime.reports.numbers import formatter, shorten
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, axes_at, inline_svg, text_at

# After the roles' own: the colours of the second, third, … memory.
OTHERS = ("#a07800", "#3d9fd6", "#1f2328", "#cc79a7")


class Mark(NamedTuple):
    """One row of the figure."""

    label: str
    colour: str
    estimate: Estimate


def colours(entries: Sequence[tuple[str, Role]]) -> dict[str, str]:
    """A colour for each label: its role's where it is the first of it, the same in all figures of a page.

    Args:
        entries: (label, role).
    """
    seen, others, found = set(), cycle(OTHERS), {}
    for label, role in dict(entries).items():
        found[label] = ROLE_COLOURS[role] if role not in seen else next(others)
        seen.add(role)
    return found


def intervals_figure(
    marks: Sequence[Mark], references: Sequence[tuple[str, float]], name: str, unit: str, *, narrow: bool = False
) -> str:
    """A dot and a bar for each estimate, from top to bottom, with dashed reference lines.

    Args:
        marks: at least one.
        references: (name, value).
        name: unique in the page; letters, digits and hyphens.
        unit: what the axis shows.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width = NARROW if narrow else WIDE
    pitch, left, right = (44, 8, 64) if narrow else (30, 220, 84)
    top, plot = 18 * len(references) + 6, pitch * len(marks) + 8
    show = formatter([*(mark.estimate.value for mark in marks), *(value for _, value in references)])
    values = np.array([v for mark in marks for v in mark.estimate] + [value for _, value in references], float)
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    low, high = low - margin, high + margin

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, plot)
        axes.set(xlim=(low, high), ylim=(plot, 0), yticks=[])
        axes.spines.left.set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(axis="x")
        for index, (label, value) in enumerate(references):
            share = (value - low) / (high - low)
            axes.axvline(value, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
            side, gap = ("right", 4) if share > 0.5 else ("left", -4)
            place = left + share * (width - left - right) + gap
            text_at(figure, place, 18 * index + 12, f"{label} {show(value)}", ha=side, color=GREY, size=12)
        for index, mark in enumerate(marks):
            y = 4 + pitch * index + (32 if narrow else pitch / 2)
            if np.isfinite(mark.estimate.low):
                ends = (mark.estimate.low, mark.estimate.high)
                axes.plot(ends, [y, y], color=mark.colour, linewidth=4, alpha=0.4, solid_capstyle="round")
            axes.plot([mark.estimate.value], [y], "o", color=mark.colour, markersize=9, markeredgewidth=0)
            if narrow:
                box = {"color": "white", "pad": 1}
                text_at(figure, left, top + y - 14, shorten(mark.label, 36), color=INK, bbox=box)
            else:
                text_at(figure, 0, top + y + 4, shorten(mark.label, 28), color=INK)
            text_at(figure, width, top + y + 4, show(mark.estimate.value), ha="right", color=INK, weight="bold")
        text_at(
            figure, width - right, top + plot + 38, shorten(unit, 50 if narrow else 90), ha="right", color=GREY, size=12
        )

    said = "; ".join(f"{mark.label} {show(mark.estimate.value)}" for mark in marks)
    said += "".join(f"; {label} {show(value)}" for label, value in references)
    name = f"{name}-{'narrow' if narrow else 'wide'}"
    return inline_svg(draw, name, width, top + plot + 44, "Interquartile means", f"Interquartile mean: {said}.")
