"""The optimum of POPGym's easy minesweeper, from its rules: 4 × 4 cells, 2 mines, 120 fields.

What can be known is the set of cells opened so far and of fields that agree with all numbers seen. Cells and fields are
bits of whole numbers.
"""

from functools import cache
from itertools import combinations

SIDE, CLEAR = 4, 14  # cells without a mine
CELLS = range(SIDE**2)
GAIN, AGAIN, MINE = 1 / CLEAR, -0.5 / (CLEAR - 2), -0.5 - 1 / CLEAR
FIELDS = [1 << a | 1 << b for a, b in combinations(CELLS, 2)]
NEAR = [sum(1 << d for d in CELLS if abs(c // SIDE - d // SIDE) <= 1 and abs(c % SIDE - d % SIDE) <= 1) for c in CELLS]
ALL = (1 << len(FIELDS)) - 1
# The fields, as bits, with a mine in a cell, and with a certain number there.
MINED = [sum(1 << f for f, field in enumerate(FIELDS) if field >> c & 1) for c in CELLS]
NUMBERED = [
    [sum(1 << f for f, field in enumerate(FIELDS) if (field & NEAR[c]).bit_count() == n) for n in range(3)]
    for c in CELLS
]


@cache
def best(opened, fields):
    """The return still to come, and the cell to open: one that was opened before where it is better to wait."""
    count = opened.bit_count()
    if count == CLEAR:
        return 0.0, 0
    closed = [c for c in CELLS if not opened >> c & 1]
    safe = [c for c in closed if not fields & MINED[c]]
    if safe:  # a sure gain comes first: it costs nothing, and there is time for it
        return value_of(safe[0], opened, fields), safe[0]
    choices = [(value_of(c, opened, fields), c) for c in closed]
    if opened:
        # One step more than there are clear cells: so many are left to waste.
        waits = CLEAR + 1 - count
        choices.append((waits * AGAIN, (opened & -opened).bit_length() - 1))
    return max(choices)


def value_of(cell, opened, fields):
    total = fields.bit_count()
    clear = fields & ~MINED[cell]
    value = MINE * (total - clear.bit_count()) / total
    for numbered in NUMBERED[cell]:
        left = clear & numbered
        if left:
            value += left.bit_count() / total * (GAIN + best(opened | 1 << cell, left)[0])
    return value


def solve():
    """The optimal return, and its policy: a function of the cells opened and the numbers seen there, in order."""

    def policy(past):
        opened, fields = 0, ALL
        for cell, number in past:
            opened |= 1 << cell
            fields &= NUMBERED[cell][number] & ~MINED[cell]
        return best(opened, fields)[1]

    return best(0, ALL)[0], policy
