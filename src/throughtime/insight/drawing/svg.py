"""A drawing as a self-contained SVG: text, lines and boxes; no script, no style sheet, no ids that could clash."""

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from throughtime.insight.drawing._geometry import SMALL, TEXT, Box, Label, Line, Panel, Point
from throughtime.insight.drawing._layout import panels
from throughtime.insight.drawing._text import Px, tspans, width
from throughtime.insight.drawing.graph import Drawing, Node, Weight
from throughtime.insight.drawing.palette import FILL, GREY, INK, PALE, PAPER, Ink, inks

_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_MARGIN, _BETWEEN, _HEAD, _TITLE = 24, 44, 38, 18
_ROW = 21  # of the legend


def svg(drawing: Drawing) -> str:
    """The SVG of a drawing: its forms side by side, their rows aligned, and the legend of the weights below."""
    colours = inks(tuple(weight.name for weight in drawing.coloured))
    symbols = {weight.name: weight.symbol for weight in drawing.weights}
    laid_out = panels(drawing, symbols)
    top, bottom = min(p.top for p in laid_out), max(p.bottom for p in laid_out)
    content = sum(p.width for p in laid_out) + _BETWEEN * (len(laid_out) - 1)
    legend = _Legend(drawing, colours)
    inner = max(content, legend.least, width(drawing.title, _TITLE) * 1.1)
    below = bottom + 20 + 26 * any(p.graph.spans for p in laid_out)
    ink: list[str] = []
    x, base = _MARGIN + (inner - content) / 2, _MARGIN + _HEAD + 26 - top
    for place, panel in enumerate(laid_out):
        if place:
            at = _n(x - _BETWEEN / 2)
            ink.append(f'<path d="M{at} {_n(base + top - 26)}V{_n(base + below)}" stroke="{PALE}"/>')
        title = Label(panel.graph.title, x + panel.width / 2, base + top - 26, size=TEXT)
        ink.append(_text(title, GREY))
        ink.append(_panel(panel, x, base, below, colours, symbols))
        x += panel.width + _BETWEEN
    legend_top = base + below + 22
    ink += legend.draw(_MARGIN, legend_top, inner)
    height = legend_top + legend.height(inner) + _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(inner + 2 * _MARGIN)} {_n(height)}" '
        f'width="{_n(inner + 2 * _MARGIN)}" height="{_n(height)}" role="img" '
        f"aria-label={quoteattr(drawing.description)} font-family={quoteattr(_FONT)}>"
    )
    return "\n".join(
        [
            head,
            f"<title>{escape(drawing.title)}</title>",
            f"<desc>{escape(drawing.description)}</desc>",
            f'<rect width="100%" height="100%" fill="{PAPER}"/>',
            _text(Label(drawing.title, _MARGIN, _MARGIN + 14, "start", _TITLE), INK, bold=True),
            *ink,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, x: Px, y: Px, below: Px, colours: Mapping[str, Ink], symbols: Mapping[str, str]) -> str:
    parts = [f'<g class="{panel.graph.form}" transform="translate({_n(x)} {_n(y)})">']
    straight_last = sorted(panel.lines, key=lambda line: line.edge.kind not in ("residual", "feed", "tap"))
    parts += [_line(line, colours) for line in straight_last]
    parts += [_node(node, panel.boxes[node.id], colours, symbols) for node in panel.graph.nodes]
    for line in panel.lines:
        for label in line.labels:
            fill = colours[label.weight].text if label.weight else INK if label.size == TEXT else GREY
            parts.append(_text(label, fill, halo=True))
    for word, first, last in panel.graph.spans:
        columns = {node.id: node.column for node in panel.graph.nodes}
        boxes = [box for name, box in panel.boxes.items() if first <= columns[name] <= last]
        left, right = min(box.left for box in boxes), max(box.right for box in boxes)
        parts.append(f'<path d="M{_n(left)} {_n(below - 16)}H{_n(right)}" stroke="{GREY}"/>')
        parts.append(_text(Label(word, (left + right) / 2, below, size=TEXT), GREY))
    return "\n".join([*parts, "</g>"])


def _line(line: Line, colours: Mapping[str, Ink]) -> str:
    edge = line.edge
    attributes = f'class="{edge.kind}" data-from="{edge.source}" data-to="{edge.target}"'
    parts = [f"<g {attributes}>"]
    head = _arrow(line.points, INK)
    if not edge.weights:
        plain_colour = GREY if edge.kind in ("feed", "residual") else INK
        dashes = {"feed": "6 4", "residual": "2 3"}.get(edge.kind, "")
        parts.append(_stroke(line.points, plain_colour, 1.5, dashes))
        head = _arrow(line.points, plain_colour)
    for place, name in enumerate(edge.weights):
        ink = colours[name]
        dashes, count = ink.dashes, len(edge.weights)
        if count > 1:  # a cable of several: each colour in its turn
            dashes = f"7 {7 * (count - 1)}"
        offset = f' stroke-dashoffset="{-7 * place}"' if place else ""
        parts.append(_stroke(line.points, ink.line, 2.6, dashes, f'{offset} data-weight="{escape(name)}"'))
        head = _arrow(line.points, ink.line)
    parts.append(head)
    if line.delay is not None:
        x, y = line.delay
        parts.append(f'<rect x="{_n(x - 4.5)}" y="{_n(y - 4.5)}" width="9" height="9" fill="{INK}"/>')
    return "".join([*parts, "</g>"])


def _stroke(points: tuple[Point, ...], colour: str, thick: Px, dashes: str, more: str = "") -> str:
    dashes = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{_rounded(points)}" fill="none" stroke="{colour}" stroke-width="{thick}"{dashes}{more}/>'


def _rounded(points: tuple[Point, ...]) -> str:
    """A path through the points with round corners, which ends where the arrow's head begins."""
    *_, before, end = points
    far = math.dist(before, end)
    end = tuple(e + (b - e) * min(6 / far, 1) for b, e in zip(before, end, strict=True)) if far else end
    points = (*points[:-1], (end[0], end[1]))
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        radius = min(6, math.dist(a, b) / 2, math.dist(b, c) / 2)
        if radius:
            (x0, y0), (x1, y1) = _toward(b, a, radius), _toward(b, c, radius)
            path += f"L{_n(x0)} {_n(y0)}Q{_n(b[0])} {_n(b[1])} {_n(x1)} {_n(y1)}"
    return path + f"L{_n(points[-1][0])} {_n(points[-1][1])}"


def _toward(a: Point, b: Point, far: Px) -> Point:
    share = far / math.dist(a, b)
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _arrow(points: tuple[Point, ...], colour: str) -> str:
    (x0, y0), (x, y) = points[-2], points[-1]
    angle = math.atan2(y - y0, x - x0)
    corners = [(x, y)]
    corners += [(x - 9 * math.cos(angle + turn), y - 9 * math.sin(angle + turn)) for turn in (-0.42, 0.42)]
    return f'<path d="M{"L".join(f"{_n(a)} {_n(b)}" for a, b in corners)}Z" fill="{colour}"/>'


def _node(node: Node, box: Box, colours: Mapping[str, Ink], symbols: Mapping[str, str]) -> str:
    quiet = node.kind in ("state", "fed")
    stroke = f'stroke="{GREY if quiet else INK}" stroke-width="1.4"' + (' stroke-dasharray="4 3"' if quiet else "")
    area = f'x="{_n(box.left)}" y="{_n(box.top)}" width="{_n(box.w)}" height="{_n(box.h)}"'
    parts = []
    if node.kind in ("cell", "context", "delay"):
        fill = PAPER if node.kind == "delay" else FILL
        parts.append(f'<rect {area} rx="{3 if node.kind == "delay" else 8}" fill="{fill}" {stroke}/>')
    elif node.kind != "gap":
        parts.append(f'<rect {area} rx="{_n(min(box.w, box.h) / 2)}" fill="{PAPER}" {stroke}/>')
    y = box.y + 4.5 - 7 * len(node.weights)
    if node.kind == "gap":
        heights = [box.top + (lane + 0.5) * box.h / node.lanes + 1 for lane in range(node.lanes)]
        parts += [_text(Label(node.label, box.x, height, size=TEXT + 3), GREY) for height in heights]
    else:
        parts.append(_text(Label(node.label, box.x, y, size=TEXT), INK, node.kind == "cell"))
    for place, name in enumerate(node.weights, start=1):
        parts.append(_text(Label(symbols[name], box.x, y + 16 * place, size=TEXT), colours[name].text))
    if node.note:
        parts.append(_text(Label(node.note, box.x, box.bottom + 13), GREY))
    return f'<g class="{node.kind}" data-node="{node.id}">{"".join(parts)}</g>'


def _text(label: Label, fill: str, bold: bool = False, halo: bool = False) -> str:
    more = ' font-weight="bold"' if bold else ""
    more += f' paint-order="stroke" stroke="{PAPER}" stroke-width="3" stroke-linejoin="round"' if halo else ""
    anchor = "" if label.anchor == "start" else f' text-anchor="{label.anchor}"'
    return (
        f'<text x="{_n(label.x)}" y="{_n(label.y)}" font-size="{label.size}" fill="{fill}"{anchor}{more}>'
        f"{tspans(label.text, label.size)}</text>"
    )


class _Legend:
    """The parameters: those on edges with their colour, then the others; in as many columns as fit."""

    def __init__(self, drawing: Drawing, colours: Mapping[str, Ink]):
        self.colours, self.notes = colours, drawing.notes
        self.weights = sorted(drawing.weights, key=lambda weight: not weight.on_edges)
        total = sum(weight.size for weight in self.weights)
        self.total = f"{total:,} parameters"
        cells = [self._cells(weight) for weight in self.weights]
        self.widths = [max(width(row[i], TEXT) for row in cells) + 16 for i in range(4)] if cells else [0.0] * 4
        self.column = 44 + sum(self.widths)
        self.least = (
            max(
                self.column * (2 if len(cells) > 8 else 1) + 20,
                *(width(line, SMALL) for line in (self.total, *self.notes)),
            )
            + 8
        )

    def height(self, wide: Px) -> Px:
        return 30 + _ROW * self._rows(wide) + 17 * len(self.notes)

    def draw(self, x: Px, y: Px, wide: Px) -> list[str]:
        rows = self._rows(wide)
        ink = [_text(Label(self.total, x, y, "start", TEXT), INK, bold=True)]
        for place, weight in enumerate(self.weights):
            left, line = x + place // rows * (self.column + 20), y + 24 + _ROW * (place % rows)
            colour = self.colours.get(weight.name)
            if colour:
                points = ((left, line - 4), (left + 38, line - 4))
                ink.append(_stroke(points, colour.line, 3.2, colour.dashes, f' data-legend="{escape(weight.name)}"'))
            at = left + 44
            fills = (colour.text if colour else GREY, GREY, GREY, GREY)
            for i, (text, room, fill) in enumerate(zip(self._cells(weight), self.widths, fills, strict=True)):
                size, anchor = (12 if i else TEXT), ("end" if i == 3 else "start")  # counts end at the right
                ink.append(_text(Label(text, at + (room - 16) * (i == 3), line, anchor, size), fill))
                at += room
        for place, note in enumerate(self.notes):
            ink.append(_text(Label(note, x, y + 28 + _ROW * rows + 17 * place, "start"), GREY))
        return ink

    def _rows(self, wide: Px) -> int:
        columns = max(1, int((wide + 20) // (self.column + 20)))
        return max(1, math.ceil(len(self.weights) / columns))

    def _cells(self, weight: Weight) -> tuple[str, ...]:
        return weight.symbol, weight.name, str(list(weight.shape)), f"{weight.size:,}"


def _n(value: Px) -> str:
    return f"{value:.1f}".removesuffix(".0")
