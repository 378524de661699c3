"""What a memory is made of, as a drawing needs it: layers, paths through time, and the weights on each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from throughtime.insight.drawing._trace import INPUT, Trace, Use, trace_step
from throughtime.insight.drawing.graph import Weight
from throughtime.memory import TDNN, Memory, Stack, WithReadout

Names = tuple[str, ...]
_GREEK = {"lambda": "λ", "nu": "ν", "theta": "θ", "gamma": "γ", "alpha": "α", "beta": "β", "delta": "δ"}


@dataclass(frozen=True)
class Path:
    """A part of the state: what a layer hands from one step to the next."""

    name: str
    shape: tuple[int, ...]
    weights: Names  # with which the next step reads it; none: element by element
    from_output: bool  # it is the layer's output that is fed back (Jordan)
    learned: bool  # its initial value is a parameter; otherwise it is zero


@dataclass(frozen=True)
class Tap:
    """One input of a delay line's window: the one `delay` steps back, and its weight."""

    delay: int
    weight: str


@dataclass(frozen=True)
class Layer:
    """A cell with its edges."""

    title: str
    input_size: int
    output_size: int
    input: Names  # weights on the edge from the input
    inner: Names  # weights inside the cell
    output: Names  # weights on the edge to the output
    paths: tuple[Path, ...]
    taps: tuple[Tap, ...] = ()  # of a delay line, which has no paths
    learned_window: bool = False
    residual: bool = False

    @property
    def delay(self) -> int:
        """How many steps back a delay line sees; 0 for all else."""
        return max((tap.delay for tap in self.taps), default=0)


@dataclass(frozen=True)
class Anatomy:
    """A memory: layers, the lowest first, then the weights of a readout."""

    layers: tuple[Layer, ...]
    readout: Names
    input_size: int
    output_size: int
    weights: tuple[Weight, ...]

    def beneath(self, weight: str, output_size: int, weights: Sequence[Weight]) -> "Anatomy":
        """The same network under a readout through `weight`, with these parameters."""
        return replace(
            self,
            readout=(*self.readout, weight),
            output_size=output_size,
            weights=_distinct([*self.weights, *weights]),
        )

    @property
    def title(self) -> str:
        """For example "GRU" or "3 x LSTM, residual"."""
        names = [layer.title for layer in self.layers]
        text = names[0] if len(names) == 1 else " + ".join(names)
        if len(names) > 1 and len(set(names)) == 1:
            text = f"{len(names)} × {names[0]}"
        return f"{text}, residual" if any(layer.residual for layer in self.layers) else text


def dissect(memory: Memory, mark: str = "", prefix: str = "") -> Anatomy:
    """Reads a memory's structure from its fields (stack, readout, delay line) and its traced step (all else).

    Args:
        memory: any memory; its arrays may be shapes (`eqx.filter_eval_shape`).
        mark: a superscript for all symbols, as "enc" for an encoder.
        prefix: of all names, as "encoder.".
    """
    layers, weights, readout = _dissect(memory, prefix, mark)
    return Anatomy(tuple(layers), readout, memory.input_size, memory.output_size, _distinct(weights))


def _dissect(memory: Memory, prefix: str, mark: str) -> tuple[list[Layer], list[Weight], Names]:
    if isinstance(memory, WithReadout):
        layers, weights, inner = _dissect(memory.memory, f"{prefix}memory.", mark)
        name = f"{prefix}readout."
        readout = memory.readout
        weights += [
            parameter(f"{name}weight_hy", readout.weight_hy.shape, True, mark),
            parameter(f"{name}bias_y", readout.bias_y.shape, False, mark),
        ]
        return layers, weights, (*inner, f"{name}weight_hy")
    if isinstance(memory, Stack):
        layers, weights = [], []
        for number, layer in enumerate(memory.layers):
            label = f"{mark} {number + 1}".strip() if len(memory.layers) > 1 else mark
            drawn, more = _layer(layer, f"{prefix}layers.{number}.", label)
            joins = memory.residual and layer.input_size == layer.output_size
            layers.append(replace(drawn, residual=joins))
            weights += more
        return layers, weights, ()
    layer, weights = _layer(memory, prefix, mark)
    return [layer], weights, ()


def _layer(memory: Memory, prefix: str, mark: str) -> tuple[Layer, list[Weight]]:
    trace = trace_step(memory)
    title, sizes = type(memory).__name__, (memory.input_size, memory.output_size)
    if isinstance(memory, TDNN):
        taps = tuple(Tap(k * memory.dilation, f"{prefix}weight_xh[{k}]") for k in range(memory.taps))
        weights = [
            Weight(tap.weight, _script("W_{" + str(k) + "}", mark), sizes, math.prod(sizes), True)
            for k, tap in enumerate(taps)
        ]
        rest = [name for name in trace.parameters if name != "weight_xh"]
        weights += [parameter(prefix + name, trace.parameters[name], False, mark) for name in rest]
        return Layer(title, *sizes, (), (), (), (), taps, bool(trace.learned)), weights

    places = _places(trace)
    fed_back = {
        name
        for name in trace.is_output
        for index in trace.result_uses[name]
        if places.get("output") and trace.uses[index].parameters & set(places["output"])
    }

    def at(place: str) -> Names:
        return tuple(prefix + name for name in trace.parameters if name in places.get(place, ()))

    paths = tuple(
        Path(name, shape, at(name), name in fed_back, name in trace.learned) for name, shape in trace.state.items()
    )
    on_edges = {name for names in places.values() for name in names}
    weights = [parameter(prefix + name, shape, name in on_edges, mark) for name, shape in trace.parameters.items()]
    return Layer(title, *sizes, at(INPUT), at("inner"), at("output"), paths), weights


def _places(trace: Trace) -> dict[str, set[str]]:
    """Where each weight belongs: INPUT, the name of a state part, "output" or "inner"; biases belong nowhere."""
    places: dict[str, set[str]] = {}
    for name, shape in trace.parameters.items():
        uses = [(index, use) for index, use in enumerate(trace.uses) if name in use.parameters]
        first = min((_rank(use) for _, use in uses), default=None)
        for index, use in uses:
            if _rank(use) != first or not ((use.contracts and len(shape) > 1) or INPUT not in use.reads):
                continue  # used elsewhere first, or a scale of the input or inside the cell: listed, not drawn
            for place in _place(name, index, use, trace):
                places.setdefault(place, set()).add(name)
    return places


def _rank(use: Use) -> tuple[bool, bool, int]:
    """A weight lies where it meets data most directly."""
    return not use.contracts, use.after, len(use.reads)


def _place(name: str, index: int, use: Use, trace: Trace) -> set[str]:
    if use.reads == {INPUT} or INPUT not in use.reads or not use.after:
        return set(use.reads)  # of a product with (x, h) side by side: on both edges
    if not any(index in uses for uses in trace.result_uses.values()):
        return {"output"}
    source = name.rpartition(".")[2].removeprefix("weight_")[:1]  # weight_hn reads h: the names of the house
    if source in trace.state:
        return {source}
    reaches_output = any(index in trace.result_uses[part] for part in trace.is_output)
    return {"output" if reaches_output else "inner"}


def parameter(name: str, shape: tuple[int, ...], on_edges: bool, mark: str, symbol: str = "") -> Weight:
    """A parameter with the symbol that its name suggests (`weight_xh` is W_xh, `bias_h` b_h), or with another one."""
    shape = tuple(shape)
    parent, _, local = name.rpartition(".")
    if local in ("weight", "bias") and parent:  # of a layer inside: U_z.weight is U_z, U_z.bias is b_z
        layer = parent.rpartition(".")[2]
        local = layer if local == "weight" else f"bias_{layer.rpartition('_')[2]}"
    symbol = symbol or _symbol(local, shape)
    return Weight(name, _script(symbol, mark), shape, math.prod(shape), on_edges)


def _symbol(local: str, shape: tuple[int, ...]) -> str:
    kind, _, rest = local.partition("_")
    rest = rest.replace("_", ",")
    if not rest:
        return _GREEK.get(kind, kind)
    if kind == "weight":
        return f"{'W' if len(shape) > 1 else 'w'}_{{{rest}}}"
    if kind == "bias":
        return f"b_{{{rest}}}"
    if kind == "initial":
        head, _, tail = rest.partition(",")
        return f"{head}_{{{tail},0}}" if tail else f"{head}_{{0}}"
    return f"{_GREEK.get(kind, kind)}_{{{rest}}}"


def _script(symbol: str, mark: str) -> str:
    return f"{symbol}^{{{mark}}}" if mark else symbol


def _distinct(weights: Sequence[Weight]) -> tuple[Weight, ...]:
    """The same weights; where two have one symbol (a cell's own readout and one around it) the later gets a prime."""
    seen: set[str] = set()
    result = []
    for weight in weights:
        symbol = weight.symbol
        while symbol in seen:
            symbol = symbol[:1] + "′" + symbol[1:]
        seen.add(symbol)
        result.append(replace(weight, symbol=symbol))
    return tuple(result)
