"""Drawings: what they say of each memory is what its equations say, and the text that draws them is whole."""

import math
import re
from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chromium import Chromium, find
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from throughtime.core import ConfigError
from throughtime.insight import describe, draw
from throughtime.insight.drawing.mermaid import mermaid
from throughtime.insight.drawing.subject import subject_of
from throughtime.insight.drawing.svg import svg
from throughtime.memory import MEMORIES, Memory, Stack, WithReadout, make_memory
from throughtime.memory.architectures import EncoderDecoder, ManyToOne, OneToMany, OneToOne

SVG = "{http://www.w3.org/2000/svg}"
KEY = jax.random.key(0)
ARCHITECTURES = ("one-to-one", "one-to-many", "many-to-one", "many-to-many", "encoder-decoder")
VARIANTS = [(name, dict(variant)) for name, spec in MEMORIES.items() for variant in spec.variants]

# What each weight multiplies, from the published equations: the input x, a part of the state, or what the cell put out.
PLACES = {
    "elman": {"x": {"weight_xh"}, "h": {"weight_hh"}, "out": {"readout.weight_hy"}},
    "jordan": {"x": {"weight_xh"}, "y": {"weight_yh"}, "out": {"readout.weight_hy"}},
    "lstm": {"x": {"weight_xh"}, "h": {"weight_hh"}, "c": {"weight_ch"}, "out": set()},
    "gru": {"x": {"weight_xh"}, "h": {"weight_hh"}, "out": set()},
    "lru": {
        "x": {"weight_xh_re", "weight_xh_im", "weight_xy"},
        "h_re": {"nu_log", "theta_log"},
        "h_im": {"nu_log", "theta_log"},
        "out": {"weight_hy_re", "weight_hy_im"},
    },
    "mingru": {"x": {"weight_xh"}, "h": set(), "out": set()},
    "minlstm": {"x": {"weight_xh"}, "h": set(), "out": set()},
    "none": {"x": {"weight_xh"}, "out": set()},
}


def shapes(build):
    return eqx.filter_eval_shape(build)


def make(name, input_size=4, hidden_size=6, **options):
    return shapes(lambda: make_memory(name, input_size, hidden_size, key=KEY, **options))


def unfolded(model, *arguments, **options):
    return describe(model, *arguments, form="unfolded", **options).graphs[0]


def arrays(model):
    """Every parameter's name and shape."""
    leaves = jax.tree_util.tree_flatten_with_path(model)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves}


def gallery():
    """Drawings that together hold every kind of thing."""
    for name, variant in VARIANTS:
        yield f"{name}-{variant}", make(name, **variant), {}
    for name in MEMORIES:
        yield f"{name} residual", make(name, 6, num_layers=3, residual=True), {"T": 3}
        yield f"{name} elided", make(name, num_layers=2), {"T": 20}
        for architecture in ("one-to-many", "encoder-decoder"):
            yield f"{name} {architecture}", make(name), {"T": 3, "architecture": architecture}
    for name in ("lstm", "tdnn", "jordan"):
        read_out = shapes(lambda name=name: WithReadout(make_memory(name, 4, 1024, key=KEY), 5, key=KEY))
        yield f"{name} T=8", read_out, {"T": 8}
        yield f"{name} T=1", read_out, {"T": 1}
        yield f"{name} one-to-one", read_out, {"architecture": "one-to-one"}
        yield f"{name} many-to-one", read_out, {"architecture": "many-to-one"}
        yield f"{name} long", read_out, {"T": 20, "T_out": 9, "architecture": "encoder-decoder"}
    wide = shapes(lambda: WithReadout(make_memory("tdnn", 4, 6, key=KEY), 10_000_000, key=KEY))
    yield "wide", wide, {}
    yield "many taps", make("tdnn", taps=16), {"T": 12}
    mixed = shapes(lambda: Stack([make_memory("gru", 4, 6, key=KEY), make_memory("tdnn", 6, 6, key=KEY)]))
    yield "mixed", mixed, {"T": 9}
    yield "leaky", leaky(), {"T": 3}
    yield "captions", captions(), {"T": 3}
    yield "translation", translation(), {"T": 20, "T_out": 9}
    yield "captions, no bridge", captions(bridge=False), {"T": 3}


def captions(**options):
    return shapes(lambda: OneToMany(make_memory("gru", 8, 6, key=KEY), 12, 5, key=KEY, **options))


def translation():
    def build():
        encoder, decoder = make_memory("lstm", 4, 6, key=KEY), make_memory("gru", 3, 6, num_layers=2, key=KEY)
        return EncoderDecoder(encoder, decoder, 12, attention=True, key=KEY)

    return shapes(build)


@pytest.fixture(scope="module")
def drawings():
    described = {name: describe(model, **options) for name, model, options in gallery()}
    return {name: (drawing, svg(drawing), mermaid(drawing)) for name, drawing in described.items()}


@pytest.mark.parametrize(("name", "variant"), [v for v in VARIANTS if v[0] != "tdnn"], ids=str)
def test_each_weight_lies_where_the_equations_have_it(name, variant):
    T = 3
    memory = make(name, **variant)
    there = set(arrays(memory))
    graph = unfolded(memory, T)
    places = PLACES[name]
    kinds = {node.id: node.kind for node in graph.nodes}
    cells = [node.id for node in graph.nodes if node.kind == "cell"]
    assert len(cells) == T
    for cell in cells:
        into = [edge for edge in graph.edges if edge.target == cell]
        from_input = [edge for edge in into if edge.kind == "up"]
        assert [set(edge.weights) for edge in from_input] == [places["x"] & there]
        paths = [edge for edge in into if edge.kind in ("time", "back")]
        expected = [weights & there for part, weights in places.items() if part not in ("x", "out")]
        assert [set(edge.weights) for edge in paths] == expected
        out = [edge for edge in graph.edges if edge.source == cell and kinds[edge.target] == "output"]
        assert [set(edge.weights) for edge in out] == [places["out"] & there]


@pytest.mark.parametrize("T", [1, 4, 8])
def test_recurrent_weights_are_there_once_a_step_and_once_per_shown_step_when_elided(T):
    for shown, steps in ((T, T), (3 + 2 + 1, 20)):  # 5 steps, and the one that leads into those left out
        edges = unfolded(make("lstm"), steps).edges
        assert sum("weight_hh" in edge.weights for edge in edges) == shown


def test_steps_left_out_are_named():
    nodes = unfolded(make("gru"), 20).nodes
    assert [node.label for node in nodes if node.kind == "input"] == [f"x_{{{t}}}" for t in (1, 2, 3, 19, 20)]
    assert "t = 4 … 18" in {node.note for node in nodes}


def test_an_lstm_carries_two_paths_with_their_shapes():
    edges = [edge for edge in unfolded(make("lstm"), 3).edges if edge.kind == "time"]
    assert Counter(edge.symbol for edge in edges if edge.symbol) == Counter(["h_{1}", "h_{2}", "c_{1}", "c_{2}"])
    assert {edge.shape for edge in edges} == {(6,)}


def test_a_jordan_network_feeds_its_output_back():
    for form, steps in (("folded", 1), ("unfolded", 3)):
        graph = describe(make("jordan", output_size=2), 4, form=form).graphs[0]
        kinds = {node.id: node.kind for node in graph.nodes}
        back = [edge for edge in graph.edges if edge.kind == "back"]
        assert [(kinds[edge.source], edge.weights, edge.shape) for edge in back] == [
            ("output", ("weight_yh",), (2,))
        ] * steps


def test_without_memory_nothing_leads_through_time():
    for graph in describe(make("none"), 5).graphs:
        columns = {node.id: node.column for node in graph.nodes}
        assert all(columns[edge.source] == columns[edge.target] for edge in graph.edges)
        assert not any(edge.kind in ("time", "loop", "back") for edge in graph.edges)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_tdnn_is_a_tapped_delay_line(dilation):
    K, T = 3, 4
    graph = unfolded(make("tdnn", taps=K, dilation=dilation), T)
    labels = {node.id: node.label for node in graph.nodes}
    times = {node.column: int(node.label[3:-1]) for node in graph.nodes if node.kind == "input"}
    columns = {node.id: node.column for node in graph.nodes}
    taps = {(labels[e.source], times[columns[e.target]], e.weights) for e in graph.edges if e.kind == "tap"}
    assert taps == {(f"x_{{{t - k * dilation}}}", t, (f"weight_xh[{k}]",)) for t in range(1, T + 1) for k in range(K)}
    assert not any(edge.kind in ("time", "loop", "back") for edge in graph.edges)
    folded = describe(make("tdnn", taps=K, dilation=dilation), form="folded").graphs[0]
    assert [node.label for node in folded.nodes if node.kind == "delay"] == [f"z^{{-{dilation}}}"] * (K - 1)
    assert sorted(e.weights for e in folded.edges if e.kind == "tap") == [(f"weight_xh[{k}]",) for k in range(K)]


def test_a_stack_lies_in_layers_with_residuals_where_the_widths_allow_them():
    for graph in describe(make("gru", 4, 6, num_layers=3, residual=True), 2).graphs:
        rows = sorted({node.row for node in graph.nodes if node.kind == "cell"})
        assert len(rows) == 3
        columns = {node.column for node in graph.nodes if node.kind == "cell"}
        sums = [node for node in graph.nodes if node.kind == "sum"]
        assert len(sums) == 2 * len(columns)  # the first layer changes the width from 4 to 6
        residuals = {edge.target for edge in graph.edges if edge.kind == "residual"}
        assert residuals == {node.id for node in sums}
        assert rows[0] < min(node.row for node in sums)


@pytest.mark.parametrize(
    ("architecture", "inputs", "outputs", "fed"),
    [("many-to-many", 4, 4, 0), ("many-to-one", 4, 1, 0), ("one-to-many", 1, 4, 3), ("one-to-one", 1, 1, 0)],
)
def test_an_architecture_says_what_is_read_and_put_out(architecture, inputs, outputs, fed):
    T = 1 if architecture == "one-to-one" else 4
    graph = unfolded(make("gru"), T, architecture=architecture)
    kinds = Counter(node.kind for node in graph.nodes)
    assert (kinds["input"], kinds["output"], kinds["fed"]) == (inputs, outputs, fed)
    assert sum(edge.kind == "feed" for edge in graph.edges) == fed


def test_an_encoder_hands_its_state_to_a_decoder_that_reads_its_own_outputs():
    decoder = make("gru", 6, 6)
    drawing = describe(make("lstm", 4, 6), 3, T_out=2, architecture="encoder-decoder", decoder=decoder)
    for graph in drawing.graphs:
        into = [edge for edge in graph.edges if edge.target == "context"]
        assert [edge.symbol[0] for edge in into] == ["h", "c"]
        out = [edge for edge in graph.edges if edge.source == "context"]
        assert [edge.weights for edge in out] == [("decoder.weight_hh",)]
        assert [edge for edge in graph.edges if edge.kind == "feed"]
        assert [word for word, *_ in graph.spans] == ["encoder", "decoder"]
    assert Counter(node.kind for node in drawing.graphs[1].nodes)["output"] == 2
    assert {weight.name.partition(".")[0] for weight in drawing.weights} == {"encoder", "decoder"}


def test_an_architecture_is_drawn_with_all_its_own_weights():
    cell = make_memory("gru", 4, 6, key=KEY)
    direct = [shapes(lambda kind=kind: kind(cell, 3, key=KEY)) for kind in (OneToOne, ManyToOne)]
    for model in (captions(), translation(), *direct):
        drawing = describe(model)
        assert {weight.name: weight.shape for weight in drawing.weights} == arrays(model)
        drawn = {name for graph in drawing.graphs for edge in graph.edges for name in edge.weights}
        assert drawn == {weight.name for weight in drawing.coloured}
    assert describe(captions()).title == "GRU, one-to-many"


def test_all_parameters_are_listed_with_their_real_shapes():
    for name, variant in VARIANTS:
        model = make(name, **variant)
        weights = describe(model).weights
        assert sum(weight.size for weight in weights) == sum(math.prod(shape) for shape in arrays(model).values())
        if name != "tdnn":
            assert {weight.name: weight.shape for weight in weights} == arrays(model)


class LeakyState(NamedTuple):
    z: jax.Array


class Leaky(Memory):
    """A memory nobody has told the drawings of: z' = a z + W₂ tanh(W₁ [x; z]), y = z' W₃, under jit and scan."""

    mix: jax.Array
    inside: jax.Array
    leak: jax.Array
    weight_zy: jax.Array
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def initial_state(self, batch_size):
        return LeakyState(jnp.zeros((batch_size, 5)))

    def advance(self, state, projected):
        @jax.jit
        def inner(z):
            hidden = jnp.tanh(jnp.concatenate([projected, z], axis=1) @ self.mix)
            return jnp.broadcast_to(self.leak, z.shape) * z + hidden @ self.inside

        z, _ = jax.lax.scan(lambda z, _: (inner(z), None), state.z, None, length=1)
        return LeakyState(z), z

    def read_out(self, hidden):
        return hidden @ self.weight_zy


def leaky():
    return Leaky(np.ones((9, 7), "f"), np.ones((7, 5), "f"), np.ones(5, "f"), np.ones((5, 2), "f"), 4, 2)


def test_a_new_memory_is_drawn_without_new_code():
    graph = unfolded(leaky(), 2)
    cells = [node for node in graph.nodes if node.kind == "cell"]
    assert [(node.label, node.weights) for node in cells] == [("Leaky", ("inside",))] * 2
    kinds = {edge.kind: set(edge.weights) for edge in graph.edges if edge.target in {node.id for node in cells}}
    assert kinds == {"up": {"mix"}, "time": {"mix", "leak"}}
    out = [edge for edge in graph.edges if edge.target.startswith("out")]
    assert [(edge.weights, edge.shape) for edge in out] == [(("weight_zy",), (2,))] * 2


def test_each_weight_has_one_look_of_its_own(drawings):
    for name, (drawing, text, _) in drawings.items():
        looks: dict[str, set] = {}
        for element in ElementTree.fromstring(text).iter(f"{SVG}path"):
            if weight := element.get("data-weight"):
                looks.setdefault(weight, set()).add(element.get("stroke"))
        drawn = {w for graph in drawing.graphs for edge in graph.edges for w in edge.weights}
        inner = {w for graph in drawing.graphs for node in graph.nodes for w in node.weights}
        assert looks.keys() == drawn, name
        assert all(len(look) == 1 for look in looks.values()), name
        if len(drawing.coloured) <= 24:
            assert len({colour for look in looks.values() for colour in look}) == len(looks), name
        assert {weight.name for weight in drawing.coloured} == drawn | inner, name


def test_as_many_colours_as_weight_matrices():
    for name, count in {"elman": 2, "jordan": 3, "lstm": 2, "gru": 2, "mingru": 1, "none": 1}.items():
        root = ElementTree.fromstring(draw(make(name)))
        colours = {e.get("stroke") for e in root.iter(f"{SVG}path") if e.get("data-weight")}
        assert len(colours) == count == sum(len(shape) == 2 for shape in arrays(make(name)).values())


def test_svg_is_whole_and_self_contained(drawings):
    for name, (drawing, text, _) in drawings.items():
        root = ElementTree.fromstring(text)
        assert root.find(f"{SVG}title").text == drawing.title, name
        assert root.find(f"{SVG}desc").text == drawing.description, name
        assert root.get("role") == "img", name
        assert not any(element.get("id") or element.tag == f"{SVG}script" for element in root.iter()), name
        assert not re.search(r"href|url\(|nan|inf\b", text), name
        total = sum(weight.size for weight in drawing.weights)
        assert f">{total:,} parameters<" in text, name


def text_boxes(root):
    """Left, top, right and bottom of each text, measured in DejaVu Sans, among the widest fonts a page may have."""
    font = FontProperties(family="DejaVu Sans")
    todo = [(root, root, 0.0, 0.0)]
    while todo:
        element, parent, dx, dy = todo.pop()
        if move := re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", "")):
            dx, dy = dx + float(move[1]), dy + float(move[2])
        todo += [(child, element, dx, dy) for child in element]
        if element.tag != f"{SVG}text":
            continue
        size = float(element.get("font-size"))
        runs = [(element.text, size)]
        for span in element:
            runs += [(span.text, float(span.get("font-size", size))), (span.tail, size)]
        wide = sum(TextPath((0, 0), run, size=px, prop=font).get_extents().x1 for run, px in runs if run)
        wide *= 1.1 if element.get("font-weight") else 1
        x, y = float(element.get("x")) + dx, float(element.get("y")) + dy
        x -= wide * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor", "start")]
        label = "".join(element.itertext())
        yield label, parent.get("class") in ("folded", "unfolded"), (x, y - 0.75 * size, x + wide, y + 0.25 * size)


def node_boxes(panel):
    dx, dy = map(float, re.findall(r"[-\d.]+", panel.get("transform")))
    for node in panel.findall(f"{SVG}g[@data-node]"):
        if (box := node.find(f"{SVG}rect")) is not None:
            x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
            yield x + dx, y + dy, x + dx + w, y + dy + h


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize("name", ["lstm T=8", "lru encoder-decoder", "tdnn residual", "jordan T=1", "wide", "leaky"])
def test_no_text_leaves_the_drawing_or_lies_over_a_box(drawings, name):
    root = ElementTree.fromstring(drawings[name][1])
    _, _, right, bottom = map(float, root.get("viewBox").split())
    texts = list(text_boxes(root))
    boxes = [box for panel in root.findall(f"{SVG}g") for box in node_boxes(panel)]
    assert len(texts) > 10
    for text, beside, (x0, y0, x1, y1) in texts:
        assert x0 >= 0, text
        assert x1 <= right, text
        assert y0 >= 0, text
        assert y1 <= bottom, text
        assert not beside or not any(overlap((x0, y0, x1, y1), box) for box in boxes), text


def test_no_text_is_cut_or_lies_over_another_in_a_browser(drawings, tmp_path):
    page = tmp_path / "page.html"
    figures = "".join(f"<figure>{text}</figure>" for _, text, _ in drawings.values())
    page.write_text(f"<!doctype html><meta charset=utf-8><title>drawings</title>{figures}", encoding="utf-8")
    with Chromium(find()) as browser:
        seen = browser.visit(page, width=3000)
    assert not seen.requests
    assert not seen.console
    assert len(seen.figures) == len(drawings)
    for name, figure in zip(drawings, seen.figures, strict=True):
        assert figure["texts"] > 5, name
        assert not figure["cut"], (name, figure["cut"])
        assert not figure["overlaps"], (name, figure["overlaps"])


def test_boxes_do_not_overlap(drawings):
    for name, (drawing, text, _) in drawings.items():
        for graph, panel in zip(drawing.graphs, ElementTree.fromstring(text).findall(f"{SVG}g"), strict=True):
            boxes = list(node_boxes(panel))
            assert len(boxes) == sum(node.kind != "gap" for node in graph.nodes)
            for i, a in enumerate(boxes):
                assert not any(overlap(a, b) for b in boxes[i + 1 :]), name


def test_mermaid_text_is_well_formed(drawings):
    node = re.compile(r'    (\w+)(?:\(\[|\[\[|\(\(|\[|\()"([^"]*)"(?:\]\)|\]\]|\)\)|\]|\))(?::::(\w+))?')
    edge = re.compile(r'    (\w+) (?:-->|-\.->)(?:\|"([^"]*)"\|)? (\w+)')
    for name, (drawing, _, text) in drawings.items():
        lines = text.splitlines()
        assert lines[0] == lines[2] == "---"
        assert lines[3] == "flowchart LR"
        nodes, edges, classes, links, depth = set(), [], set(), [], 0
        for line in lines[6:]:
            depth += line.startswith("  subgraph") - (line == "  end")
            if match := node.fullmatch(line):
                assert match[1] not in nodes, (name, line)
                nodes.add(match[1])
                assert not re.search(r"[\"`]|#(?!\d+;)", match[2]), line
                classes |= {match[3]} - {None}
            elif match := edge.fullmatch(line):
                edges.append((match[1], match[3]))
            elif line.startswith("  linkStyle"):
                links.append(int(line.split()[1]))
            else:
                assert re.match(r"  (subgraph \w+\[\"|end$|  direction|  style \w+ |classDef \w+ |style \w+ )", line), (
                    line
                )
        assert depth == 0
        assert {end for pair in edges for end in pair} <= nodes, name
        assert links == list(range(len(edges))), name
        assert classes <= {line.split()[1] for line in lines if line.startswith("  classDef")}, name
        loops = sum(e.kind == "loop" for graph in drawing.graphs for e in graph.edges)
        assert len(edges) == sum(len(graph.edges) for graph in drawing.graphs) + loops, name


def test_the_same_call_gives_the_same_text_with_weights_or_with_shapes():
    memory = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), make("lstm", num_layers=2))
    for format in ("svg", "mermaid"):
        assert draw(memory, format=format) == draw(memory, format=format)
        assert draw(memory, format=format) == draw(make("lstm", num_layers=2), format=format)


def test_forms_are_drawn_alone_or_together():
    memory = make("gru")
    assert [graph.form for graph in describe(memory).graphs] == ["folded", "unfolded"]
    assert [graph.form for graph in describe(memory, form="folded").graphs] == ["folded"]
    assert len(describe(memory, architecture="one-to-one").graphs) == 1  # one step: both forms are the same


def test_sizes_stay_readable(drawings):
    """Up to eight steps of a cell fit a page of 1500 px, and thousands of steps are no wider than nine."""
    width = lambda text: float(ElementTree.fromstring(text).get("width"))  # noqa: E731
    assert width(draw(make("lstm", 4, 64), 8)) < 1500
    assert width(draw(make("lstm", 4, 64), 100_000)) < width(draw(make("lstm", 4, 64), 8))
    assert math.isclose(width(drawings["gru elided"][1]), width(draw(make("gru", num_layers=2), 20)))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"T": 0}, "T is 0"),
        ({"T": True}, "T is True"),
        ({"T": 3, "architecture": "one-to-one"}, "single step"),
        ({"architecture": "many-to-two"}, "Did you mean 'many-to-one'"),
        ({"architecture": "encoder-decoder", "T_out": 0}, "T_out is 0"),
        ({"T_out": 3}, "encoder-decoder"),
        ({"decoder": make("gru")}, "encoder-decoder"),
        ({"form": "foldd"}, "Did you mean 'folded'"),
        ({"format": "png"}, "svg"),
    ],
)
def test_mistakes_are_explained(arguments, hint):
    with pytest.raises(ConfigError, match=re.escape(hint)):
        draw(make("gru"), **arguments)


def test_only_models_are_drawn():
    for model, architecture, hint in ((3, None, "a int is to be drawn"), (captions(), "many-to-one", "itself")):
        with pytest.raises(ConfigError, match=hint):
            subject_of(model, architecture)
