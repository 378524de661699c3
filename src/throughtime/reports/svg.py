"""A matplotlib figure as an inline SVG: deterministic, in the page's font, with ids of its own."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from throughtime.reports.data import Role

# Okabe and Ito's palette for colour-blind readers; one colour per role in every figure and table.
ROLE_COLOURS: dict[Role, str] = {
    "memory": "#0072b2",
    "memoryless": "#d55e00",
    "window": "#00875f",
    "state": "#b0548c",
    "behaviour": "#6f7378",
}
INK, GREY, PALE = "#1f2328", "#59636e", "#d9dee3"

WIDE, NARROW = 920, 360
"""Widths in px of the two drawings of each figure; the page shows the one that fits its window."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "throughtime",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 13,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1,
    "axes.formatter.useoffset": False,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "grid.color": "#eceff2",
    "grid.linewidth": 1,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", _SVG)


Px = int | float


def inline_svg(draw: Callable[[Figure], None], name: str, width: int, height: int, title: str, description: str) -> str:
    """Draws a figure and returns it as an `<svg>` element for an HTML page.

    The same drawing gives the same bytes, whatever the user's matplotlib settings are. Text stays text, in
    the font of the page; ids carry `name` as prefix, so that figures in one page do not clash.

    Args:
        draw: fills an empty figure of `width` x `height` units, 1 unit = 1 px at full width.
        name: unique in the page; letters, digits and hyphens.
        width: in px.
        height: in px.
        title: short, shown on hover.
        description: read out instead of the figure.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # only measured here; the browser draws it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        draw(figure)
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata" or child.find(f"{{{_SVG}}}style") is not None:
            root.remove(child)  # matplotlib's style is for `*`: inlined, it would reach the whole page
    _own_ids(root, name)
    for element in root.iter():
        if style := element.get("style"):
            element.set("style", _page_font(style))
    root.attrib.clear()
    root.attrib.update({"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": description})
    head = ElementTree.Element(f"{{{_SVG}}}title")
    head.text = title
    root.insert(0, head)
    return ElementTree.tostring(root, encoding="unicode")


def _own_ids(root: ElementTree.Element, name: str) -> None:
    """Keeps the ids that something refers to, and gives them the figure's name."""
    href = f"{{{_XLINK}}}href"
    used = {
        match
        for element in root.iter()
        for value in element.attrib.values()
        for match in re.findall(r"^#([\w-]+)$|url\(#([\w-]+)\)", value)
        for match in match
        if match
    }
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        link = element.attrib.pop(href, None)
        if link is not None:
            element.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link.replace("\n", ""))
        for key, value in element.attrib.items():
            element.set(key, re.sub(r"url\(#([\w-]+)\)", rf"url(#{name}-\1)", value))


def _page_font(style: str) -> str:
    style = re.sub(r"font: (?:(\w+) )?([\d.]+px) [^;]+", r"font-size: \2; font-weight: \1", style)
    style = re.sub(r"font-family: [^;]+;?", "", style)
    return re.sub(r"; font-weight: (?=;|$)", "", style)


def axes_at(figure: Figure, left: Px, top: Px, width: Px, height: Px) -> Axes:
    """Axes at a place given in px from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches() * 72
    return figure.add_axes(
        (left / full_width, 1 - (top + height) / full_height, width / full_width, height / full_height)
    )


def text_at(figure: Figure, left: Px, top: Px, text: str, **style) -> None:
    """Text at a place given in px from the figure's upper left corner; `style` as matplotlib's `Text`."""
    full_width, full_height = figure.get_size_inches() * 72
    figure.text(left / full_width, 1 - top / full_height, text, **style)
