"""Where in an observation a sentence stands."""

from typing import NamedTuple


class InstructionLayout(NamedTuple):
    """How an observation that holds a sentence is laid out.

    First words · vocabulary numbers (one-hot, zeros where no word is said), then cells · features numbers of what is
    seen, then whatever else there is.
    """

    words: int
    vocabulary: int
    cells: int
    features: int
