"""How high each row of a drawing lies: the same in all of its graphs, so that they can stand side by side."""

from collections import defaultdict
from collections.abc import Sequence

from throughtime.insight.drawing._geometry import DOT, LINE, RADIUS, Box
from throughtime.insight.drawing._text import Px
from throughtime.insight.drawing.graph import Graph, Node

LANE, ROW, FAN = 50, 46, 120  # height of a path through time but for its weights; least gaps between rows


class Rows:
    """The height of each row, shared by all graphs of a drawing."""

    def __init__(self, graphs: Sequence[Graph]):
        edges = [edge for graph in graphs for edge in graph.edges]
        nodes = [node for graph in graphs for node in graph.nodes]
        through_time = (len(e.weights) for e in edges if e.kind in ("time", "loop", "back"))
        self.lane = LANE + LINE * max(1, max(through_time, default=1))
        heights: dict[int, Px] = defaultdict(float)
        for node in nodes:
            heights[node.row] = max(heights[node.row], self.height(node))
        row_of = {(graph.form, node.id): node.row for graph in graphs for node in graph.nodes}
        gaps: dict[int, Px] = defaultdict(lambda: 30.0)
        for graph in graphs:
            for edge in graph.edges:
                if edge.kind in ("up", "tap"):
                    least = FAN if edge.kind == "tap" else max(ROW, LINE * len(edge.weights) + 22)
                    row = row_of[graph.form, edge.target]
                    gaps[row] = max(gaps[row], least)
        self.y: dict[int, Px] = {}
        order, y = sorted(heights), 0.0
        for below, row in zip([order[0], *order], order, strict=False):
            y -= (heights[below] / 2 + gaps[row] + heights[row] / 2) * (row != below)
            self.y[row] = y

    def height(self, node: Node) -> Px:
        """Of the box of a node."""
        if node.kind == "cell" or (node.kind == "gap" and node.row):
            return max(self.lane * node.lanes, 30 + LINE * (1 + len(node.weights)))
        return 2 * (DOT if node.kind == "sum" else RADIUS)

    def path(self, box: Box, node: Node, lane: int) -> Px:
        """The height of a path through time at a cell: the first lowest, with more room below it for its labels."""
        return box.y + ((node.lanes - 1) / 2 - lane) * self.lane - (LANE - 2 * LINE) / 4
