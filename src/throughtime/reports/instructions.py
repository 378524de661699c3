"""What a policy does with an instruction: its path through the grid world, and its actions one by one."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from throughtime.reports.page import figure, section
from throughtime.reports.svg import GREY, INK, NARROW, PALE, WIDE, Px, axes_at, inline_svg, text_at
from throughtime.tasks.scan import AHEAD, Followed, Path, execute

GLYPHS = {"I_WALK": "W", "I_LOOK": "K", "I_RUN": "R", "I_JUMP": "J", "I_TURN_LEFT": "↰", "I_TURN_RIGHT": "↱"}
COLOURS = {
    "I_WALK": "#0072b2",
    "I_RUN": "#00875f",
    "I_JUMP": "#b0548c",
    "I_LOOK": "#a07800",
    "I_TURN_LEFT": "#eceff2",
    "I_TURN_RIGHT": "#d9dee3",
}
NAMES = {"I_WALK": "walk", "I_RUN": "run (2 cells)", "I_JUMP": "jump (2 cells)", "I_LOOK": "look"}
WRONG = "#d55e00"


def instructions_section(examples: Sequence[Followed]) -> str:
    """A section with a figure for each instruction."""
    parts = []
    for i, example in enumerate(examples):
        right = example.actions == example.wanted
        caption = f"“{example.instruction}”: {'followed exactly' if right else _fault(example)}."
        wide, narrow = (path_figure(example, f"instruction-{i}", narrow=narrow) for narrow in (False, True))
        parts.append(figure(wide, narrow, caption))
    return section("Instructions, followed", *parts)


def path_figure(example: Followed, name: str, *, narrow: bool = False) -> str:
    """The path of the actions on the grid, and the actions in order; where they are wrong, beside those asked for.

    Args:
        example: an instruction and what was done.
        name: unique in the page; letters, digits and hyphens.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    done, asked = execute(example.actions), execute(example.wanted)
    right = example.actions == example.wanted
    strips = [("done", example.actions)] if right else [("done", example.actions), ("asked for", example.wanted)]
    width, columns, cell = (NARROW, 14, 20) if narrow else (WIDE, 48, 17)
    label = 0 if narrow else 76
    low, high = _bounds([done] if right else [done, asked])
    span = high - low
    scale = min(44.0, (width - 20) / span[0], 300 / span[1])
    panel = (int(scale * span[0]), int(scale * span[1]))
    top = 44
    strip_tops, at = [], top + panel[1] + 26
    for _, actions in strips:
        strip_tops.append(at)
        at += (16 if narrow else 0) + max(1, -(-len(actions) // columns)) * (cell + 3) + 8

    def draw(canvas: Figure) -> None:
        axes = axes_at(canvas, 4, top, *panel)
        _grid(axes, low, high)
        if not right:
            _path(axes, asked, {}, faint=True)
        _path(axes, done, COLOURS)
        left = 0
        for action in (a for a in NAMES if a in example.actions):
            text_at(canvas, left, 14, f"— {NAMES[action]}", color=COLOURS[action], size=12)
            left += 8 * len(NAMES[action]) + 24
        told = "○ start, ▲ end" + ("" if right else "; dashed: asked for")
        text_at(canvas, 0, 32, told, color=GREY, size=12)
        first = _first_wrong(example)
        for (title, actions), strip_top in zip(strips, strip_tops, strict=True):
            inner = strip_top + (16 if narrow else 0)
            text_at(canvas, 0, strip_top + 12, title, color=GREY, size=12)
            for t, action in enumerate(actions):
                row, column = divmod(t, columns)
                x, y = label + column * (cell + 0.4), inner + row * (cell + 3)
                _square(canvas, x, y, cell, action, wrong=not right and title == "done" and t >= first)

    words = ", ".join(action.removeprefix("I_").lower().replace("_", " ") for action in example.actions) or "nothing"
    end = "east {}, north {}, heading {}".format(*done.end)
    return inline_svg(
        draw, f"{name}-{'narrow' if narrow else 'wide'}", width, at, example.instruction, f"{words}; {end}"
    )


def _bounds(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    cells = np.concatenate([path.cells for path in paths])
    return cells.min(axis=0) - 0.9, cells.max(axis=0) + 0.9


def _grid(axes: Axes, low: np.ndarray, high: np.ndarray) -> None:
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_axis_off()
    for x in np.arange(np.ceil(low[0] - 0.5), high[0] + 0.5) + 0.5:
        axes.axvline(x, color=PALE, linewidth=0.8)
    for y in np.arange(np.ceil(low[1] - 0.5), high[1] + 0.5) + 0.5:
        axes.axhline(y, color=PALE, linewidth=0.8)


def _path(axes: Axes, path: Path, colours: dict[str, str], *, faint: bool = False) -> None:
    """Each stride beside the line between the cells' middles, to the right of who goes there: ways back stay apart."""
    passed: Counter[tuple[int, int, int]] = Counter()
    style: dict[str, Any] = {"linestyle": (0, (2, 2)), "linewidth": 1.2} if faint else {"linewidth": 1.8}
    for t, action in enumerate(path.actions):
        here, there, heading = path.cells[t], path.cells[t + 1], int(path.headings[t + 1])
        ahead = AHEAD[heading]
        if action == "I_LOOK" and not faint:
            lane = 0.1 + 0.06 * passed[(*here.tolist(), heading)]
            passed[(*here.tolist(), heading)] += 1
            tip = here + 0.3 * ahead + lane * np.array([ahead[1], -ahead[0]])
            axes.plot(*tip, marker="o", markersize=4, color=colours[action], markeredgewidth=0)
        if not np.any(here != there):
            continue
        key = (*here.tolist(), heading)
        lane = 0.1 + 0.07 * passed[key]
        passed[key] += 1
        aside = lane * np.array([ahead[1], -ahead[0]])
        curve = "arc3,rad=-0.35" if action == "I_JUMP" else "arc3"
        axes.add_patch(
            FancyArrowPatch(
                tuple(here + aside),
                tuple(there + aside),
                connectionstyle=curve,
                arrowstyle="-" if faint else "-|>",
                mutation_scale=9,
                shrinkA=0,
                shrinkB=0,
                color=GREY if faint else colours[action],
                **style,
            )
        )
    if not faint:
        axes.plot(*path.cells[0], "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2)
        turn = -90 * int(path.headings[-1])
        axes.plot(*path.cells[-1], marker=(3, 0, turn), markersize=9, color=INK, markeredgewidth=0)


def _square(canvas: Figure, x: Px, y: Px, size: int, action: str, *, wrong: bool) -> None:
    width, height = canvas.get_size_inches() * 72
    turn = action.startswith("I_TURN")
    canvas.add_artist(
        Rectangle(
            (x / width, 1 - (y + size) / height),
            (size - 1) / width,
            size / height,
            facecolor=COLOURS[action],
            edgecolor=WRONG if wrong else "none",
            linewidth=2 if wrong else 0,
            transform=canvas.transFigure,
        )
    )
    colour = INK if turn else "white"
    text_at(canvas, x + (size - 1) / 2, y + size / 2 + 4.5, GLYPHS[action], color=colour, size=12, ha="center")


def _first_wrong(example: Followed) -> int:
    pairs = zip(example.actions, example.wanted, strict=False)
    return next((t for t, (a, b) in enumerate(pairs) if a != b), min(len(example.actions), len(example.wanted)))


def _fault(example: Followed) -> str:
    t, n = _first_wrong(example), len(example.wanted)
    if t == len(example.actions):
        return f"right as far as it goes, but it stops after {t} of {n} actions"
    if t == n:
        return f"all {n} actions, and then {len(example.actions) - n} more"
    done, asked = (
        actions[t].removeprefix("I_").replace("_", " ").lower() for actions in (example.actions, example.wanted)
    )
    return f"right for {t} of {n} actions, then {done} instead of {asked}"
