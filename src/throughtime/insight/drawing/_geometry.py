"""Boxes, lines and labels in px."""

from collections.abc import Mapping
from dataclasses import dataclass

from throughtime.insight.drawing._text import Px
from throughtime.insight.drawing.graph import Edge, Graph

TEXT, SMALL, LINE = 13, 11, 16  # font sizes and the height of a line
RADIUS, DOT = 18, 10  # of the circles of inputs and outputs, and of sums

Point = tuple[Px, Px]


@dataclass(frozen=True)
class Box:
    """A node: its centre and size."""

    x: Px
    y: Px
    w: Px
    h: Px

    @property
    def left(self) -> Px:
        """Of its edge."""
        return self.x - self.w / 2

    @property
    def right(self) -> Px:
        """Of its edge."""
        return self.x + self.w / 2

    @property
    def top(self) -> Px:
        """Of its edge."""
        return self.y - self.h / 2

    @property
    def bottom(self) -> Px:
        """Of its edge."""
        return self.y + self.h / 2


@dataclass(frozen=True)
class Label:
    """A line of text; `weight` names the weight whose colour it has."""

    text: str
    x: Px
    y: Px  # of the baseline
    anchor: str = "middle"
    size: Px = SMALL
    weight: str = ""


@dataclass(frozen=True)
class Line:
    """An edge: its corners, its labels, and where a delay sits on it."""

    edge: Edge
    points: tuple[Point, ...]
    labels: tuple[Label, ...]
    delay: Point | None = None


@dataclass(frozen=True)
class Panel:
    """A graph, laid out: its left edge lies at x = 0, the centre of its lowest row at y = 0, and up is negative."""

    graph: Graph
    boxes: Mapping[str, Box]
    lines: tuple[Line, ...]
    width: Px
    top: Px
    bottom: Px
