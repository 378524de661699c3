"""What a frame is made of: lines of text in colours, the same for terminals and for pictures."""

from typing import NamedTuple

import numpy as np

WIDTH = 64
"""Characters of a frame's lines, at most; an environment's own drawing may be wider."""

EIGHTHS = " ▏▎▍▌▋▊▉█"
"""A character filled from the left by 0 … 8 eighths."""


class Span(NamedTuple):
    """A piece of a line in one style."""

    text: str
    colour: str | None = None  # "#rrggbb"; None: that of the terminal or the page
    bold: bool = False
    ground: str | None = None  # the background


Line = tuple[Span, ...]
Frame = tuple[Line, ...]


def width_of(frame: Frame) -> int:
    """Characters of its longest line."""
    return max((sum(len(span.text) for span in line) for line in frame), default=0)


def bar(share: float, width: int) -> str:
    """A bar from the left, to an eighth of a character.

    Args:
        share: of the width, 0 to 1.
        width: characters.
    """
    eighths = round(float(np.clip(share, 0.0, 1.0)) * width * 8)
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[part] if part else "")).ljust(width)


def signed_bar(share: float, width: int) -> str:
    """A bar from the middle, to the right for positive shares and to the left for negative ones, by whole characters.

    Args:
        share: −1 to 1.
        width: characters, odd: the middle one is the zero.
    """
    half = width // 2
    length = round(float(np.clip(abs(share), 0.0, 1.0)) * half)
    left, right = ("█" * length).rjust(half), ("█" * length).ljust(half)
    return (left if share < 0 else " " * half) + "│" + (right if share > 0 else " " * half)
