"""From a memory's anatomy to the graphs of its folded and its unfolded form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from throughtime.insight.drawing.anatomy import Anatomy, Layer, Path
from throughtime.insight.drawing.ends import ALL_WINDOW, Ends, shown_taps
from throughtime.insight.drawing.graph import Edge, EdgeKind, Node, NodeKind, Side, shape_text

_TOP = 1_000_000
_ROWS = 4  # of a layer: its delay line (folded), its cell, its output, its sum


@dataclass
class Sketch:
    """A graph in the making: one network from column to column."""

    net: Anatomy
    ends: Ends
    prefix: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def folded(self, column: int, side: Side = "right") -> None:
        """The network once, with loops; to the left of `column` lie the delay lines."""
        outlet = self._column(column, "t", folded=True, side=side)
        for number, layer in enumerate(self.net.layers):
            cell, out = self._id("cell", number, "t"), self._id("out", number, "t")
            for lane, path in enumerate(layer.paths):
                source = out if path.from_output else cell
                kind = "back" if path.from_output else "loop"
                symbol = self._symbol(path.name, number, "t-1")
                self._edge(source, cell, kind, symbol, path.shape, path.weights, lane, side)
        if self.ends.start:
            shape, feed = (self.net.output_size,), self.ends.feed
            self._edge(outlet, self._id("x", 0, "t"), "feed", _sub(self._y, "t-1"), shape, feed)

    def unfolded(self, column: int, T: int, shown: Sequence[int | None]) -> None:
        """`shown` steps from `column` on; None stands for those left out."""
        columns = {t: column + place for place, t in enumerate(shown)}
        outlets = {t: self._column(columns[t], t, T=T) for t in shown if t is not None}
        if None in columns:
            before = shown[shown.index(None) - 1]
            after = shown[shown.index(None) + 1]
            assert before is not None
            assert after is not None
            words = f"{before + 1} … {after - 1}" if after - before > 2 else f"{before + 1}"
            self._node("gap", "x", 0, None, "⋯", columns[None], 0, note=f"t = {words}")
            for number, layer in enumerate(self.net.layers):
                lanes = max(len(layer.paths), 1)
                self._node("gap", "cell", number, None, "⋯", columns[None], self._row(number, 1), lanes=lanes)
        for number, layer in enumerate(self.net.layers):
            if layer.taps:
                self._taps(number, layer, columns)
            for lane, path in enumerate(layer.paths):
                self._path(number, path, lane, shown, columns)
        if self.ends.start:
            for t, after in pairwise(shown):
                source = self._id("x", 0, None) if t is None else outlets[t]
                symbol = "" if t is None else _sub(self._y, t)
                shape, feed = (self.net.output_size,), self.ends.feed
                self._edge(source, self._id("x", 0, after), "feed", symbol, shape, feed)

    def hand_over(self, t: int | str, *, folded: bool = False) -> None:
        """The last state goes to the context (unfolded it does on its path); of a network without one the output."""
        symbol, context = "T" if folded else t, self.ends.gives
        for number, layer in enumerate(self.net.layers):
            for lane, path in enumerate(layer.paths if folded else ()):
                source = self._id("out" if path.from_output else "cell", number, t)
                kind = "back" if path.from_output else "time"
                self._edge(source, context, kind, self._symbol(path.name, number, symbol), path.shape, (), lane)
            if layer.delay:
                shape = (layer.delay, layer.input_size)
                self._edge(self._id("cell", number, t), context, "time", "window", shape)
        if not self._stateful:
            top = len(self.net.layers) - 1
            shape = (self.net.layers[top].output_size,)
            self._edge(self._id("cell", top, t), context, "time", _sub("y", symbol), shape)

    def take_over(self, t: int | str, *, folded: bool = False) -> None:
        """The context is the state before the first step; a network without one gets it in its first cell."""
        context, bridge = self.ends.starts_from, self.ends.bridge
        if not context:  # it is only an input
            self._edge("context", self._id("x", 0, t), "time")
            return
        for number, layer in enumerate(self.net.layers if folded else ()):
            for lane, path in enumerate(layer.paths):
                symbol, weights = self._symbol(path.name, number, 0), (*bridge, *path.weights)
                self._edge(context, self._id("cell", number, t), "time", symbol, path.shape, weights, lane)
            if layer.delay:
                shape = (layer.delay, layer.input_size)
                self._edge(context, self._id("cell", number, t), "time", "window", shape, bridge)
        if not self._stateful:
            self._edge(context, self._id("cell", 0, t), "time", "", None, bridge)

    def room_before(self, *, folded: bool = False) -> int:
        """How many columns delay lines and windows need before the first step."""
        initial = any(layer.paths for layer in self.net.layers) and not self.ends.starts_from
        room = int(initial and not folded)
        for number, layer in enumerate(self.net.layers):
            beside = number > 0 and bool(self.net.layers[number - 1].paths)
            taps, elided = shown_taps(layer.taps)
            window = 1 if layer.delay > ALL_WINDOW or self.ends.starts_from else layer.delay
            room = max(room, len(taps) - 1 + bool(elided) if folded else window + beside if layer.delay else 0)
        return room

    def _column(self, column: int, t: int | str, *, T: int = 0, folded: bool = False, side: Side = "right") -> str:
        """One time step from the input up: nodes, and the edges among them. Returns the id of the topmost."""
        net, ends = self.net, self.ends
        last = t in (T, "t")
        writes = ends.writes == "all" or (ends.writes == "last" and last)
        kind = "fed" if ends.start and t != 1 else "input"
        label = ends.start if ends.start and t == 1 else _sub("x", t)
        shape, pending = (net.input_size,), ()
        notes = [f"t = 1: {ends.start}"] if folded and ends.start else []
        notes += [shape_text(shape)] if net.layers[0].taps else []  # there is no room for it between the taps
        below = self._node(kind, "x", 0, t, label, column, 0, note=", ".join(notes))
        for number, layer in enumerate(net.layers):
            top = number == len(net.layers) - 1
            if folded and layer.taps:
                below = self._delay_line(number, layer, below, shape, column)
            lanes = max(len(layer.paths), 1)
            row = self._row(number, 1)
            cell = self._node("cell", "cell", number, t, layer.title, column, row, lanes=lanes, weights=layer.inner)
            if layer.taps and folded:
                for tap in shown_taps(layer.taps)[0]:
                    source = below if tap.delay == 0 else self._id(f"delay{tap.delay}_", number, t)
                    self._edge(source, cell, "tap", "", shape, (tap.weight,))
            elif not layer.taps:
                self._edge(below, cell, "up", "", shape, layer.input)
            out_shape = (layer.output_size,)
            outlet, pending = cell, layer.output
            fed_back = any(path.from_output for path in layer.paths)
            alone = top and not layer.residual and not net.readout
            if not (alone and writes) and (fed_back or (pending and (writes or not top))):
                row = _TOP if alone else self._row(number, 2)
                out = self._node("output", "out", number, t, self._symbol("y", number, t), column, row)
                self._edge(cell, out, "up", "", out_shape, pending)
                outlet, pending = out, ()
            if layer.residual:
                total = self._node("sum", "sum", number, t, "+", column, self._row(number, 3))
                self._edge(outlet, total, "up", "", out_shape, pending)
                other = "right" if layer.taps or side == "left" else "left"
                self._edge(below, total, "residual", "", shape, side=other)
                outlet, pending = total, ()
            below, shape = outlet, out_shape
        if not writes:
            return below
        label = _sub(self._y, "T" if folded and ends.writes == "last" else t)
        number = len(net.layers) - 1
        y = self._node("output", "out" if below == self._id("cell", number, t) else "y", number, t, label, column, _TOP)
        self._edge(below, y, "up", "", (net.output_size,), (*pending, *net.readout))
        return y

    def _delay_line(self, number: int, layer: Layer, below: str, shape: tuple[int, ...], column: int) -> str:
        """The folded form's window: delays in a row, the past on the left. Returns what the first tap sees."""
        row = 0 if number == 0 else self._row(number, 0)
        if number:
            inlet = self._node("output", "in", number, "t", _sub("y", "t") + f"^{{{number}}}", column, row)
            self._edge(below, inlet, "up", "", shape)
            below = inlet
        taps, elided = shown_taps(layer.taps)
        source, past = below, 0
        for place, tap in enumerate(taps[1:], start=1):
            if elided and tap is taps[-1]:
                gap = self._node("gap", "gap", number, "t", "⋯", column - place, row, note=f"{elided} more")
                self._edge(source, gap, "time")
                source, place = gap, place + 1
                past = tap.delay - (layer.taps[1].delay if len(layer.taps) > 1 else 0)
            step = tap.delay - past
            label = "z^{-" + str(step) + "}"
            delay = self._node("delay", f"delay{tap.delay}_", number, "t", label, column - place, row)
            self._edge(source, delay, "time")
            source, past = delay, tap.delay
        return below

    def _taps(self, number: int, layer: Layer, columns: dict[int | None, int]) -> None:
        """The unfolded window: each step sees its own input and those before it, through one weight per delay."""
        shape = (layer.input_size,)
        row = self.nodes[self._below(number, next(t for t in columns if t is not None))].row
        first_column = min(columns.values())
        beside = number > 0 and bool(self.net.layers[number - 1].paths)  # there the initial states stand
        times = list(columns)
        resumes = next((t for gap, t in pairwise(times) if gap is None and t is not None), 0)
        name = f"window{number}_"
        note = "learned" if layer.learned_window else "zeros"
        context = self.ends.starts_from
        for t in columns:
            for tap in shown_taps(layer.taps)[0] if t is not None else ():
                assert t is not None
                then, lane = t - tap.delay, 0
                if then in columns:
                    source = self._below(number, then)
                elif then >= 1:
                    source = self._id("x" if number == 0 else "cell", max(number - 1, 0), None)
                    lane = resumes - then
                elif layer.delay <= ALL_WINDOW and not context:
                    label = self._symbol("x" if number == 0 else "y", number - 1, then)
                    source = self._node(
                        "state", name, number, then, label, first_column - 1 - beside + then, row, note=note
                    )
                else:
                    place, why = first_column - 1 - beside, "" if context else note
                    new = self._id(name, number, "all") not in self.nodes
                    source = self._node("state", name, number, "all", "window", place, row, note=why)
                    if context and new:
                        window = (layer.delay, layer.input_size)
                        self._edge(context, source, "time", "", window, self.ends.bridge)
                self._edge(source, self._id("cell", number, t), "tap", "", shape, (tap.weight,), lane)

    def _path(
        self, number: int, path: Path, lane: int, shown: Sequence[int | None], columns: dict[int | None, int]
    ) -> None:
        """A part of the state from the initial one through all steps."""
        row, ends = self._row(number, 1), self.ends
        T, column = shown[-1], columns[shown[-1]]
        assert T is not None
        if ends.starts_from:
            source = ends.starts_from
        else:
            label, note = self._symbol(path.name, number, 0), "learned" if path.learned else "zeros"
            first = min(columns.values()) - 1
            source = self._node("state", f"{path.name}_", number, 0, label, first, row, note=note, lane=lane)
        kind, symbol, bridge = "time", "", ends.bridge if ends.starts_from else ()
        resumes = next((t - 1 for gap, t in pairwise(shown) if gap is None and t is not None), 0)
        for t in shown:
            cell = self._id("cell", number, t)
            self._edge(source, cell, kind, symbol, path.shape, (*bridge, *path.weights), lane)
            bridge = ()
            from_output = path.from_output and t is not None
            source = self._id("out", number, t) if from_output else cell
            kind = "back" if from_output else "time"
            symbol = self._symbol(path.name, number, t) if t is not None else self._symbol(path.name, number, resumes)
        if ends.gives:
            self._edge(source, ends.gives, kind, symbol, path.shape, (), lane)
        elif ends.hands_on and not path.from_output:
            label = self._symbol(path.name, number, T)
            final = self._node("state", f"{path.name}_", number, T, label, column + 1, row, note="final", lane=lane)
            self._edge(source, final, "time", "", path.shape, (), lane)

    def _below(self, number: int, t: int | str) -> str:
        """What a layer reads at step t: the input, or what the layer below puts out."""
        if number == 0:
            return self._id("x", 0, t)
        ids = (self._id(kind, number - 1, t) for kind in ("sum", "out", "cell"))
        return next(node for node in ids if node in self.nodes)

    @property
    def _stateful(self) -> bool:
        return any(layer.paths or layer.delay for layer in self.net.layers)

    @property
    def _y(self) -> str:
        """The name of the output; primed where what a single layer puts out, y, is not yet it."""
        first = self.net.layers[0]
        own = bool(first.output) or any(path.from_output for path in first.paths)
        return "y′" if len(self.net.layers) == 1 and own and (self.net.readout or first.residual) else "y"

    def _row(self, number: int, offset: int) -> int:
        return 1 + _ROWS * number + offset

    def _symbol(self, name: str, number: int, t: int | str) -> str:
        head, _, tail = name.partition("_")
        symbol = _sub(head, f"{tail},{t}" if tail else t)
        return f"{symbol}^{{{number + 1}}}" if len(self.net.layers) > 1 and number >= 0 else symbol

    def _id(self, kind: str, number: int, t: int | str | None) -> str:
        when = "gap" if t is None else str(t).replace("-", "m")
        return f"{self.prefix}{kind}{number if kind != 'x' else ''}_{when}"

    def _node(
        self,
        kind: NodeKind,
        name: str,
        number: int,
        t: int | str | None,
        label: str,
        column: int,
        row: int,
        **more: Any,
    ) -> str:
        node = Node(self._id(name, number, t), kind, label, column, row, **more)
        self.nodes[node.id] = node
        return node.id

    def _edge(
        self,
        source: str,
        target: str,
        kind: EdgeKind,
        symbol: str = "",
        shape: tuple[int, ...] | None = None,
        weights: tuple[str, ...] = (),
        lane: int = 0,
        side: Side = "right",
    ) -> None:
        self.edges.append(Edge(source, target, kind, symbol, shape, weights, lane, side))


def _sub(symbol: str, t: int | str) -> str:
    return f"{symbol}_{{{t}}}"
