"""Return against how the memory's state is tampered with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from throughtime.reports.figures import spread
from throughtime.reports.flow.axes import above
from throughtime.reports.numbers import formatter
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, Px, axes_at, inline_svg, text_at

LOST = ROLE_COLOURS["memoryless"]
KEPT = ROLE_COLOURS["memory"]


def ablation_curves(record: Mapping[str, Any], *, narrow: bool = False) -> str:
    """Two panels: reset every k steps, noise of growing size; what swapped and frozen states give as lines in both.

    Args:
        record: as `Evidence.record` gives it, with ablations.
        narrow: for windows about as wide as a phone: the panels stand above each other.

    Returns:
        An `<svg>` element.
    """
    data, needed = record["ablations"], record["reach"]["required"]
    width = NARROW if narrow else WIDE
    left, gap, right, panel, head = (46, 62, 14, 190, 40) if narrow else (56, 56, 150, 250, 40)
    inner = width - left - right if narrow else (width - left - gap - right) // 2
    height = 2 * (head + panel) + gap + 44 if narrow else head + panel + 44
    points = [data["intact"], data["frozen"], data["swapped"], *data["reset_every"], *data["noise"]]
    ends = [v for p in points for v in p["interval"]]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 0.5
    references = [
        ("intact", data["intact"]["mean"], KEPT),
        ("swapped", data["swapped"]["mean"], LOST),
        ("frozen", data["frozen"]["mean"], GREY),
    ]

    def frame(axes: Axes) -> None:
        axes.set_ylim(low - margin, high + margin)
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines.left.set_visible(False)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        for (_, value, colour), dashes in zip(references, ((0, (3, 3)), (0, (1, 2)), (0, (5, 2))), strict=True):
            axes.axhline(value, color=colour, linewidth=1.2, linestyle=dashes)

    def draw(figure: Figure) -> None:
        _resets(figure, left, head, inner, panel, frame, data["reset_every"], needed)
        x, y = (left, head + panel + gap + 22) if narrow else (left + inner + gap, head)
        _noise(figure, x, y, inner, panel, frame, data["noise"])
        if not narrow:
            _name(figure, references, width - right + 10, head, panel, low - margin, high + margin)
        text_at(figure, 0, 12, "mean return", color=GREY, size=12)

    show = formatter([value for _, value, _ in references])
    said = ", ".join(f"{name} {show(value)}" for name, value, _ in references)
    name = f"evidence-ablations-{'narrow' if narrow else 'wide'}"
    return inline_svg(draw, name, width, height, "Return without the memory's content", f"Mean return: {said}.")


def _resets(figure: Figure, left: Px, top: Px, width: Px, height: Px, frame: Any, points: Any, needed: Any) -> None:
    axes = axes_at(figure, left, top, width, height)
    frame(axes)
    ks = np.array([p["k"] for p in points], float)
    x = np.log2(ks)
    low, high = -0.25, max(float(x[-1]), 1.0) + 0.25
    axes.set_xlim(low, high)
    if needed:
        axes.axvline(np.log2(needed), color=INK, linewidth=1.2)
        above(figure, f"task needs {needed}", (np.log2(needed) - low) / (high - low), left, width, top - 6, INK)
    _points(axes, x, points)
    powers = [k for k in ks if float(np.log2(k)).is_integer()]
    axes.set_xticks(np.log2(powers), [f"{k:g}" for k in powers])
    text_at(figure, left + width, top + height + 36, "state reset every k steps", ha="right", color=GREY, size=12)


def _noise(figure: Figure, left: Px, top: Px, width: Px, height: Px, frame: Any, points: Any) -> None:
    axes = axes_at(figure, left, top, width, height)
    frame(axes)
    x = np.arange(len(points))
    axes.set_xlim(-0.4, len(points) - 0.6)
    _points(axes, x, points)
    axes.set_xticks(x, [f"{p['size']:g}" for p in points])
    words = "noise on the state ÷ its own variation"
    text_at(figure, left + width, top + height + 36, words, ha="right", color=GREY, size=12)


def _points(axes: Axes, x: np.ndarray, points: Any) -> None:
    for at, point in zip(x, points, strict=True):
        axes.plot([at, at], point["interval"], color=INK, linewidth=2.5, alpha=0.35, solid_capstyle="butt")
    axes.plot(x, [p["mean"] for p in points], "-o", color=INK, linewidth=1.6, markersize=5, markeredgewidth=0)


def _name(figure: Figure, references: Any, left: Px, top: Px, height: Px, low: float, high: float) -> None:
    show = formatter([value for _, value, _ in references])
    ordered = sorted(references, key=lambda r: -r[1])
    places = [top + (high - value) / (high - low) * height for _, value, _ in ordered]
    spaced = spread(np.array(places, float), 18, top + 6, top + height)
    for (name, value, colour), place in zip(ordered, spaced, strict=True):
        text_at(figure, left, place + 4, f"{name} {show(value)}", color=colour, size=12)
