"""What the figures of the gradient microscope share: colours, logarithmic axes, labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from throughtime.reports.figures import spread
from throughtime.reports.svg import WIDE, Px, text_at

Record = Mapping[str, Any]
"""As `Flow.record` returns it, and a line of `flow.jsonl` holds it."""

WHOLE, PATHS = "#0072b2", ("#d55e00", "#00875f", "#cc79a7", "#56b4e9")  # Okabe and Ito's, for colour-blind readers
DECADES = 6
"""How far down from the largest value the logarithmic figures reach."""


def floats(values: Any) -> Float[np.ndarray, "..."]:
    """Nested lists with None for what is not finite, as an array with NaN."""
    return np.array(values, dtype=float)


def frame(axes: Axes, narrow: bool) -> None:
    """Lags along x, powers of ten along y."""
    axes.spines.left.set_visible(False)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(whole_ticks(4 if narrow else 8))
    axes.yaxis.set_major_locator(whole_ticks(7))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))


def whole_ticks(count: int) -> MaxNLocator:
    """At most about `count` ticks, at round whole numbers."""
    return MaxNLocator(count, integer=True, steps=[1, 2, 5, 10])


def power(exponent: int | float) -> str:
    """−2 as 10⁻², 0 as 1."""
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return f"10{f'{exponent:.0f}'.translate(digits)}" if round(exponent) else "1"


def above(figure: Figure, text: str, share: float, left: Px, width: Px, top: Px, colour: str) -> None:
    """Text over the frame at a share of its width, kept within it."""
    side = "left" if share < 0.15 else "right" if share > 0.85 else "center"
    text_at(figure, left + share * width, top, text, ha=side, color=colour, size=12)


def label_right(
    figure: Figure, axes: Axes, lines: Sequence[tuple[str, str, float]], right: Px, top: Px, bottom: Px
) -> None:
    """Names lines (name, colour, last value) beside the frame's right end, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    lines = sorted(lines, key=lambda line: -line[2])
    places = [bottom - (np.clip(value, low, high) - low) / (high - low) * (bottom - top) for _, _, value in lines]
    for (label, colour, _), place in zip(lines, spread(np.array(places, float), 18, top + 6, bottom), strict=True):
        text_at(figure, WIDE - right + 10, place + 4, label, color=colour, size=12)


def end_of(values: Float[np.ndarray, " N"]) -> float:
    """The last value that is finite; −inf where none is."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else -np.inf


def figure_id(name: str, kind: str, narrow: bool) -> str:
    """A name of its own for each drawing in a page."""
    return f"flow-{name}-{kind}-{'narrow' if narrow else 'wide'}"
