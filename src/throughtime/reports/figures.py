"""The figures that compare policies: final returns, and learning curves."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from throughtime.reports.data import Ceilings, Curve, Row
from throughtime.reports.numbers import formatter, mean_over_seeds, shorten
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, Px, axes_at, inline_svg, text_at

DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Line styles of the first, second, … curve of one role."""


def known_ceilings(ceilings: Ceilings) -> list[tuple[str, float]]:
    """(name, return) of each ceiling that is known."""
    named = [("optimum", ceilings.optimal_return), ("memoryless ceiling", ceilings.memoryless_return)]
    return [(name, value) for name, value in named if value is not None]


def final_returns(rows: Sequence[Row], ceilings: Ceilings, *, narrow: bool = False) -> str:
    """Each policy's mean return and interval on one axis, with the ceilings as reference lines.

    Args:
        rows: at least one, drawn from top to bottom.
        ceilings: of the task.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width = NARROW if narrow else WIDE
    pitch, left, right = (44, 8, 64) if narrow else (30, 200, 84)
    references = known_ceilings(ceilings)
    top, plot = 18 * len(references) + 4, pitch * len(rows) + 8
    show = formatter([*(row.mean_return for row in rows), *(value for _, value in references)])

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, plot)
        values = [v for row in rows for v in (row.mean_return, *row.interval)] + [v for _, v in references]
        low, high = _padded(np.array(values, float), 0.04)
        axes.set(xlim=(low, high), ylim=(plot, 0), yticks=[])
        axes.spines.left.set_visible(False)
        axes.xaxis.set_major_locator(_ticks(4 if narrow else 8))
        axes.grid(axis="x")
        for index, (name, value) in enumerate(references):
            share = (value - low) / (high - low)
            x, height = left + share * (width - left - right), 18 * index + 12
            axes.axvline(value, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
            figure.add_artist(_line(figure, [x, x], [height - 9, top], color=GREY, linestyle=(0, (3, 3))))
            side, gap = ("right", -6) if share > 0.5 else ("left", 6)
            text_at(figure, x + gap, height, f"{name} {show(value)}", ha=side, color=GREY, size=12)
        for index, row in enumerate(rows):
            y = 4 + pitch * index + (32 if narrow else pitch / 2)
            colour = ROLE_COLOURS[row.role]
            axes.plot(row.interval, [y, y], color=colour, linewidth=3, alpha=0.45, solid_capstyle="round")
            axes.plot([row.mean_return], [y], "o", color=colour, markersize=9, markeredgewidth=0)
            place = top + y + 4
            if narrow:
                text_at(
                    figure,
                    left,
                    place - 18,
                    shorten(row.label, 36),
                    color=INK,
                    bbox={"color": "white", "pad": 1},
                )
            else:
                text_at(figure, 0, place, shorten(row.label, 26), color=INK)
            text_at(figure, width, place, show(row.mean_return), ha="right", color=INK, weight="bold")

    said = "; ".join(f"{row.label} {show(row.mean_return)}" for row in rows)
    said += "".join(f"; {name} {show(value)}" for name, value in references)
    name = f"returns-{'narrow' if narrow else 'wide'}"
    return inline_svg(draw, name, width, top + plot + 24, "Final returns", f"Mean return: {said}.")


def learning_curves(curves: Sequence[Curve], ceilings: Ceilings, *, narrow: bool = False) -> str:
    """Return against environment steps, one colour per role.

    Several seeds: their mean, its 95% t interval as a band (cut at the frame) and each seed as a thin line.
    One seed: its line. Wide figures name each curve at its end; narrow ones leave that to the page's key.

    Args:
        curves: at least one.
        ceilings: of the task.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 300) if narrow else (WIDE, 380)
    left, top, right, bottom = (46, 28, 22, 42) if narrow else (56, 28, 212, 42)
    references = known_ceilings(ceilings)

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        last_step = max(float(curve.steps[-1]) for curve in curves)
        low, high = _padded(np.concatenate([*(c.returns.ravel() for c in curves), [v for _, v in references]]), 0.05)
        axes.set(xlim=(0, last_step or 1), ylim=(low, high))
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines.left.set_visible(False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short_steps(x)))
        axes.xaxis.set_major_locator(_ticks(4 if narrow else 8))
        axes.yaxis.set_major_locator(_ticks(6))
        text_at(figure, 0, 12, "mean return of finished episodes", color=GREY, size=12)
        text_at(figure, width - right, height - 4, "environment steps", ha="right", color=GREY, size=12)
        show = formatter([value for _, value in references])
        ends = []
        for name, value in references:
            axes.axhline(value, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
            ends.append((last_step, value, f"{name} {show(value)}", GREY))
        for curve, dashes in zip(curves, line_styles(curves), strict=True):
            mean = _draw_curve(axes, curve, dashes)
            drawn = np.flatnonzero(np.isfinite(mean))
            if drawn.size:
                end = drawn[-1]
                ends.append((float(curve.steps[end]), mean[end], curve.label, ROLE_COLOURS[curve.role]))
        if not narrow:
            _label_ends(figure, axes, ends, width - right, top, height - bottom)

    said = ", ".join(curve.label for curve in curves)
    name = f"curves-{'narrow' if narrow else 'wide'}"
    description = f"Mean return against environment steps for {said}. The table holds the final figures."
    return inline_svg(draw, name, width, height, "Learning curves", description)


def line_styles(curves: Sequence[Curve]) -> list:
    """A line style per curve: solid for the first of its role, then dashed, dotted, …."""
    roles = [curve.role for curve in curves]
    return [DASHES[roles[:index].count(role) % len(DASHES)] for index, role in enumerate(roles)]


def short_steps(steps: int | float) -> str:
    """250000 as "250k", 1500000 as "1.5M"."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= unit:
            return f"{steps / unit:g}{name}"
    return f"{steps:g}"


def _draw_curve(axes: Axes, curve: Curve, dashes) -> Real[np.ndarray, " N"]:
    colour = ROLE_COLOURS[curve.role]
    if len(curve.returns) == 1:
        mean = curve.returns[0]
    else:
        mean, lo, hi = mean_over_seeds(curve.returns)
        axes.fill_between(curve.steps, lo, hi, color=colour, alpha=0.15, linewidth=0)
        for returns in curve.returns:
            axes.plot(curve.steps, returns, color=colour, linewidth=0.8, alpha=0.4)
    marker = "o" if np.isfinite(mean).sum() == 1 else None  # a line of one point would not be seen
    axes.plot(curve.steps, mean, color=colour, linewidth=2, linestyle=dashes, marker=marker, markersize=5)
    return mean


def _label_ends(figure: Figure, axes: Axes, ends, right: Px, top: Px, bottom: Px) -> None:
    """Names each line to the right of the frame, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    _, last = axes.get_xlim()
    left = axes.get_position().x0 * WIDE
    ends = sorted(ends, key=lambda end: -end[1])
    ys = np.array([bottom - (y - low) / (high - low) * (bottom - top) for _, y, _, _ in ends])
    for (x, _, text, colour), y, place in zip(ends, ys, spread(ys, 18, top, bottom), strict=True):
        x = left + x / last * (right - left)
        figure.add_artist(_line(figure, [x + 1, right + 4, right + 16], [y, y, place], color=colour, alpha=0.6))
        text_at(figure, right + 20, place + 4, shorten(text, 26), color=colour)


def spread(wanted: Float[np.ndarray, " n"], gap: Px, low: Px, high: Px) -> Float[np.ndarray, " n"]:
    """Positions at least `gap` apart, in order, within [low, high], and nearest to `wanted` (least squares).

    Isotonic regression of `wanted[i] - i·gap` by pooling adjacent violators.

    Args:
        wanted: ascending.
        gap: the least distance of neighbours.
        low: the least position.
        high: the greatest position.
    """
    offsets = gap * np.arange(len(wanted))
    pools: list[list[float]] = []
    for value in wanted - offsets:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    pooled = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools]) if pools else wanted
    return np.clip(pooled, low, max(low, high - gap * (len(wanted) - 1))) + offsets


def _ticks(count: int) -> MaxNLocator:
    return MaxNLocator(count, steps=[1, 2, 2.5, 5, 10])


def _padded(values: np.ndarray, share: float) -> tuple[float, float]:
    """Axis limits that leave `share` of the range free on either side; (0, 1) where nothing is finite."""
    values = values[np.isfinite(values)].astype(float)
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = share * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def _line(figure: Figure, xs: Sequence[Px], ys: Sequence[Px], **style) -> Line2D:
    """A thin line through places in px from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches() * 72
    style = {"linewidth": 1, **style}
    return Line2D(np.array(xs) / full_width, 1 - np.array(ys) / full_height, transform=figure.transFigure, **style)
