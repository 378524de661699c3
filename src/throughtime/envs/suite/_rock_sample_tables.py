"""RockSample in full, where it is small enough to be solved."""

import math

import numpy as np
from jaxtyping import Int

from throughtime.envs.base import Tables

MAX_STATES = 300

# (size, rocks, layout): the optimum, and what no policy without memory exceeds; the tests solve them anew.
SOLVED: dict[tuple[int, int, int], tuple[float, float | None]] = {
    (2, 1, 0): (14.7265, 14.679),
    (3, 1, 0): (14.5797, None),
    (3, 2, 0): (19.0476, None),
}


def rock_sample_tables(
    size: int, rocks: Int[np.ndarray, "k 2"], rewards: tuple[float, float, float], half_distance: float
) -> Tables:
    """The POMDP of `RockSample`, by its definition.

    Args:
        size: rows and columns.
        rocks: their cells.
        rewards: of a good rock, of a bad one, and of the exit.
        half_distance: at which a check is right with probability ¾.
    """
    k, cells = len(rocks), size * size
    S, A = cells * 2**k, 5 + k
    good, bad, leave = rewards
    # An observation is a cell, and for the rock that was checked whether it seems good: 1 + 2k kinds a cell.
    kinds = 1 + 2 * k
    transition = np.zeros((S, A, S))
    observation = np.zeros((A, S, cells * kinds))
    reward = np.zeros((S, A))
    terminal = np.zeros((S, A), bool)
    first = np.zeros((S, cells * kinds))
    initial = np.zeros(S)
    step = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    rock_at = {(int(r), int(c)): i for i, (r, c) in enumerate(rocks)}
    for cell in range(cells):
        row, column = divmod(cell, size)
        for flags in range(2**k):
            s = cell * 2**k + flags
            first[s, cell * kinds] = 1.0
            if column < size - 1:
                initial[s] = 1.0 / (size * (size - 1) * 2**k)
            for a in range(A):
                target, after = cell, flags
                if a in step:
                    there = (min(max(row + step[a][0], 0), size - 1), min(max(column + step[a][1], 0), size - 1))
                    target = there[0] * size + there[1]
                rock = rock_at.get((row, column))
                if a == 4 and rock is not None:
                    is_good = flags >> rock & 1
                    reward[s, a] += good if is_good else bad
                    after = flags & ~(1 << rock)
                terminal[s, a] = target % size == size - 1
                reward[s, a] += leave * terminal[s, a]
                transition[s, a, target * 2**k + after] = 1.0
                if a < 5:
                    observation[a, s, cell * kinds] = 1.0
                else:
                    i = a - 5
                    right = 0.5 * (1 + 2 ** (-math.dist((row, column), rocks[i]) / half_distance))
                    seems_good = right if flags >> i & 1 else 1 - right
                    observation[a, s, cell * kinds + 1 + 2 * i] = seems_good
                    observation[a, s, cell * kinds + 2 + 2 * i] = 1 - seems_good
    seen = np.zeros((cells * kinds, 2 * size + k))
    for cell in range(cells):
        for kind in range(kinds):
            o = cell * kinds + kind
            seen[o, cell // size] = seen[o, size + cell % size] = 1.0
            if kind:
                seen[o, 2 * size + (kind - 1) // 2] = 1.0 if kind % 2 else -1.0
    return Tables(initial, transition, observation, reward, terminal, first, seen)
