"""A drawing as Mermaid text: a flowchart that Markdown pages render (https://mermaid.js.org/syntax/flowchart.html)."""

import re
from dataclasses import replace

from throughtime.insight.drawing._text import plain
from throughtime.insight.drawing.graph import Drawing, Edge, Graph, Node, shape_text
from throughtime.insight.drawing.palette import FILL, GREY, INK, PALE, PAPER, Ink, inks

_SHAPES = {
    "input": ("([", "])"),
    "fed": ("([", "])"),
    "output": ("([", "])"),
    "cell": ("[", "]"),
    "context": ("[[", "]]"),
    "delay": ("[", "]"),
    "state": ("(", ")"),
    "sum": ("((", "))"),
    "gap": ("[", "]"),
}
_CLASSES = {
    "input": f"fill:{PAPER},stroke:{INK},color:{INK}",
    "fed": f"fill:{PAPER},stroke:{GREY},color:{INK},stroke-dasharray:4 3",
    "output": f"fill:{PAPER},stroke:{INK},color:{INK}",
    "cell": f"fill:{FILL},stroke:{INK},color:{INK},font-weight:bold",
    "context": f"fill:{FILL},stroke:{INK},color:{INK}",
    "delay": f"fill:{PAPER},stroke:{INK},color:{INK}",
    "state": f"fill:{PAPER},stroke:{GREY},color:{GREY},stroke-dasharray:4 3",
    "sum": f"fill:{PAPER},stroke:{INK},color:{INK}",
    "gap": f"fill:none,stroke:none,color:{GREY}",
}


def mermaid(drawing: Drawing) -> str:
    """The Mermaid text of a drawing: one subgraph per form and one for the legend."""
    colours = inks(tuple(weight.name for weight in drawing.coloured))
    symbols = {weight.name: plain(weight.symbol) for weight in drawing.weights}
    lines = [
        "---",
        f'title: "{_quoted(drawing.title)}"',
        "---",
        "flowchart LR",
        f"  accTitle: {_line(drawing.title)}",
        f"  accDescr: {_line(drawing.description)}",
    ]
    styles: list[str] = []
    forms = [graph.form for graph in drawing.graphs]
    lines += _legend(drawing, colours)  # what comes first is drawn at the bottom
    for graph in reversed(drawing.graphs):
        lines += _graph(graph, symbols, colours, styles)
    used = {node.kind for graph in drawing.graphs for node in graph.nodes}
    used |= {"delay" for graph in drawing.graphs for edge in graph.edges if edge.kind == "loop"}
    lines += [f"  classDef {kind} {_CLASSES[kind]}" for kind in sorted(used)]
    lines += [f"  style {form} fill:{PAPER},stroke:{PALE},color:{INK}" for form in ("legend", *forms)]
    return "\n".join([*lines, *styles]) + "\n"


def _graph(graph: Graph, symbols: dict[str, str], colours: dict[str, Ink], styles: list[str]) -> list[str]:
    prefix = graph.form[0]
    lines = [f'  subgraph {graph.form}["{_quoted(graph.title)}"]', "    direction LR"]
    for node in sorted(graph.nodes, key=lambda node: (node.column, node.row)):
        left, right = _SHAPES[node.kind]
        lines.append(f'    {prefix}_{node.id}{left}"{_quoted(_label(node, symbols))}"{right}:::{node.kind}')
    for edge in graph.edges:
        source, target = f"{prefix}_{edge.source}", f"{prefix}_{edge.target}"
        if edge.kind == "loop":  # through a node of its own: Mermaid draws all loops of a node over each other
            delay = f"{source}_delay{edge.lane}"
            lines += [f'    {delay}["delay"]:::delay', f"    {source} --> {delay}"]
            styles.append(f"  linkStyle {len(styles)} {_style(replace(edge, weights=()), colours)}")
            source = delay
        words = [plain(edge.symbol), shape_text(edge.shape) if edge.shape is not None else ""]
        words = [" ".join(filter(None, words)), ", ".join(symbols[name] for name in edge.weights)]
        label = " · ".join(filter(None, words))
        arrow = "-.->" if edge.kind in ("feed", "residual") else "-->"
        text = f'|"{_quoted(label)}"|' if label else ""
        lines.append(f"    {source} {arrow}{text} {target}")
        styles.append(f"  linkStyle {len(styles)} {_style(edge, colours)}")
    return [*lines, "  end"]


def _label(node: Node, symbols: dict[str, str]) -> str:
    inner = ", ".join(symbols[name] for name in node.weights)
    return "<br>".join(filter(None, (plain(node.label), node.note, inner)))


def _style(edge: Edge, colours: dict[str, Ink]) -> str:
    if not edge.weights:
        return f"stroke:{GREY if edge.kind in ('feed', 'residual') else INK},stroke-width:1.5px"
    ink = colours[edge.weights[0]]
    dashes = f",stroke-dasharray:{ink.dashes}" if ink.dashes else ""
    return f"stroke:{ink.line},stroke-width:3px,color:{ink.text}{dashes}"


def _legend(drawing: Drawing, colours: dict[str, Ink]) -> list[str]:
    total = sum(weight.size for weight in drawing.weights)
    lines = [f'  subgraph legend["{total:,} parameters, the same in every time step"]', "    direction TB"]
    for place, weight in enumerate(drawing.weights):
        label = f"{plain(weight.symbol)} = {weight.name}"
        lines.append(f'    weight{place}["{_quoted(label)}<br>{list(weight.shape)}, {weight.size:,}"]')
        ink = colours.get(weight.name)
        stroke = f"stroke:{ink.line},stroke-width:3px" if ink else f"stroke:{PALE}"
        lines.append(f"    style weight{place} fill:{PAPER},color:{INK},{stroke}")
    return [*lines, "  end"]


def _quoted(text: str) -> str:
    """Text between double quotes: Mermaid has entities (#quot;) for what would end it or start another thing."""
    return re.sub(r'["#`]', lambda match: f"#{ord(match[0])};", text)


def _line(text: str) -> str:
    return re.sub(r"[;#{}]", ",", text)
