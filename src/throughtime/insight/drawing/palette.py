"""Colours that readers with any colour vision tell apart (Okabe & Ito 2008), and what to do when they run out."""

from dataclasses import dataclass

INK, GREY, PALE, FILL, PAPER = "#1f2328", "#59636e", "#d9dee3", "#f6f8fa", "#ffffff"


@dataclass(frozen=True)
class Ink:
    """How a weight is drawn: colour and dashes of its lines, and a colour dark enough for its name."""

    line: str
    text: str
    dashes: str = ""


_HUES = (
    ("#0072b2", "#00609a"),
    ("#d55e00", "#b04d00"),
    ("#00875f", "#00704f"),
    ("#cc79a7", "#a34878"),
    ("#e69f00", "#946500"),
    ("#56b4e9", "#1c78ad"),
    ("#7a4fa3", "#6b4391"),
    ("#8c6d31", "#775c28"),
    ("#4d7c0f", "#42690d"),
    ("#a8324a", "#93283f"),
    ("#4a5fc1", "#3f52ab"),
    ("#5f8a8b", "#44696a"),
)
_DASHES = ("", "9 3", "3 2", "12 3 3 3")


def inks(names: tuple[str, ...]) -> dict[str, Ink]:
    """An ink for each name: the hues, then their shades, then the same again in dashes; all differ up to 96 names."""
    shades = [*_HUES, *((_darker(line), _darker(line)) for line, _ in _HUES)]
    return {
        name: Ink(*shades[place % len(shades)], _DASHES[place // len(shades) % len(_DASHES)])
        for place, name in enumerate(names)
    }


def _darker(colour: str) -> str:
    return "#" + "".join(f"{int(colour[i : i + 2], 16) * 11 // 20:02x}" for i in (1, 3, 5))
