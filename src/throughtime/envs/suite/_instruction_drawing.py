"""The suite's room of instructions, drawn from above."""

from collections.abc import Set
from typing import Any

import numpy as np

from throughtime.envs.drawing import Drawing
from throughtime.envs.suite._instruction_language import COLOURS, KINDS, Instruction

SIGNS = {"ball": "o", "box": "=", "key": "k", "door": "D"}
OPENED = {"=": "-", "D": "_"}
LEGEND = (
    "r g b y: red, green, blue, yellow; o ball, = box, k key, D door",
    "- box and _ door that are open; · in view",
)


def draw_room(state: Any, sentence: Instruction, width: int, seen: Set[tuple[int, int]]) -> Drawing:
    """The room, the agent, and what it was told; the object of the next clause is marked.

    Args:
        state: an `InstructionsState`.
        sentence: its instruction.
        width: cells from wall to wall.
        seen: rows and columns of the cells in view.
    """
    now = min(int(state.done), len(sentence.clauses) - 1)
    things = {(int(state.position[0]), int(state.position[1])): ("^>v<"[int(state.heading)] + " ", "agent")}
    for k, (row, column) in enumerate(np.asarray(state.cell).tolist()):
        sign = SIGNS[KINDS[int(state.kind[k])]]
        sign = OPENED.get(sign, sign) if bool(state.opened[k]) else sign
        things[row, column] = (COLOURS[int(state.colour[k])][0] + sign, "goal" if k == now else "plain")
    lines = []
    for row in range(width + 2):
        line: list[tuple[str, str]] = []
        for column in range(width + 2):
            inside = 1 <= row <= width and 1 <= column <= width
            empty = ("· ", "agent") if (row, column) in seen else ("  ", "plain")
            line += [things.get((row, column), empty if inside else ("##", "faint")), (" ", "plain")]
        lines.append(line)
    told = [("told    ", "faint"), (sentence.text, "cue")]
    following = [("next    ", "faint"), (sentence.clauses[now].text, "goal")]
    return Drawing.of(*lines, *([(words, "faint")] for words in LEGEND), told, following)
