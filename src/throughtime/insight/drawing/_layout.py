"""Where the ink goes: px for the nodes, lines and labels of a graph."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from throughtime.insight.drawing._geometry import DOT, LINE, RADIUS, SMALL, TEXT, Box, Label, Line, Panel, Point
from throughtime.insight.drawing._rows import Rows
from throughtime.insight.drawing._text import Px, width
from throughtime.insight.drawing.graph import Drawing, Edge, Graph, Node, shape_text

BESIDE, LOOP = 13, 26  # how far lines run beside a cell, and how far loops reach out
GAP = 13  # between the taps that come from steps left out


def panels(drawing: Drawing, symbols: Mapping[str, str]) -> list[Panel]:
    """All graphs of a drawing, with the same rows at the same height."""
    rows = Rows(drawing.graphs)
    return [_Place(graph, rows, symbols).panel() for graph in drawing.graphs]


class _Place:
    """One graph."""

    def __init__(self, graph: Graph, rows: Rows, symbols: Mapping[str, str]):
        self.graph, self.rows, self.symbols = graph, rows, symbols
        self.nodes = {node.id: node for node in graph.nodes}
        self.feed_lane = any(edge.kind == "back" for edge in graph.edges)
        self.halves: dict[int, Px] = defaultdict(float)  # of the widest box in each column
        for node in graph.nodes:
            self.halves[node.column] = max(self.halves[node.column], self._width(node) / 2)
        self.x = self._columns()
        self.boxes = {node.id: self._box(node) for node in graph.nodes}

    def panel(self) -> Panel:
        lines = tuple(self._line(edge) for edge in self.graph.edges)
        spans = [*(box.left for box in self.boxes.values()), *(box.right for box in self.boxes.values())]
        notes = [(self.boxes[n.id].x, width(n.note, SMALL) / 2) for n in self.graph.nodes if n.note]
        spans += [x + sign * half for x, half in notes for sign in (-1, 1)]
        for line in lines:
            spans += [x for x, _ in line.points]
            for label in line.labels:
                wide = width(label.text, label.size)
                spans += [label.x - wide * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]]
                spans += [spans[-1] + wide]
        left, right = min(spans), max(spans)
        shifted = {name: Box(b.x - left, b.y, b.w, b.h) for name, b in self.boxes.items()}
        moved = tuple(_shift(line, -left) for line in lines)
        top = min(box.top for box in self.boxes.values())
        bottom = max(box.bottom for box in self.boxes.values())
        return Panel(self.graph, shifted, moved, right - left, top, bottom)

    def _same_column(self, edge: Edge) -> bool:
        return self.nodes[edge.source].column == self.nodes[edge.target].column

    def _width(self, node: Node) -> Px:
        if node.kind in ("cell", "context"):
            return max([58, width(node.label, TEXT) * 1.1 + 16, *(width(self.symbols[w], TEXT) for w in node.weights)])
        if node.kind == "sum":
            return 2 * DOT
        return max(2 * RADIUS, width(node.label, TEXT) + 12)

    def _box(self, node: Node) -> Box:
        x, y = self.x[node.column], self.rows.y[node.row]
        height = self.rows.height(node)
        if node.top_row is not None:
            lanes = max(n.lanes for n in self.graph.nodes if n.kind == "cell")
            top = self.rows.y[node.top_row]
            return Box(x, (y + top) / 2, self._width(node), y - top + self.rows.lane * lanes)
        if node.kind == "state":
            cell = next((n for n in self.graph.nodes if n.kind == "cell" and n.row == node.row), None)
            if cell is not None:
                y = self.rows.path(Box(x, y, 0, 0), cell, node.lane)
            height = 2 * RADIUS - 4
        return Box(x, y, self._width(node), height)

    def _columns(self) -> dict[int, Px]:
        """The centre of each column: room for boxes, for labels between them, and for lines that run beside."""
        columns = sorted(self.halves)
        left, right = defaultdict(float, self.halves), defaultdict(float, self.halves)
        least = 34.0 if any(edge.kind == "tap" for edge in self.graph.edges) else 22.0
        between: dict[int, Px] = defaultdict(lambda: least)
        for node in self.graph.nodes:
            if node.note:
                for side in (left, right):
                    side[node.column] = max(side[node.column], width(node.note, SMALL) / 2 - 8)
        for edge in self.graph.edges:
            source, target = self.nodes[edge.source].column, self.nodes[edge.target].column
            words = self._words(edge)
            if edge.kind == "up":
                left[target] = max(left[target], words + 8)
                right[target] = max(right[target], self._shape_width(edge) + 8)
            elif edge.kind in ("time", "back") and source != target:
                place = max(c for c in columns if c < max(source, target))
                between[place] = max(between[place], max(words, self._shape_width(edge)) + 18)
            elif edge.kind in ("loop", "back"):
                side = left if edge.side == "left" else right
                reach = self.halves[source] + LOOP + 12 + max(words, self._shape_width(edge))
                side[source] = max(side[source], reach)
        for edge in self.graph.edges:
            source, target = self.nodes[edge.source].column, self.nodes[edge.target].column
            if edge.kind == "feed" and source == target:
                right[source] += 24 + max(self._words(edge), self._shape_width(edge))
        x = {columns[0]: 0.0}
        for a, b in pairwise(columns):
            room = self._lanes_right(a) + self._lanes_left(b)
            by_box = self.halves[a] + between[a] + self.halves[b]
            by_label = max(left[b] + right[a] + 10, left[b] + self.halves[a], right[a] + self.halves[b] + 10)
            x[b] = x[a] + max(by_box, by_label) + room
        self.right = right
        return x

    def _shape_width(self, edge: Edge) -> Px:
        return width(shape_text(edge.shape), SMALL) if edge.shape is not None else 0.0

    def _words(self, edge: Edge) -> Px:
        wide = max((width(self.symbols[name], TEXT) for name in edge.weights), default=0.0)
        return wide if edge.kind == "up" else max(wide, width(edge.symbol, TEXT))

    def _lanes_right(self, column: int) -> Px:
        kinds = self._kinds(column, "right")
        return self._lane(column, kinds[-1]) if kinds else 0.0

    def _lanes_left(self, column: int) -> Px:
        return self._lane(column, "residual", "left") if self._kinds(column, "left") else 0.0

    def _lane(self, column: int, kind: str, side: str = "right") -> Px:
        """How far from the boxes of a column the lines of a kind run up and down, past the labels of upward edges."""
        wide = self._words if side == "left" else self._shape_width
        edges = (e for e in self.graph.edges if e.kind == "up" and self.nodes[e.target].column == column)
        first = max(BESIDE, max(map(wide, edges), default=0.0) + 12 - self.halves[column])
        return first + BESIDE * self._kinds(column, side).index(kind)

    def _kinds(self, column: int, side: str) -> list[str]:
        """The kinds of edges that run beside the boxes of a column, the innermost first."""
        kinds = set()
        for edge in self.graph.edges:
            beside = edge.kind == "residual" or not self._same_column(edge)
            if beside and self.nodes[edge.source].column == column and edge.side == side:
                kinds.add(edge.kind)
        return [kind for kind in ("residual", "back", "feed") if kind in kinds]

    def _line(self, edge: Edge) -> Line:
        source, target = self.boxes[edge.source], self.boxes[edge.target]
        if edge.kind == "up":
            return self._up(edge, source, target)
        if edge.kind == "tap":
            return self._tap(edge, source, target)
        if edge.kind == "residual":
            side, column = -1 if edge.side == "left" else 1, self.nodes[edge.source].column
            x = source.x + side * (self.halves[column] + self._lane(column, "residual", edge.side))
            start = source.top - 9
            end = target.left if side < 0 else target.right
            return Line(edge, ((source.x, start), (x, start), (x, target.y), (end, target.y)), ())
        if edge.kind == "feed":
            return self._feed(edge, source, target)
        if edge.kind == "loop" or self._same_column(edge):
            return self._loop(edge, source, target)
        return self._time(edge, source, target)

    def _up(self, edge: Edge, source: Box, target: Box) -> Line:
        middle = (source.top + target.bottom) / 2 + 4
        labels = [
            Label(self.symbols[name], target.x - 6, y, "end", TEXT, name)
            for name, y in zip(edge.weights, _stack(middle, len(edge.weights)), strict=True)
        ]
        if edge.shape is not None and target.bottom < source.top - 24:
            labels.append(Label(shape_text(edge.shape), target.x + 6, middle, "start"))
        return Line(edge, ((source.x, source.top), (target.x, target.bottom)), tuple(labels))

    def _tap(self, edge: Edge, source: Box, target: Box) -> Line:
        reach = target.w * 0.4
        end = target.x + max(-reach, min(reach, 0.12 * (source.x - target.x)))
        labels: list[Label] = []
        if self.graph.form == "folded":
            x, y = source.x + 0.22 * (end - source.x), source.top + 0.22 * (target.bottom - source.top)
            labels += [Label(self.symbols[name], x - 7, y + 4, "end", TEXT, name) for name in edge.weights]
        start = source.x
        if self.nodes[edge.source].kind == "gap":  # the steps left out, the latest on the right
            start += GAP * max(-2, min(2, 2 - edge.lane))
        return Line(edge, ((start, source.top), (end, target.bottom)), tuple(labels))

    def _time(self, edge: Edge, source: Box, target: Box) -> Line:
        ends = (self.nodes[edge.source], self.nodes[edge.target])
        cell = next((node for node in reversed(ends) if node.kind in ("cell", "gap") and node.row > 0), None)
        if edge.kind == "back" and cell is None:  # an output that goes to the context: at the height of its cell
            beneath = [n for n in self.graph.nodes if n.kind == "cell" and n.column == ends[0].column]
            cell = max((n for n in beneath if n.row < ends[0].row), key=lambda n: n.row)
        y = source.y if cell is None else self.rows.path(self.boxes[cell.id], cell, edge.lane)
        if ends[0].kind == "context" and target.y > source.bottom:  # down to a window of inputs
            x = source.right - 8
            points = ((x, source.bottom), (x, target.y), (target.left, target.y))
            return Line(edge, points, self._beside(edge, (x + target.left) / 2, target.y))
        if ends[0].kind == "context" and ends[1].kind == "state":
            y = target.y
        if target.x < source.x:  # along a delay line, into the past
            return Line(edge, ((source.left, y), (target.right, y)), ())
        lanes = self._lanes_right(ends[0].column)
        points: tuple[Point, ...] = ((source.right, y), (target.left, y))
        start = source.right + lanes
        if edge.kind == "back":
            out = source.x + self.halves[ends[0].column]
            turn, start = out + self._lane(ends[0].column, "back"), out + lanes
            points = ((source.right, source.y + 5), (turn, source.y + 5), (turn, y), (target.left, y))
        middle = (start + target.left - self._lanes_left(ends[1].column)) / 2 - 3
        return Line(edge, points, self._beside(edge, middle, y))

    def _beside(self, edge: Edge, x: Px, y: Px) -> tuple[Label, ...]:
        """Weights above a path through time, what it carries below."""
        heights = [y - 8 - LINE * place for place in range(len(edge.weights))]
        labels = [Label(self.symbols[w], x, h, "middle", TEXT, w) for w, h in zip(edge.weights, heights, strict=True)]
        if edge.symbol:
            labels.append(Label(edge.symbol, x, y + 16, "middle", TEXT))
        if edge.shape is not None:
            labels.append(Label(shape_text(edge.shape), x, y + (30 if edge.symbol else 15)))
        return tuple(labels)

    def _loop(self, edge: Edge, source: Box, target: Box) -> Line:
        side = -1 if edge.side == "left" else 1
        y = self.rows.path(target, self.nodes[edge.target], edge.lane)
        x = target.x + side * (self.halves[self.nodes[edge.target].column] + LOOP)
        edge_x = target.right if side > 0 else target.left
        if edge.kind == "back":
            out = source.right if side > 0 else source.left
            points: tuple[Point, ...] = ((out, source.y + 5), (x, source.y + 5), (x, y), (edge_x, y))
            middle = (source.y + y) / 2
        else:
            points = ((edge_x, y - 12), (x, y - 12), (x, y + 12), (edge_x, y + 12))
            middle = y
        texts = [(self.symbols[name], TEXT, name) for name in edge.weights]
        texts += [(edge.symbol, TEXT, ""), (shape_text(edge.shape or ()), SMALL, "")]
        anchor = "start" if side > 0 else "end"
        labels = tuple(
            Label(text, x + side * 10, height, anchor, size, weight)
            for (text, size, weight), height in zip(texts, _stack(middle + 4, len(texts)), strict=True)
        )
        return Line(edge, points, labels, delay=(x, middle))

    def _feed(self, edge: Edge, source: Box, target: Box) -> Line:
        column = self.nodes[edge.source].column
        if self.nodes[edge.source].row == self.nodes[edge.target].row:  # from the steps left out
            return Line(edge, ((source.right, source.y), (target.left, target.y)), ())
        if not self._same_column(edge):
            x = source.x + self.halves[column] + self._lane(column, "feed")
            y = source.y - 5 if self.feed_lane else source.y
            return Line(edge, ((source.right, y), (x, y), (x, target.y), (target.left, target.y)), ())
        wide = max(self._words(edge), self._shape_width(edge))
        x = source.x + self.right[column] - wide - 8
        y = source.y - 5 if self.feed_lane else source.y
        middle = (source.y + target.y) / 2
        texts = [(self.symbols[name], TEXT, name) for name in edge.weights]
        texts += [(edge.symbol, TEXT, ""), (shape_text(edge.shape or ()), SMALL, "")]
        labels = tuple(
            Label(text, x + 10, height, "start", size, weight)
            for (text, size, weight), height in zip(texts, _stack(middle + 4, len(texts)), strict=True)
        )
        points = ((source.right, y), (x, y), (x, target.y), (target.right, target.y))
        return Line(edge, points, labels, delay=(x, middle))


def _stack(middle: Px, count: int) -> Iterable[Px]:
    """Baselines of `count` lines of text around a middle."""
    return [middle + LINE * (place - (count - 1) / 2) for place in range(count)]


def _shift(line: Line, dx: Px) -> Line:
    return Line(
        line.edge,
        tuple((x + dx, y) for x, y in line.points),
        tuple(Label(a.text, a.x + dx, a.y, a.anchor, a.size, a.weight) for a in line.labels),
        None if line.delay is None else (line.delay[0] + dx, line.delay[1]),
    )
