"""What an architecture feeds a network and takes from it, and which steps and taps are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from throughtime.insight.drawing.anatomy import Names, Tap

ALL_STEPS, FIRST_AND_LAST = 8, (3, 2)
"""Up to 8 steps all are drawn; of more, the first 3 and the last 2."""
ALL_TAPS, FIRST_TAPS = 6, 3
"""The same for the taps of a delay line: of more than 6 the first 3 and the last."""
ALL_WINDOW = 6
"""A window before the first step has a node for each of its inputs up to this many, else one for all."""


@dataclass(frozen=True)
class Ends:
    """What an architecture feeds a network and takes from it."""

    start: str = ""  # the label of the only input, where there is one: after it the output is the next input
    feed: Names = ()  # weights through which the output becomes the next input
    writes: Literal["all", "last", "none"] = "all"
    hands_on: bool = True  # the state after the last step is shown
    starts_from: str = ""  # id of a context to start from instead of an initial state
    bridge: Names = ()  # weights through which the context becomes the initial state
    gives: str = ""  # id of a context that the last state goes to


def shown_steps(T: int, most: int = ALL_STEPS, ends: tuple[int, int] = FIRST_AND_LAST) -> list[int | None]:
    """The steps that are drawn, 1 … T; where some are left out, None stands for them."""
    if most >= T:
        return list(range(1, T + 1))
    first, last = ends
    return [*range(1, first + 1), None, *range(T - last + 1, T + 1)]


def shown_taps(taps: Sequence[Tap]) -> tuple[list[Tap], int]:
    """The taps that are drawn, and how many are not."""
    if len(taps) <= ALL_TAPS:
        return list(taps), 0
    return [*taps[:FIRST_TAPS], taps[-1]], len(taps) - FIRST_TAPS - 1
