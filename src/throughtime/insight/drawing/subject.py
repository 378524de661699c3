"""What is drawn: a memory in an architecture that is only named, or an architecture with all its own weights."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax

from throughtime.core import ConfigError
from throughtime.insight.drawing.anatomy import Anatomy, dissect, parameter
from throughtime.insight.drawing.ends import Ends
from throughtime.insight.drawing.graph import Weight, shape_text
from throughtime.memory import Memory
from throughtime.memory.architectures import Decoder, EncoderDecoder, ManyToMany, ManyToOne, OneToMany, OneToOne

Architecture = Literal["one-to-one", "one-to-many", "many-to-one", "many-to-many", "encoder-decoder"]
Model = Memory | OneToOne | OneToMany | ManyToOne | ManyToMany | EncoderDecoder

_ENDS = {
    "one-to-one": Ends(hands_on=False),
    "one-to-many": Ends(start="x"),
    "many-to-one": Ends(writes="last"),
    "many-to-many": Ends(),
    "encoder-decoder": Ends(start="start", starts_from="context"),
}
_CONTEXT = ("context", "")
_DIRECT = {OneToOne: "one-to-one", ManyToOne: "many-to-one", ManyToMany: "many-to-many"}


@dataclass(frozen=True)
class Subject:
    """One network, or an encoder and a decoder."""

    architecture: str
    net: Anatomy  # behind an encoder: the decoder
    ends: Ends  # of `net`
    encoder: Anatomy | None = None
    context: tuple[str, str] | None = None  # label and note of the node that `net` starts from or reads
    notes: tuple[str, ...] = ()


def subject_of(model: Any, architecture: str | None = None, decoder: Memory | None = None) -> Subject:
    """What `draw` draws; the arguments are its.

    Raises:
        ConfigError: not a model, an architecture beside one that is the model itself, or a decoder without an
            encoder-decoder.
    """
    if isinstance(model, Memory):
        return _of_memory(model, architecture or "many-to-many", decoder)
    subject = _of_architecture(model)
    if subject is None:
        raise ConfigError(
            f"a {type(model).__name__} is to be drawn",
            "Only a memory or an architecture around one can be.",
            "Make one, for example with tt.make_memory.",
        )
    if decoder is not None or architecture not in (None, subject.architecture):
        raise ConfigError(
            f"a {type(model).__name__} with an architecture or a decoder beside it",
            f"It is {subject.architecture} itself.",
            "Give the model alone.",
        )
    return subject


def _of_memory(memory: Memory, architecture: str, decoder: Memory | None) -> Subject:
    ends = _ENDS[architecture]
    if architecture == "encoder-decoder":
        other = dissect(memory if decoder is None else decoder, "dec", "decoder.")
        return Subject(architecture, other, ends, dissect(memory, "enc", "encoder."), _CONTEXT)
    if decoder is not None:
        raise ConfigError(
            f"a decoder is given for {architecture}",
            "Only an encoder-decoder has one.",
            'Leave it out, or set architecture="encoder-decoder".',
        )
    return Subject(architecture, dissect(memory), ends)


def _of_architecture(model: Any) -> Subject | None:
    for kind, architecture in _DIRECT.items():
        if isinstance(model, kind):
            net = dissect(model.memory, prefix="memory.")
            return Subject(architecture, _with_readout(net, model.readout, "readout.", ""), _ENDS[architecture])
    if isinstance(model, OneToMany):
        subject = _of_decoder("one-to-many", model.decoder, "")
        features = [
            Weight(name, name, tuple(leaf.shape), leaf.size, on_edges=False)
            for name, leaf in _named(model.features, "features.")
        ]
        net = replace(subject.net, weights=(*subject.net.weights, *features))
        return replace(subject, net=net, context=("x", shape_text((model.decoder.context_size,))))
    if isinstance(model, EncoderDecoder):
        return replace(
            _of_decoder("encoder-decoder", model.decoder, "dec"), encoder=dissect(model.encoder, "enc", "encoder.")
        )
    return None


def _of_decoder(architecture: str, decoder: Decoder, mark: str) -> Subject:
    net = dissect(decoder.memory, mark, "decoder.memory.")
    extra, feed, bridge, notes = [], (), (), []
    if decoder.embedding is not None:
        extra.append(parameter("decoder.embedding", decoder.embedding.shape, True, mark, "E"))
        feed = ("decoder.embedding",)
    if decoder.bridge is not None:
        extra.append(parameter("decoder.bridge.weight_hy", decoder.bridge.weight_hy.shape, True, mark, "W_{b}"))
        extra.append(parameter("decoder.bridge.bias_y", decoder.bridge.bias_y.shape, False, mark, "b_{b}"))
        bridge = ("decoder.bridge.weight_hy",)
    if decoder.feed_context:
        notes.append(f"each input is the token before beside the context {shape_text((decoder.context_size,))}")
    if decoder.attention is not None:
        attention = decoder.attention
        names = [("weight_hs", True), ("weight_c", True), ("bias_c", False)]
        for name, drawn in names:
            full = f"decoder.attention.{name}"
            extra.append(parameter(full, getattr(attention, name).shape, drawn, mark))
        net = replace(net, readout=(*net.readout, *(f"decoder.attention.{name}" for name, drawn in names if drawn)))
        notes.append("attention: each output also looks at all outputs of the encoder")
    net = replace(net, weights=(*net.weights, *extra))
    net = _with_readout(net, decoder.readout, "decoder.readout.", mark)
    starts_from = "context" if bridge or not decoder.feed_context else ""
    ends = Ends(start="BOS", feed=feed, starts_from=starts_from, bridge=bridge)
    return Subject(architecture, net, ends, context=_CONTEXT, notes=tuple(notes))


def _with_readout(net: Anatomy, readout: Any, prefix: str, mark: str) -> Anatomy:
    weights = [
        parameter(f"{prefix}weight_hy", readout.weight_hy.shape, True, mark),
        parameter(f"{prefix}bias_y", readout.bias_y.shape, False, mark),
    ]
    return net.beneath(f"{prefix}weight_hy", readout.weight_hy.shape[1], weights)


def _named(tree: Any, prefix: str) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = [(prefix + jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
    return [(name, leaf) for name, leaf in named if hasattr(leaf, "shape")]
