"""The world that the actions are executed in: an endless grid, one cell and one of four headings at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from throughtime.core import ConfigError, did_you_mean
from throughtime.tasks.scan.language import ACTIONS

HEADINGS = ("north", "east", "south", "west")
STRIDES = {"I_WALK": 1, "I_RUN": 2, "I_JUMP": 2}
"""Cells that an action goes ahead: a run passes through the cell between, a jump over it. Looking and turning stay."""

AHEAD = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
"""(x, y) of one cell ahead, by heading."""


class Path(NamedTuple):
    """What the executed actions did: N of them, and so N + 1 poses."""

    actions: tuple[str, ...]
    cells: Int[np.ndarray, "N1 2"]
    """(x, y) before the first action and after each, x to the east and y to the north."""
    headings: Int[np.ndarray, " N1"]
    """Indices into `HEADINGS`."""

    @property
    def end(self) -> tuple[int, int, str]:
        """Where and how the agent stands at last."""
        x, y = self.cells[-1].tolist()
        return x, y, HEADINGS[int(self.headings[-1])]


def execute(actions: Sequence[str]) -> Path:
    """Executes actions from cell (0, 0), heading north.

    SCAN itself says nothing about what its actions do; that a step is one cell, a run and a jump two, is chosen here.

    Args:
        actions: of `ACTIONS`, any number of them.

    Raises:
        ConfigError: an action that is none.
    """
    for action in actions:
        if action not in ACTIONS:
            raise ConfigError(f"unknown action {action!r}", "", did_you_mean(action, ACTIONS))
    turns = [{"I_TURN_LEFT": -1, "I_TURN_RIGHT": 1}.get(action, 0) for action in actions]
    headings = np.concatenate([[0], np.cumsum(turns, dtype=int)]) % len(HEADINGS)
    strides = np.array([STRIDES.get(action, 0) for action in actions], int)
    steps = strides[:, None] * AHEAD[headings[1:]]  # whoever strides does not turn: before and after are one heading
    cells = np.concatenate([np.zeros((1, 2), int), np.cumsum(steps, axis=0)])
    return Path(tuple(actions), cells, headings)
