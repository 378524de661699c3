"""On which past steps an action rests, along its episode."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from throughtime.reports.episode import MOST_LINES, SEQUENTIAL
from throughtime.reports.flow.axes import floats, whole_ticks
from throughtime.reports.numbers import shorten
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, Px, axes_at, inline_svg, text_at

EFFECT, GRADIENT = ROLE_COLOURS["memory"], ROLE_COLOURS["window"]
STRIP, BARS = 26, 76


def saliency_strip(record: Mapping[str, Any], *, narrow: bool = False) -> str:
    """Panels over one time axis: observations, effect of changing each, share of the gradient, all actions' shares.

    Args:
        record: as `Evidence.record` gives it.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    data = record["saliency"]
    width = NARROW if narrow else WIDE
    left, right = (88, 54) if narrow else (150, 64)
    observations, shown, T = floats(data["observations"]), data["shown"], len(data["shares"])
    labels = data["observation_labels"]
    lines = len(labels) if len(labels) <= MOST_LINES else 0
    image = min(max(3 * T, 80), 240)
    inner = width - left - right
    tops = [26 + i * (STRIP + 8) for i in range(lines)]
    effect_top = 26 + lines * (STRIP + 8) + 30
    gradient_top, image_top = effect_top + BARS + 38, effect_top + 2 * BARS + 76
    height = image_top + image + 30

    def frame(figure: Figure, top: Px, panel: Px, last: bool = False):
        axes = axes_at(figure, left, top, inner, panel)
        axes.set_xlim(-0.5, T - 0.5)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 10, integer=True, steps=[1, 2, 5, 10]))
        axes.tick_params(length=0, labelleft=False, labelbottom=last)
        axes.axvline(shown, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
        return axes

    def draw(figure: Figure) -> None:
        if lines:
            text_at(figure, 0, 14, "Observation", weight="bold")
        edges = np.arange(T + 1) - 0.5
        for column, (label, top) in enumerate(zip(labels, tops, strict=False)):
            axes = frame(figure, top, STRIP)
            values = observations[:, column]
            margin = 0.08 * float(np.ptp(values)) or 1.0
            axes.set_ylim(float(values.min()) - margin, float(values.max()) + margin)
            axes.stairs(values, edges, baseline=None, color=INK, linewidth=1.3)
            text_at(figure, 0, top + STRIP / 2 + 4, shorten(label, 12 if narrow else 20), color=GREY, size=12)
        _effects(figure, frame(figure, effect_top, BARS), effect_top)
        _gradient(figure, frame(figure, gradient_top, BARS), gradient_top)
        _image(figure, frame(figure, image_top, image, last=True))
        text_at(figure, 0, height - 4, "step", color=GREY, size=12)

    def _effects(figure: Figure, axes: Any, top: Px) -> None:
        effects, sources = floats(data["effects"]), np.array(data["sources"])
        known = np.isfinite(effects)
        highest = float(np.nanmax(effects[known], initial=0.0)) or 1.0
        axes.set_ylim(0, 1.08 * highest)
        axes.bar(sources[known], effects[known], width=0.9, color=EFFECT)
        axes.plot(sources[~known], np.zeros((~known).sum()), "|", color="#b8c0c8", markersize=6, clip_on=False)
        axes.axhline(0, color=GREY, linewidth=0.8)
        does = (
            "Effect of each step on the action at" if narrow else "What changing each step does to the action at step"
        )
        text_at(figure, 0, top - 10, f"{does} {shown}", weight="bold")
        text_at(figure, 0, top + BARS / 2 + 4, "KL, nats", color=GREY, size=12)
        text_at(figure, left + inner + 6, top + 9, f"{highest:.2g}", color=GREY, size=11)

    def _gradient(figure: Figure, axes: Any, top: Px) -> None:
        row = floats([np.nan if v is None else v for v in data["shares"][shown]])
        highest = float(np.nan_to_num(row).max(initial=0.0)) or 1.0
        axes.set_ylim(0, 1.08 * highest)
        axes.bar(np.arange(len(row)), np.nan_to_num(row), width=0.9, color=GRADIENT)
        axes.axhline(0, color=GREY, linewidth=0.8)
        text_at(figure, 0, top - 10, "Share of the gradient of its log-probability", weight="bold")
        text_at(figure, left + inner + 6, top + 9, f"{highest:.0%}", color=GREY, size=11)

    def _image(figure: Figure, axes: Any) -> None:
        matrix = np.full((T, T), np.nan)
        for t, row in enumerate(data["shares"]):
            matrix[t, : t + 1] = [np.nan if v is None else v for v in row]
        highest = float(np.nanmax(matrix)) if np.isfinite(matrix).any() else 1.0
        axes.imshow(
            matrix,
            cmap=SEQUENTIAL,
            vmin=0.0,
            vmax=highest,
            aspect="auto",
            interpolation="none",
            extent=(-0.5, T - 0.5, T - 0.5, -0.5),
        )
        axes.tick_params(labelleft=True, labelcolor=GREY)
        axes.yaxis.set_major_locator(whole_ticks(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        text_at(figure, 0, image_top - 10, "The same share for every action, one row each", weight="bold")
        for line, words in enumerate(("action", "at step") if narrow else ("action at step",)):
            text_at(figure, 0, image_top + 14 + 16 * line, words, color=GREY, size=12)
        bar = axes_at(figure, left + inner + 6, image_top, 6, image)
        bar.imshow(np.linspace(1, 0, 64)[:, None], cmap=SEQUENTIAL, aspect="auto", interpolation="none")
        bar.set_axis_off()
        text_at(figure, left + inner + 16, image_top + 9, f"{highest:.0%}", color=GREY, size=11)
        text_at(figure, left + inner + 16, image_top + image, "0", color=GREY, size=11)

    name = f"evidence-saliency-{'narrow' if narrow else 'wide'}"
    description = f"On which past steps the action at step {shown} rests, and the gradient shares of every action."
    return inline_svg(draw, name, width, height, "What the actions of one episode rest on", description)
