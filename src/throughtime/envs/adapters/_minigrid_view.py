"""MiniGrid's partial view, computed in a fraction of the time: it takes most of a step.

MiniGrid copies the agent's surroundings into grids of objects, turns them a quarter up to four times, and encodes what
is left; here the cells are looked up where they are, in the order in which the turned grid has them. The tests compare
both, number by number.
"""
# pyright: reportMissingImports=false

from functools import cache
from typing import Any

import numpy as np
from minigrid.core.constants import (  # pyright: ignore[reportMissingImports]  an extra
    OBJECT_TO_IDX,
)
from minigrid.core.world_object import Wall  # pyright: ignore[reportMissingImports]
from minigrid.minigrid_env import MiniGridEnv  # pyright: ignore[reportMissingImports]

UNSEEN, EMPTY = (OBJECT_TO_IDX["unseen"], 0, 0), (OBJECT_TO_IDX["empty"], 0, 0)
WALL = Wall()


def quicken(env: Any) -> None:
    """Lets a MiniGrid environment show itself by `view`, unless it has a way of its own to do so.

    Args:
        env: unwrapped.
    """
    own = [getattr(type(env), name, None) is getattr(MiniGridEnv, name) for name in ("gen_obs", "gen_obs_grid")]
    if all(own):
        env.gen_obs = lambda: {"image": view(env), "direction": env.agent_dir, "mission": env.mission}


@cache
def _offsets(size: int, direction: int) -> tuple[tuple[int, int], ...]:
    """For each cell (a, b) of the view, a outermost, where it lies beside the view's corner in the world."""
    cells = {(a, b): (a, b) for a in range(size) for b in range(size)}
    for _ in range(direction + 1):  # quarters to the left: (a, b) shows what was at (size − 1 − b, a)
        cells = {(a, b): cells[size - 1 - b, a] for a, b in cells}
    return tuple(cells[a, b] for a in range(size) for b in range(size))


def view(env: Any) -> np.ndarray:
    """What `MiniGridEnv.gen_obs` has as its image: object, colour and state of each cell, uint8 `[V, V, 3]`."""
    size, grid = env.agent_view_size, env.grid
    left, top, *_ = env.get_view_exts()
    width, height, world = grid.width, grid.height, grid.grid
    cells = []
    for i, j in _offsets(size, int(env.agent_dir)):
        x, y = left + i, top + j
        cells.append(world[y * width + x] if 0 <= x < width and 0 <= y < height else WALL)
    if env.see_through_walls:
        seen = [True] * (size * size)
    else:
        seen = _seen([cell is None or cell.see_behind() for cell in cells], size)
    cells[size // 2 * size + size - 1] = env.carrying  # what it carries lies where it stands
    codes = [
        UNSEEN if not visible else EMPTY if cell is None else cell.encode()
        for cell, visible in zip(cells, seen, strict=True)
    ]
    return np.array(codes, np.uint8).reshape(size, size, 3)


def _seen(clear: list[bool], size: int) -> list[bool]:
    """Which cells light reaches from the agent's, row by row away from it, sideways in both directions."""
    seen = [False] * (size * size)
    seen[size // 2 * size + size - 1] = True
    for j in reversed(range(size)):
        for sideways, columns in ((size, range(size - 1)), (-size, range(size - 1, 0, -1))):
            for i in columns:
                here = i * size + j
                if seen[here] and clear[here]:
                    seen[here + sideways] = True
                    if j > 0:
                        seen[here + sideways - 1] = seen[here - 1] = True
    return seen
