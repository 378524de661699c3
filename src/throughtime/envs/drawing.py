"""A drawing of one moment of an episode: lines of text whose parts have colours, for terminals and for images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "plain": "",
        "faint": "#7d8894",  # walls, empty cells, words around the picture
        "agent": "#0072b2",
        "goal": "#00875f",  # what pays
        "danger": "#d55e00",  # what costs
        "cue": "#b0548c",  # what has to be remembered
    }
)
"""The colours of a drawing by what they mean, as hexadecimal; plain is the terminal's or the page's own."""


class Span(NamedTuple):
    """A piece of a line in one colour."""

    text: str
    colour: str = "plain"  # a key of COLOURS


@dataclass(frozen=True)
class Drawing:
    """A grid of characters with colours; each character takes one column of a monospaced font.

    What it shows is told by its text alone, so that it can be read without colours.

    Args:
        lines: from top to bottom, each of spans from left to right. Lines may differ in length.
    """

    lines: tuple[tuple[Span, ...], ...]

    def __post_init__(self):
        for span in (span for line in self.lines for span in line):
            if span.colour not in COLOURS:
                raise ValueError(f"{span.colour!r} is none of {', '.join(COLOURS)}.")
            if not span.text.isprintable():
                raise ValueError(f"{span.text!r} is more than one line of text.")

    @classmethod
    def of(cls, *lines: Iterable[Span | tuple[str, str] | str]) -> "Drawing":
        """From lines of spans, (text, colour) pairs and plain strings."""
        return cls(tuple(tuple(Span(s) if isinstance(s, str) else Span(*s) for s in line) for line in lines))

    @property
    def text(self) -> str:
        """The characters alone, lines separated by newlines."""
        return "\n".join("".join(span.text for span in line) for line in self.lines)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns of the longest line)."""
        return len(self.lines), max((sum(len(span.text) for span in line) for line in self.lines), default=0)

    def above(self, other: "Drawing") -> "Drawing":
        """This one, and `other` below it."""
        return Drawing(self.lines + other.lines)
