"""How far back: the effect of changed observations by lag, above the gradient's reach."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from throughtime.reports.flow.axes import above, floats, frame, label_right
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, axes_at, inline_svg, text_at

ACTION, GRADIENT = ROLE_COLOURS["memory"], ROLE_COLOURS["window"]
LEAST = 1e-7
"""Nats below which the figure does not reach: rounding."""


def horizon_curves(record: Mapping[str, Any], *, narrow: bool = False) -> str:
    """KL by lag with its threshold and the horizon, and the gradient's norm by lag; the task's lag in both.

    Args:
        record: as `Evidence.record` gives it.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    horizon, gradient, needed = record["horizon"], record["gradient_horizon"], record["reach"]["required"]
    width = NARROW if narrow else WIDE
    left, right, top, panel, gap, second = (46, 14, 58, 190, 48, 130) if narrow else (60, 230, 58, 220, 48, 130)
    curve, decided = _log(horizon["kl"]), _log(horizon["kl_at_decisions"])
    ratios, reach = floats([]), ""
    if gradient is not None:
        ratios, reach = floats(gradient["log10_ratios"]), f"{'≥ ' * gradient['censored']}{gradient['lag']}"
    last = max(len(curve) - 1, needed or 0, 1)
    inner = width - left - right
    height = top + panel + 42 + (gap + second if len(ratios) else 0)
    theta = float(np.log10(horizon["threshold"]))

    def draw(figure: Figure) -> None:
        axes = axes_at(figure, left, top, inner, panel)
        seen = np.concatenate([curve[np.isfinite(curve)], [theta, 0.0]])
        low, high = float(seen.min()) - 0.3, float(seen.max()) + 0.3
        axes.set(xlim=(0, last), ylim=(low, high))
        frame(axes, narrow)
        axes.axhline(theta, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
        if horizon["interval"] is not None:
            axes.axvspan(*horizon["interval"], color=ACTION, alpha=0.12, linewidth=0)
        axes.plot(np.arange(len(curve)), curve, color=ACTION, linewidth=1.8)
        dots = np.flatnonzero(np.isfinite(decided)) if horizon["decision_steps"] else np.array([], int)
        size = 6 if len(dots) < 80 else 3
        axes.plot(dots, decided[dots], "o", color=ACTION, markersize=size, markeredgewidth=0, clip_on=False)
        if needed is not None:
            axes.axvline(needed, color=INK, linewidth=1.2)
            above(figure, f"task needs {needed}", needed / last, left, inner, top - 6, INK)
        lag = horizon["lag"]
        above(figure, f"memory horizon {lag}", lag / last, left, inner, top - 22, ACTION)
        text_at(figure, 0, 12, "KL(action ‖ action with step t − k changed), nats", color=GREY, size=12)
        if not narrow:
            names = [(curve_name(record), ACTION, _end(curve)), ("threshold", GREY, theta)]
            label_right(figure, axes, names, right, top, top + panel)
        if len(ratios):
            below(figure)
        text_at(figure, width - right, height - 4, "lag k, steps", ha="right", color=GREY, size=12)

    def below(figure: Figure) -> None:
        start = top + panel + gap
        axes = axes_at(figure, left, start, inner, second)
        used = ratios[: last + 1]
        finite = used[np.isfinite(used)]
        low = max(float(min(finite.min(initial=0.0), -2.5)), -8.0)
        axes.set(xlim=(0, last), ylim=(low - 0.2, float(max(finite.max(initial=0.0), 0.0)) + 0.2))
        frame(axes, narrow)
        axes.axhline(-2, color=GREY, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(np.arange(len(used)), used, color=GRADIENT, linewidth=1.8)
        if needed is not None:
            axes.axvline(needed, color=INK, linewidth=1.2)
        words = f"gradient norm ÷ norm at lag 0 · gradient horizon {reach}"
        text_at(figure, 0, start - 8, words, color=GRADIENT, size=12)
        if not narrow:
            names = [("training's gradient", GRADIENT, _end(used)), ("1% of lag 0", GREY, -2.0)]
            label_right(figure, axes, names, right, start, start + second)

    name = f"evidence-horizon-{'narrow' if narrow else 'wide'}"
    description = f"How far the action moves when an observation k steps back is changed; horizon {horizon['lag']}."
    return inline_svg(draw, name, width, height, "Memory horizon by intervention", description)


def curve_name(record: Mapping[str, Any]) -> str:
    """What the curve of the intervention shows."""
    return "all steps" + " (dots: decisions)" * bool(record["horizon"]["decision_steps"])


def _log(values: Any) -> Float[np.ndarray, " K"]:
    """Logarithms to base 10, not below rounding; NaN where nothing could be changed."""
    return np.log10(np.maximum(floats(values), LEAST))


def _end(values: Float[np.ndarray, " K"]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else 0.0
