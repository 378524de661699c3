"""How far gradients reach: by lag, by time and lag, and over training."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from throughtime.reports.figures import short_steps
from throughtime.reports.flow.axes import (
    DECADES,
    PATHS,
    WHOLE,
    Record,
    above,
    end_of,
    figure_id,
    floats,
    frame,
    label_right,
    power,
    whole_ticks,
)
from throughtime.reports.svg import GREY, INK, NARROW, WIDE, axes_at, inline_svg, text_at

ABSENT = "#e9ecef"


def lag_curves(record: Record, name: str, *, narrow: bool = False) -> str:
    """The gradient's norm by lag, relative to lag 0, with the 1% line, the horizon and what the task needs.

    Args:
        record: as `Flow.record` returns it.
        name: unique in the page.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 300) if narrow else (WIDE, 360)
    left, top, right, bottom = (46, 58, 14, 42) if narrow else (60, 58, 230, 42)
    whole = floats(record["log10_ratios"])
    curves = [("all paths" if record["path_log10_ratios"] else "", WHOLE, "solid", whole)]
    curves += [
        (f"through {path} alone", colour, (0, (5, 2)), floats(values))
        for (path, values), colour in zip(record["path_log10_ratios"].items(), PATHS, strict=False)
    ]
    needed, horizon, bad = record["required_lag"], record["horizon"], record.get("not_finite_from")
    last = max(len(whole) - 1, needed or 0, 1)

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        seen = np.concatenate([values[np.isfinite(values)] for _, _, _, values in curves])
        high = float(max(seen.max(initial=0.0), 0.0))
        low = float(max(min(seen.min(initial=0.0), -2.5), high - 2 * DECADES, -DECADES if high < 1 else -np.inf))
        margin = 0.05 * (high - low)
        axes.set(xlim=(0, last), ylim=(low - margin, high + margin))
        frame(axes, narrow)
        axes.axhline(-2, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
        if bad is not None:
            axes.axvspan(max(bad - 0.5, 0), last, color=ABSENT, linewidth=0)
        if record["horizon_interval"] is not None:
            axes.axvspan(*record["horizon_interval"], color=WHOLE, alpha=0.12, linewidth=0)
        for _, colour, dashes, values in curves:
            axes.plot(np.arange(len(values)), values, color=colour, linewidth=2, linestyle=dashes)
        axes.plot([horizon], [whole[horizon]], "o", color=WHOLE, markersize=8, markeredgewidth=0, clip_on=False)
        if needed is not None:
            axes.axvline(needed, color=INK, linewidth=1.2)
            above(figure, f"task needs {needed}", needed / last, left, width - left - right, top - 6, INK)
        words = f"horizon {horizon}" + (" or more" if record["censored"] else "")
        words += "" if bad is None else f", not finite from {bad}"
        above(figure, words, horizon / last, left, width - left - right, top - 22, WHOLE)
        text_at(figure, 0, 12, "norm ÷ norm at lag 0", color=GREY, size=12)
        text_at(figure, width - right, height - 4, "lag k, steps", ha="right", color=GREY, size=12)
        if not narrow:
            ends = [(label, colour, end_of(values)) for label, colour, _, values in curves if label]
            label_right(figure, axes, [*ends, ("1% of lag 0", GREY, -2.0)], right, top, height - bottom)

    description = f"Gradient norm by lag, relative to lag 0; the horizon is lag {horizon}."
    return inline_svg(draw, figure_id(name, "lags", narrow), width, height, "Gradient norm by lag", description)


def heat_map(record: Record, name: str, *, narrow: bool = False) -> str:
    """‖∂L_t/∂h_{t−k}‖ in colour: the time t of the loss to the right, the lag k upwards.

    Args:
        record: as `Flow.record` returns it.
        name: unique in the page.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 320) if narrow else (WIDE, 380)
    left, top, right, bottom = (40, 28, 62, 42) if narrow else (60, 28, 120, 42)
    norms, sources = floats(record["log10_norms"]), np.asarray(record["sources"])
    finite = norms[np.isfinite(norms)]
    high = float(finite.max(initial=-np.inf)) if finite.size else 0.0
    low = max(float(finite.min(initial=np.inf)), high - DECADES) if finite.size else -1.0
    low = min(low, high - 1e-3)
    # Each column of the picture shows the loss that is nearest in time.
    columns = np.abs(np.arange(sources[0], sources[-1] + 1)[:, None] - sources).argmin(axis=1)

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        axes.set_facecolor(ABSENT)
        colours = colormaps["viridis"]
        shown = np.ma.masked_invalid(norms[columns].T)
        extent = (sources[0] - 0.5, sources[-1] + 0.5, -0.5, norms.shape[1] - 0.5)
        axes.imshow(
            shown, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="none", origin="lower", extent=extent
        )
        if record["required_lag"] is not None and record["required_lag"] < norms.shape[1]:
            axes.axhline(record["required_lag"], color="white", linewidth=1.5)
            axes.axhline(record["required_lag"], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(whole_ticks(4 if narrow else 8))
        axes.yaxis.set_major_locator(whole_ticks(6))
        text_at(figure, 0, 12, "lag k, steps", color=GREY, size=12)
        text_at(figure, width - right, height - 4, "time t of the loss, steps", ha="right", color=GREY, size=12)
        bar = axes_at(figure, width - right + 12, top, 12, height - top - bottom)
        bar.imshow(np.linspace(1, 0, 128)[:, None], cmap=colours, aspect="auto", interpolation="none")
        bar.set_axis_off()
        text_at(figure, width - right + 12, 12, "norm", color=GREY, size=12)
        ticks = range(math.ceil(low), math.floor(high) + 1)
        for value in ticks if len(ticks) > 1 else (low, high):  # less than two powers of ten: the ends
            place = top + (high - value) / (high - low) * (height - top - bottom)
            text = power(value) if len(ticks) > 1 else f"{10.0**value:.2g}"
            text_at(figure, width - right + 30, place + 4, text, color=GREY, size=11)

    description = "Gradient norms by the time of the loss and the lag; grey where no such step is in the episode."
    return inline_svg(
        draw, figure_id(name, "map", narrow), width, height, "Gradient norms by time and lag", description
    )


def horizon_over_training(
    steps: Sequence[int], records: Sequence[Record], name: str, *, unit: str = "environment steps", narrow: bool = False
) -> str:
    """The gradient horizon while training, and what the task needs.

    Args:
        steps: how far training was at each look.
        records: one each.
        name: unique in the page.
        unit: what `steps` counts.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 260) if narrow else (WIDE, 300)
    left, top, right, bottom = (46, 28, 22, 42) if narrow else (60, 28, 200, 42)
    lags = np.array([record["horizon"] for record in records], float)
    bounds = np.array([record["horizon_interval"] or (record["horizon"],) * 2 for record in records], float)
    ends = np.array([record["censored"] for record in records])
    bad = np.array([record.get("not_finite_from") is not None for record in records])
    needed = records[-1]["required_lag"]

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        high = 1.08 * max(bounds.max(), needed or 0, 1)
        axes.set(xlim=(0, max(steps[-1], 1)), ylim=(0, high))
        axes.fill_between(steps, bounds[:, 0], bounds[:, 1], color=WHOLE, alpha=0.15, linewidth=0)
        axes.plot(steps, lags, color=WHOLE, linewidth=2)
        style: dict[str, Any] = {"color": WHOLE, "linestyle": "none", "clip_on": False, "zorder": 3}
        dots = ~ends & ~bad
        axes.plot(np.asarray(steps)[dots], lags[dots], marker="o", markersize=5, markeredgewidth=0, **style)
        axes.plot(np.asarray(steps)[bad], lags[bad], marker="x", markersize=8, markeredgewidth=2, **style)
        axes.plot(np.asarray(steps)[ends], lags[ends], marker="^", markersize=7, markerfacecolor="white", **style)
        axes.spines.left.set_visible(False)
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short_steps(x)))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.yaxis.set_major_locator(whole_ticks(6))
        text_at(figure, 0, 12, "gradient horizon, lag in steps", color=GREY, size=12)
        text_at(figure, width - right, height - 4, unit, ha="right", color=GREY, size=12)
        lines = [("horizon", WHOLE, float(lags[-1]))]
        if needed is not None:
            axes.axhline(needed, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
            lines.append((f"the task needs {needed}", INK, float(needed)))
        if not narrow:
            label_right(figure, axes, lines, right, top, height - bottom)

    description = f"Gradient horizon over training; at the end {'at least ' * bool(ends[-1])}{lags[-1]:g} steps."
    return inline_svg(
        draw, figure_id(name, "training", narrow), width, height, "Gradient horizon over training", description
    )
