"""The planner of the suite's room: exact breadth-first search over places and headings, in what was seen so far.

Where the target was seen, it goes the shortest way there; where it was not, to the nearest pose from which something
new comes into view. A policy with memory can know all that it knows.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

HEADINGS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west: (row, column); a right turn goes on by one
LEFT, RIGHT, FORWARD = range(3)
VIEW = 5  # rows ahead, the agent's own among them, and columns in sight
FAR = 1000


def in_view(position: Int[Array, " 2"], heading: Int[Array, ""], size: int) -> Bool[Array, "W W"]:
    """Which cells of a grid of `size` are in view."""
    down, across = jnp.indices((size, size))
    down, across = down - position[0], across - position[1]
    ahead, aside = (jnp.asarray(HEADINGS)[(heading + turn) % 4] for turn in (0, 1))
    forward, side = down * ahead[0] + across * ahead[1], down * aside[0] + across * aside[1]
    return (forward >= 0) & (forward < VIEW) & (jnp.abs(side) <= VIEW // 2)


def plan(
    free: Bool[Array, "W W"],
    seen: Bool[Array, "W W"],
    places: Bool[Array, "W W"],
    target: Int[Array, " 2"],
    position: Int[Array, " 2"],
    heading: Int[Array, ""],
    deed: Int[Array, ""],
) -> Int[Array, ""]:
    """The next action.

    Args:
        free: cells that can be walked on, as far as is known.
        seen: cells that have been in view.
        places: where a target of this kind can be.
        target: row and column of the target; used only where that cell was seen.
        position: row and column of the agent.
        heading: its heading.
        deed: the action that the target is for, once it is in front.
    """
    at = jnp.zeros(free.shape, bool).at[target[0], target[1]].set(True)
    known = seen[target[0], target[1]]
    facing = jnp.stack([_shifted(at, heading) for heading in HEADINGS])
    goal = jnp.where(known, facing, _shows(places & ~seen))
    distance = distances(free, goal)
    row, column = position
    here = distance[heading, row, column]
    ahead = jnp.clip(position + jnp.asarray(HEADINGS)[heading], 0, free.shape[0] - 1)
    forward = distance[heading, ahead[0], ahead[1]] == here - 1
    right = distance[(heading + 1) % 4, row, column] == here - 1
    # Of several shortest ways the one that walks first, in a search the one that turns first; else to the right.
    walks = forward & (known | ~right)
    way = jnp.where(walks, FORWARD, jnp.where(right, RIGHT, LEFT))
    return jnp.where(known & (here == 0), deed, way).astype(jnp.int32)


def distances(free: Bool[Array, "W W"], goal: Bool[Array, "4 W W"]) -> Int[Array, "4 W W"]:
    """Actions from each heading and cell to the nearest pose of `goal`; `FAR` where none can be reached."""
    start = jnp.where(goal & free[None], 0, FAR).astype(jnp.int32)

    def sweep(carry):
        before, _ = carry
        turned = jnp.minimum(jnp.roll(before, 1, axis=0), jnp.roll(before, -1, axis=0))
        walked = jnp.stack([_shifted(before[h], heading, FAR) for h, heading in enumerate(HEADINGS)])
        after = jnp.where(free[None], jnp.minimum(before, 1 + jnp.minimum(turned, walked)), FAR)
        return after, jnp.any(after != before)

    return jax.lax.while_loop(lambda carry: carry[1], sweep, (start, jnp.ones((), bool)))[0]


def _shows(cells: Bool[Array, "W W"]) -> Bool[Array, "4 W W"]:
    """The poses that have one of these cells in view."""
    views = []
    for turn, ahead in enumerate(HEADINGS):
        aside = HEADINGS[(turn + 1) % 4]
        row = column = cells
        for _ in range(VIEW - 1):
            row = cells | _shifted(row, ahead)
        column = row
        for side in range(1, VIEW // 2 + 1):
            for sign in (-side, side):
                column = column | _shifted(row, (sign * aside[0], sign * aside[1]))
        views.append(column)
    return jnp.stack(views)


def _shifted(values: Array, by: tuple[int, int], outside: bool | int = False) -> Array:
    """What lies `by` rows and columns away from each cell."""
    reach = max(map(abs, by))
    padded = jnp.pad(values, reach, constant_values=outside)
    row, column, W = reach + by[0], reach + by[1], values.shape[0]
    return padded[row : row + W, column : column + W]
