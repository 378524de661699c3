"""From what is drawn to the graphs of its forms, with the words around them."""

from dataclasses import replace

from throughtime.insight.drawing.anatomy import Anatomy
from throughtime.insight.drawing.build import Sketch
from throughtime.insight.drawing.ends import ALL_STEPS, Ends, shown_steps
from throughtime.insight.drawing.graph import Drawing, Form, Graph, Node, shape_text
from throughtime.insight.drawing.subject import Subject


def compose(subject: Subject, T: int, T_out: int | None, forms: tuple[Form, ...]) -> Drawing:
    """The drawing of a subject; the arguments are those of `draw`, checked.

    Args:
        subject: what is drawn.
        T: time steps.
        T_out: of the decoder, or None where there is no encoder.
        forms: which forms.
    """
    net, encoder = subject.net, subject.encoder
    title = net.title
    if encoder is None:
        graphs = tuple(_single(subject, form, T) for form in forms)
        words = _words(net, subject.architecture, T)
    else:
        assert T_out is not None
        graphs = tuple(_double(subject, encoder, form, T, T_out) for form in forms)
        words = f"{_words(encoder, 'encoder', T)} {_words(net, 'decoder', T_out)}"
        title = title if encoder.title == title else f"{encoder.title} and {title}"
    shown = {name for graph in graphs for thing in (*graph.edges, *graph.nodes) for name in thing.weights}
    weights = tuple(  # taps left out, or an encoder's readout that nothing reads, are listed without a colour
        replace(weight, on_edges=weight.name in shown)
        for weight in (*(encoder.weights if encoder else ()), *net.weights)
    )
    notes = (*_notes(subject, graphs), *subject.notes)
    return Drawing(f"{title}, {subject.architecture}", words, graphs, weights, notes)


def _single(subject: Subject, form: Form, T: int) -> Graph:
    sketch = Sketch(subject.net, subject.ends)
    if form == "folded" and subject.architecture != "one-to-one":
        column, title = sketch.room_before(folded=True) + 1, "folded"
        sketch.folded(column)
    else:
        column = sketch.room_before() + 1
        sketch.unfolded(column, T, shown_steps(T))
        title = "one step, nothing to unfold" if subject.architecture == "one-to-one" else f"unfolded, T = {T}"
    if subject.context:
        sketch.take_over("t" if title == "folded" else 1, folded=title == "folded")
        sketch.nodes["context"] = _context(subject.context, sketch.nodes, 0)
    return Graph(form, title, tuple(sketch.nodes.values()), tuple(sketch.edges))


def _double(subject: Subject, encoder: Anatomy, form: Form, T: int, T_out: int) -> Graph:
    first = Sketch(encoder, Ends(writes="none", gives="context"), "enc_")
    second = Sketch(subject.net, subject.ends, "dec_")
    if folded := form == "folded":
        middle = first.room_before(folded=True) + 2
        first.folded(middle - 1, side="left")
        column = middle + 1 + second.room_before(folded=True)
        second.folded(column)
        times, title = ("t", "t"), "folded"
        spans = (("encoder", middle - 1, middle - 1), ("decoder", column, column))
    else:
        most = (ALL_STEPS, (3, 2)) if T + T_out <= ALL_STEPS else (4, (2, 1))
        shown, shown_out = shown_steps(T, *most), shown_steps(T_out, *most)
        middle = len(shown) + 1
        first.unfolded(1, T, shown)
        column = middle + 1 + second.room_before()
        second.unfolded(column, T_out, shown_out)
        times, title = (T, 1), f"unfolded, T = {T} and {T_out}"
        spans = (("encoder", 1, len(shown)), ("decoder", column, column + len(shown_out) - 1))
    first.hand_over(times[0], folded=folded)
    second.take_over(times[1], folded=folded)
    nodes = {**first.nodes, **second.nodes}
    assert subject.context is not None
    nodes["context"] = _context(subject.context, nodes, middle)
    return Graph(form, title, tuple(nodes.values()), (*first.edges, *second.edges), spans)


def _context(words: tuple[str, str], nodes: dict[str, Node], column: int) -> Node:
    cells = [node.row for node in nodes.values() if node.kind == "cell"]
    label, note = words
    return Node("context", "context", label, column, min(cells), note=note, top_row=max(cells))


def _words(net: Anatomy, architecture: str, T: int) -> str:
    steps = "one step" if T == 1 else f"{T} time steps"
    parts = []
    for number, layer in enumerate(net.layers, start=1):
        name = layer.title if len(net.layers) == 1 else f"layer {number}, {layer.title}"
        if layer.taps:
            memory = f"a window of {layer.delay + 1} inputs"
        elif layer.paths:
            memory = "state " + ", ".join(f"{path.name} {shape_text(path.shape)}" for path in layer.paths)
        else:
            memory = "no state"
        parts.append(f"{name} with {memory}")
    return (
        f"{architecture.capitalize()}, {steps}: inputs x [B, {net.input_size}], {'; '.join(parts)}, "
        f"outputs y [B, {net.output_size}]. The weights are the same in every step."
    )


def _notes(subject: Subject, graphs: tuple[Graph, ...]) -> tuple[str, ...]:
    """What a reader may ask about lines that have no weight."""
    net = subject.net
    kinds = {edge.kind for graph in graphs for edge in graph.edges}
    notes = ["one colour, one set of weights, whatever the time step"] if net.weights else []
    if "feed" in kinds:
        fits = net.input_size == net.output_size
        how = "" if fits else f", embedded as [B, {net.input_size}]"
        line = "E" if subject.ends.feed else "dashed"
        notes.append(f"{line}: the output is fed back as the next input{'' if subject.ends.feed else how}")
    if "residual" in kinds:
        notes.append("dotted: residual connection")
    plain = any(not edge.weights for graph in graphs for edge in graph.edges if edge.kind in ("time", "loop"))
    if plain and any(not path.weights for layer in net.layers for path in layer.paths):
        notes.append("black path through time: element by element, no matrix")
    if kinds & {"loop", "back"} and any(graph.form == "folded" for graph in graphs):
        notes.append("■ delay of one step")
    return tuple(notes)
