"""A row of cells as a line of text: corridors, and episodes from their first step to their last."""

from collections.abc import Mapping
from typing import NamedTuple

from throughtime.envs.drawing import Span

COLUMNS = 60


class Strip(NamedTuple):
    """A drawn row."""

    cells: tuple[Span, ...]  # one character each
    note: str  # what to add to the legend where a character stands for several cells, else nothing


def strip(count: int, marks: Mapping[int, tuple[str, str]], columns: int = COLUMNS) -> Strip:
    """`count` cells, some of them marked.

    A row of more than `columns` cells keeps its first and its last one; those between share the other characters.

    Args:
        count: cells, at least 1.
        marks: (character, colour) by cell, counted from 0; a later one covers an earlier one at the same character.
        columns: the most characters, at least 3.
    """
    shown = min(count, columns)
    cells = [Span("·", "faint")] * shown
    for cell, mark in marks.items():
        cells[_column(cell, count, shown)] = Span(*mark)
    between = f"; one · is about {(count - 2) / (shown - 2):.3g} cells" if shown < count else ""
    return Strip(tuple(cells), between)


def _column(cell: int, count: int, shown: int) -> int:
    if count == shown or cell == 0:
        return cell
    if cell == count - 1:
        return shown - 1
    return 1 + (cell - 1) * (shown - 2) // (count - 2)
