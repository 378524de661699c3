"""What the figures of the gradient microscope share: colours, logarithmic axes, labels."""

import math
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
    log_ticks(axes, 7)


def log_ticks(axes: Axes, count: int) -> None:
    """Labels the y axis, of logarithms to base 10 and with its final limits, with the values themselves.

    Powers of ten where it spans some of them; else once, twice and five times them; else round numbers.
    """
    low, high = axes.get_ylim()
    if math.floor(high) - math.ceil(low) >= 2:
        axes.yaxis.set_major_locator(whole_ticks(count))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: power(y)))
        return
    exponents = range(math.floor(low), math.ceil(high) + 1)
    values = [m * 10.0**e for e in exponents for m in (1, 2, 5) if low <= math.log10(m) + e <= high]
    if len(values) < 3:
        ticks = MaxNLocator(count - 2, steps=[1, 2, 5, 10]).tick_values(10.0**low, 10.0**high)
        values = [float(v) for v in ticks if v > 0 and low <= math.log10(v) <= high]
    axes.set_yticks(np.log10(values), [plain(v) for v in values])


def plain(value: float) -> str:
    """0.325 as it is, 2500000 as 2.5·10⁶."""
    if 1e-3 <= value < 1e4:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{float(mantissa):g}·{power(int(exponent))}"


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
