"""What single steps do to a gradient, and what they add to it."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from throughtime.reports.flow.axes import (
    DECADES,
    WHOLE,
    Record,
    end_of,
    figure_id,
    floats,
    frame,
    label_right,
    whole_ticks,
)
from throughtime.reports.svg import GREY, NARROW, WIDE, axes_at, inline_svg, text_at


def singular_values(record: Record, name: str, *, narrow: bool = False) -> str:
    """The singular values of ∂h_T/∂h_{T−k} by lag: the largest, the quartiles, the smallest.

    Args:
        record: as `Flow.record` returns it, with `log10_singular_values`.
        name: unique in the page.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 280) if narrow else (WIDE, 320)
    left, top, right, bottom = (46, 28, 14, 42) if narrow else (60, 28, 230, 42)
    lags, values = np.asarray(record["singular_value_lags"]), floats(record["log10_singular_values"])
    last = max(int(lags[-1]), 1)

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        finite = values[np.isfinite(values)]
        high = float(max(finite.max(initial=0.0), 0.5))
        low = float(max(min(finite.min(initial=0.0), -0.5), high - 2 * DECADES))
        axes.set(xlim=(0, last), ylim=(low - 0.03 * (high - low), high + 0.05 * (high - low)))
        frame(axes, narrow)
        drawn = np.where(np.isfinite(values), values, low - 100)
        axes.fill_between(lags, drawn[4], drawn[0], color=WHOLE, alpha=0.14, linewidth=0)
        axes.fill_between(lags, drawn[3], drawn[1], color=WHOLE, alpha=0.28, linewidth=0)
        axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(lags, values[0], color=WHOLE, linewidth=1.2)
        axes.plot(lags, values[2], color=WHOLE, linewidth=2.2)
        text_at(figure, 0, 12, "singular value", color=GREY, size=12)
        text_at(figure, width - right, height - 4, "lag k, steps", ha="right", color=GREY, size=12)
        if not narrow:
            lines = [
                ("largest: ‖∂hₜ/∂hₜ₋ₖ‖", WHOLE, end_of(values[0])),
                ("median (band: quartiles)", WHOLE, end_of(values[2])),
                ("1: neither grows nor shrinks", GREY, 0.0),
            ]
            label_right(figure, axes, lines, right, top, height - bottom)

    description = "Singular values of the product of the last k Jacobians: largest, quartiles and smallest, by lag."
    return inline_svg(draw, figure_id(name, "singular", narrow), width, height, "Singular values by lag", description)


def step_shares(record: Record, name: str, *, narrow: bool = False) -> str:
    """What share of the recurrent weights' gradient each time step adds; the shares sum to 1.

    Args:
        record: as `Flow.record` returns it, with shares of a recurrent matrix.
        name: unique in the page.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, height = (NARROW, 220) if narrow else (WIDE, 220)
    left, top, right, bottom = (46, 28, 14, 42) if narrow else (60, 28, 20, 42)
    shares = 100 * np.nan_to_num(floats(record["shares"][recurrent_parameter(record)]))

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, width - left - right, height - top - bottom)
        edges = np.arange(len(shares) + 1) - 0.5
        axes.set_xlim(edges[0], edges[-1])
        axes.stairs(shares, edges, fill=True, color=WHOLE, linewidth=0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.spines.left.set_visible(False)
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(whole_ticks(4 if narrow else 8))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}%".replace("-", "−")))
        text_at(figure, 0, 12, "share of the gradient", color=GREY, size=12)
        text_at(figure, width - right, height - 4, "time step", ha="right", color=GREY, size=12)

    description = "The share of the gradient of the recurrent weights that each time step adds."
    return inline_svg(draw, figure_id(name, "shares", narrow), width, height, "Contributions by time step", description)


def recurrent_parameter(record: Record) -> str | None:
    """The parameter whose contributions are shown: the (first) recurrent matrix, or None where there is none."""
    names = [name for name, shares in record["shares"].items() if any(share is not None for share in shares)]
    return next((n for n in names if n.rsplit(".", 1)[-1] in ("weight_hh", "weight_yh")), None)
