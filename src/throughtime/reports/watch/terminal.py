"""A frame at the terminal."""

from rich.style import Style
from rich.text import Text

from throughtime.reports.watch.frame import Frame


def as_text(frame: Frame, height: int | None = None) -> Text:
    """The frame as rich prints it; lines that are too long are cut, not wrapped.

    Args:
        frame: what to print.
        height: lines that there is room for; where they are too few, empty lines are left out.
    """
    text = Text(no_wrap=True, overflow="crop")
    cramped = height is not None and len(frame) > height
    for line in frame:
        if cramped and not any(span.text for span in line):
            continue
        for span in line:
            text.append(span.text, Style(color=span.colour, bgcolor=span.ground, bold=span.bold))
        text.append("\n")
    return text
