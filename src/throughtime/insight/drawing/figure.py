"""Drawing a memory or an architecture, folded and unfolded."""

from typing import Any, Literal, get_args

from throughtime.core import ConfigError, did_you_mean
from throughtime.insight.drawing.compose import compose
from throughtime.insight.drawing.graph import Drawing, Form
from throughtime.insight.drawing.mermaid import mermaid
from throughtime.insight.drawing.subject import Architecture, Model, subject_of
from throughtime.insight.drawing.svg import svg
from throughtime.memory import Memory

Forms = Literal["both", "folded", "unfolded"]
Format = Literal["svg", "mermaid"]

_FORMS: dict[str, tuple[Form, ...]] = {
    "both": ("folded", "unfolded"),
    "folded": ("folded",),
    "unfolded": ("unfolded",),
}
_RENDER = {"svg": svg, "mermaid": mermaid}


def draw(
    model: Model,
    T: int | None = None,
    *,
    T_out: int | None = None,
    architecture: str | None = None,
    decoder: Memory | None = None,
    form: str = "both",
    format: str = "svg",
) -> str:
    """Draws the folded and the unfolded network of a memory, or of an architecture around memories.

    What is drawn is read from the model itself: its layers, the parts of its state, and, from one traced step, the
    edge on which each weight lies. Each weight matrix has one colour, the same in every time step.

    Args:
        model: a memory or a stack, or an architecture (`OneToOne` … `EncoderDecoder`) with its readout, embedding,
            bridge and attention; its arrays may be shapes (`eqx.filter_eval_shape`).
        T: time steps of the unfolded form, 4 by default (1 for one-to-one); of more than 8 the first and the
            last are drawn.
        T_out: time steps of a decoder behind an encoder, T by default.
        architecture: of a memory: what is read and put out, "one-to-one", "one-to-many" (after the first input the
            output is fed back), "many-to-one", "many-to-many" (synchronised, the default) or "encoder-decoder".
        decoder: of a memory as "encoder-decoder": the second one; by default of the same form, with weights of its
            own.
        form: "folded" (with loops), "unfolded" (through time), or "both", side by side.
        format: "svg" (self-contained) or "mermaid" (text for Markdown).

    Returns:
        The SVG or the Mermaid text; the same call gives the same text.

    Raises:
        ConfigError: not a model, no such architecture, form or format, T or T_out below 1, a T other than 1 for
            one-to-one, or a decoder or T_out without an encoder-decoder.
    """
    _check_word("format", format, Format)
    return _RENDER[format](describe(model, T, T_out=T_out, architecture=architecture, decoder=decoder, form=form))


def describe(
    model: Model,
    T: int | None = None,
    *,
    T_out: int | None = None,
    architecture: str | None = None,
    decoder: Memory | None = None,
    form: str = "both",
) -> Drawing:
    """What `draw` draws, as nodes, edges and weights; the arguments are the same."""
    _check_word("form", form, Forms)
    if architecture is not None:
        _check_word("architecture", architecture, Architecture)
    subject = subject_of(model, architecture, decoder)
    single, seq2seq = subject.architecture == "one-to-one", subject.architecture == "encoder-decoder"
    T = _steps("T", T, 1 if single else 4)
    if single and T != 1:
        raise ConfigError(f"T is {T}", "One-to-one has a single step.", "Leave T out, or take many-to-many.")
    if T_out is not None and not seq2seq:
        raise ConfigError(f"T_out is {T_out} for {subject.architecture}", "Only an encoder-decoder has two lengths.")
    T_out = _steps("T_out", T_out, T) if seq2seq else None
    drawn = _FORMS["unfolded" if single and form == "both" else form]
    return compose(subject, T, T_out, drawn)


def _steps(name: str, steps: Any, default: int) -> int:
    if steps is None:
        return default
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"{name} is {steps!r}", "It counts time steps.", "Give an int of 1 or more.")
    return steps


def _check_word(name: str, word: Any, known: Any) -> None:
    words = get_args(known)
    if word not in words:
        raise ConfigError(f"unknown {name} {word!r}", "", did_you_mean(str(word), words))
