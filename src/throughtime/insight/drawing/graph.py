"""The neutral description of a drawing: what is there and how it hangs together, not where the ink goes.

Labels are plain text with `_{…}` and `^{…}` for sub- and superscripts, as in `h_{t-1}` or `W_{xh}^{2}`. Shapes
leave out the batch axis B, which leads all of them.
"""

from dataclasses import dataclass
from typing import Literal

NodeKind = Literal["input", "fed", "cell", "output", "state", "sum", "delay", "gap", "context"]
EdgeKind = Literal["up", "time", "back", "feed", "residual", "tap", "loop"]
Form = Literal["folded", "unfolded"]
Side = Literal["left", "right"]


def shape_text(shape: tuple[int, ...]) -> str:
    """With the batch axis, for example "[B, 64]"."""
    return f"[{', '.join(['B', *map(str, shape)])}]"


@dataclass(frozen=True)
class Weight:
    """A parameter; where it has a colour, it has this one in every time step."""

    name: str  # as in `named_arrays`; a tap of a delay line is `weight_xh[2]`
    symbol: str
    shape: tuple[int, ...]
    size: int  # how many numbers
    on_edges: bool  # drawn in a colour; biases, initial states and what is left out are only listed


@dataclass(frozen=True)
class Node:
    """A box or a circle.

    Columns run with time, rows from the input up to the output; both are ordinal numbers.
    """

    id: str
    kind: NodeKind
    label: str
    column: int
    row: int
    note: str = ""  # a word or two under the label
    lanes: int = 1  # of a cell: paths through time, one above the other
    lane: int = 0  # of a state: the path on which it lies
    top_row: int | None = None  # of a context: it spans the rows from `row` to this one
    weights: tuple[str, ...] = ()  # of a cell: those that act inside it


@dataclass(frozen=True)
class Edge:
    """What goes from one node to another, through which weights."""

    source: str
    target: str
    kind: EdgeKind
    symbol: str = ""
    shape: tuple[int, ...] | None = None
    weights: tuple[str, ...] = ()  # names of weights
    lane: int = 0  # which path through time
    side: Side = "right"  # of a loop or a residual connection


@dataclass(frozen=True)
class Graph:
    """One form of a network; `spans` are words under ranges of columns (word, first, last)."""

    form: Form
    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    spans: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Drawing:
    """One or two forms of one network, and the parameters that all their time steps share."""

    title: str
    description: str
    graphs: tuple[Graph, ...]
    weights: tuple[Weight, ...]
    notes: tuple[str, ...] = ()

    @property
    def coloured(self) -> tuple[Weight, ...]:
        """The weights that lie on edges, in the order of their colours."""
        return tuple(weight for weight in self.weights if weight.on_edges)
