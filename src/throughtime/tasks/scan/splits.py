"""The published divisions of SCAN into training and test."""

from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from throughtime.tasks.scan.language import instructions

Split = Literal["simple", "length", "turn-left", "jump"]
SPLITS: tuple[Split, ...] = ("simple", "length", "turn-left", "jump")

LONGEST = 22
"""Actions of the longest training examples in the length split."""


class Division(NamedTuple):
    """Instructions to train on and to be tested on; training ones may be there many times."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@cache
def divide(split: Split) -> Division:
    """A division of all instructions.

    simple: 16,728 at random, and the other 4,182. The published draw is one of its kind; this one is made once and for
        all with another generator, and so has other instructions in it.
    length: 16,990 of up to 22 actions, and 3,920 of 24 to 48.
    turn-left: the 1,208 tests say "turn left" beside something else; training has the other 19,701, and "turn left"
        alone, 2,189 times: a tenth of its 21,890 examples.
    jump: the 7,706 tests say "jump" beside something else; training has the other 13,203, and "jump" alone, 1,467
        times: a tenth of its 14,670 examples.

    Reference: Lake & Baroni 2018, arXiv 1711.00350, experiments 1 to 3; github.com/brendenlake/SCAN.
    """
    every = instructions()
    if split == "simple":
        order = np.random.default_rng(0).permutation(len(every))
        shuffled = [list(every)[i] for i in order]
        return Division(tuple(shuffled[:16_728]), tuple(shuffled[16_728:]))
    if split == "length":
        short = tuple(text for text, actions in every.items() if len(actions) <= LONGEST)
        return Division(short, tuple(text for text, actions in every.items() if len(actions) > LONGEST))
    primitive, copies = ("turn left", 2_189) if split == "turn-left" else ("jump", 1_467)
    others = tuple(text for text in every if primitive not in text)
    test = tuple(text for text in every if primitive in text and text != primitive)
    return Division(others + copies * (primitive,), test)
