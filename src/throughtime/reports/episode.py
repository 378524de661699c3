"""One episode step by step: observations, actions, reward, value, and the hidden state as a heat map."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Real
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from throughtime.reports.data import Episode
from throughtime.reports.numbers import shorten
from throughtime.reports.svg import GREY, INK, NARROW, WIDE, Px, axes_at, inline_svg, text_at

MOST_LINES = 8
"""Up to so many features get a line each; more become rows of a heat map."""

DIVERGING = colormaps["RdBu_r"]
SEQUENTIAL = LinearSegmentedColormap.from_list("probability", ["#f3f5f7", "#7fb3d9"])


class _Panel(NamedTuple):
    title: str | None  # None: goes on under the panel above
    height: int
    label: str
    draw: Callable[[Axes], None]
    scale: tuple[float, float] | None  # written at the right, bottom and top
    colours: Colormap | None = None  # of a heat map: its scale is a colour bar

    @property
    def beside(self) -> bool:
        """Whether the title stands beside the panel: it is one line without a label of its own."""
        return not self.label and self.colours is None


def episode_figure(episode: Episode, *, narrow: bool = False) -> str:
    """Panels over one time axis: observations, actions, reward, value, hidden state.

    Args:
        episode: T steps.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width = NARROW if narrow else WIDE
    left, right, length = (88, 54, 12) if narrow else (150, 64, 20)
    T = len(episode.rewards)
    panels = _panels(episode, (width - left - right) / T)
    tops, top = [], 0
    for panel in panels:
        top += 10 if panel.title is None else (18 if panel.beside else 26) if not tops else (20 if panel.beside else 44)
        tops.append(top)
        top += panel.height

    total = top

    def draw(figure: Figure) -> None:
        for panel, top in zip(panels, tops, strict=True):
            axes = axes_at(figure, left, top, width - left - right, panel.height)
            axes.set_xlim(-0.5, T - 0.5)
            axes.spines[:].set_visible(False)
            axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 10, integer=True, steps=[1, 2, 5, 10]))
            axes.tick_params(length=0, labelleft=False, labelbottom=panel is panels[-1])
            if panel.colours is None:
                axes.grid(axis="x")
            panel.draw(axes)
            if panel.title is not None:
                place = top + panel.height / 2 + 4 if panel.beside else top - 10
                text_at(figure, 0, place, shorten(panel.title, 40 if narrow else 100), weight="bold")
            lines = panel.label.split("\n")
            row = panel.height / len(lines)
            for index, line in enumerate(lines):
                place = top + (index + 0.5) * row + 4
                text_at(figure, 0, place, shorten(line, length), color=GREY, size=12)
            if panel.scale is not None:
                _write_scale(figure, panel, width - right, top)
        text_at(figure, 0, total + 15, "step", color=GREY, size=12)

    name = f"episode-{'narrow' if narrow else 'wide'}"
    description = (
        f"{episode.title}: {T} steps, return {episode.rewards.sum():.6g}. Panels share the time axis: "
        + ", ".join(panel.title for panel in panels if panel.title)
        + "."
    )
    return inline_svg(draw, name, width, total + 26, "One episode, step by step", description)


def seriate(hidden: Real[np.ndarray, "T H"]) -> Int[np.ndarray, " H"]:
    """An order of the units in which those that behave alike over time stand together.

    A short path through the units, by Euclidean distance of their time courses: cheapest insertion
    (Rosenkrantz, Stearns and Lewis 1977), the strongest unit first. It is turned so that the units of greater
    mean come first.

    Args:
        hidden: `[T, H]`.

    Returns:
        A permutation of the H units.
    """
    units = np.nan_to_num(hidden.astype(float)).T
    squares = (units**2).sum(axis=1)
    pairs = squares[:, None] + squares[None, :] - 2 * units @ units.T
    distance = np.sqrt(np.maximum(pairs, 0.0))
    path: list[int] = []
    for unit in np.argsort(-squares, kind="stable"):
        to = distance[unit, path]
        between = to[:-1] + to[1:] - distance[path[:-1], path[1:]]
        path.insert(int(np.concatenate([to[:1], between, to[-1:], [np.inf]]).argmin()), int(unit))
    means = units.mean(axis=1)[path]
    half = len(path) // 2
    return np.array(path if means[:half].sum() >= means[half:].sum() else path[::-1], int)


def _panels(episode: Episode, step: float) -> list[_Panel]:
    """The panels from top to bottom; `step` is the width of a time step in px."""
    panels = _features(episode.observations, episode.observation_labels, "Observation")
    if episode.action_labels is None:
        actions = episode.actions.reshape(len(episode.actions), -1)
        names = [""] if actions.shape[1] == 1 else [f"dimension {index}" for index in range(actions.shape[1])]
        panels += _features(actions, names, "Action")
    else:
        panels.append(_discrete_actions(episode, episode.action_labels, step))
    panels.append(_line("Reward", "", episode.rewards, filled=True))
    panels.append(_line("Value", "", episode.values))
    if episode.hidden is not None and episode.hidden.size:
        H = episode.hidden.shape[1]
        label = f"{episode.hidden_label[:1].upper()}{episode.hidden_label[1:]}"
        title = f"{label}, {H} unit{'s' if H != 1 else ''}"
        panels.append(_heat_map(title, episode.hidden[:, seriate(episode.hidden)], max(min(4 * H, 256), 24)))
    return panels


def _features(values: Real[np.ndarray, "T F"], labels, title: str) -> list[_Panel]:
    if values.shape[1] > MOST_LINES:
        return [_heat_map(title, values, max(96, min(4 * values.shape[1], 256)))]
    return [
        _line(title if index == 0 else None, label, column)
        for index, (label, column) in enumerate(zip(labels, values.T, strict=True))
    ]


def _line(title: str | None, label: str, values: Real[np.ndarray, " T"], filled: bool = False) -> _Panel:
    """A stair per step, on its own scale; `filled` down to zero."""
    values = np.where(np.isfinite(values), values, np.nan).astype(float)
    seen = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    low, high = float(seen.min()), float(seen.max())
    if filled:
        low, high = min(low, 0.0), max(high, 0.0)

    def draw(axes: Axes) -> None:
        margin = 0.08 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        edges = np.arange(len(values) + 1) - 0.5
        if filled:
            axes.stairs(values, edges, baseline=0, fill=True, color="#7d8894", linewidth=0)
            axes.axhline(0, color=GREY, linewidth=0.8)
        else:
            axes.stairs(values, edges, baseline=None, color=INK, linewidth=1.3)

    return _Panel(title, 28, label, draw, (low, high))


def _heat_map(title: str, values: Real[np.ndarray, "T F"], height: int) -> _Panel:
    """One row per feature, colours diverging from zero."""
    limit = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0

    def draw(axes: Axes) -> None:
        _image(axes, values, -limit, limit, DIVERGING)

    return _Panel(title, height, "", draw, (-limit, limit), DIVERGING)


def _discrete_actions(episode: Episode, labels, step: float) -> _Panel:
    A, T = len(labels), len(episode.actions)
    probabilities = episode.action_probabilities
    row = max(min(20, 240 // A), 4)

    def draw(axes: Axes) -> None:
        shown = np.zeros((T, A)) if probabilities is None else probabilities
        _image(axes, shown, 0.0, 1.0, SEQUENTIAL)
        size = float(np.clip(0.6 * step, 1.6, min(8, 0.6 * row)))
        axes.plot(np.arange(T), episode.actions, "o", color=INK, markersize=size, markeredgewidth=0)

    label = "\n".join(labels) if row >= 13 else ""
    if probabilities is None:
        return _Panel("Action taken", row * A, label, draw, None)
    return _Panel("Action probability (dot: taken)", row * A, label, draw, (0.0, 1.0), SEQUENTIAL)


def _image(axes: Axes, values: Real[np.ndarray, "T F"], low: float, high: float, colours: Colormap) -> None:
    T, F = values.shape
    axes.imshow(
        np.asarray(values, float).T,
        cmap=colours,
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="none",
        extent=(-0.5, T - 0.5, F - 0.5, -0.5),
    )


def _write_scale(figure: Figure, panel: _Panel, left: Px, top: Px) -> None:
    """The panel's lowest and highest value at its right; a colour bar beside a heat map."""
    assert panel.scale is not None
    low, high = panel.scale
    gap = 6
    if panel.colours is not None:
        bar = axes_at(figure, left + 6, top, 6, panel.height)
        bar.imshow(np.linspace(1, 0, 64)[:, None], cmap=panel.colours, aspect="auto", interpolation="none")
        bar.set_axis_off()
        gap = 16
    if low == high:
        places: list[tuple[float, float]] = [(panel.height / 2 + 4, low)]
    else:
        places = [(9, high), (panel.height, low)]
    if panel.colours is DIVERGING:
        places.append((panel.height / 2 + 4, 0.0))
    for place, value in places:
        text = f"{value:{'.2g' if panel.colours is not None else '.3g'}}".replace("-", "−")
        text_at(figure, left + gap, top + place, text, color=GREY, size=11)
