"""Where the objects of the suite's room lie: apart from each other, so that each can be reached."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

GONE = -9  # the row of an object that is not there: out of any view


@cache
def inside(width: int) -> Bool[np.ndarray, "rows columns"]:
    """The cells of a room of `width` × `width`, walls around them."""
    return np.pad(np.ones((width, width), bool), 1)


@cache
def sides(width: int) -> Bool[np.ndarray, "rows columns"]:
    """The cells of the walls, without the corners: where a door can be."""
    walls = ~inside(width)
    walls[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    return walls


def occupied_by(cell: Int[Array, "K 2"], width: int) -> Bool[Array, "rows columns"]:
    """The cells in which objects are."""
    rows, columns = jnp.indices((width + 2, width + 2))
    return jnp.any((rows[None] == cell[:, 0, None, None]) & (columns[None] == cell[:, 1, None, None]), axis=0)


def place(
    key: PRNGKeyArray, door: Bool[Array, " K"], width: int
) -> tuple[Int[Array, "K 2"], Bool[Array, "rows columns"]]:
    """One object after the other in a random cell among those that are left.

    No two objects lie in neighbouring cells, corners included, and none before a door: what is free stays connected,
    and beside each object there is a free cell.

    Args:
        key: decides.
        door: which of them are doors, which are in the walls.
        width: cells from wall to wall.

    Returns:
        Row and column of each, `GONE` where there was no room, and which cells they occupy.
    """
    rows, columns = jnp.indices((width + 2, width + 2))
    noise = jax.random.uniform(key, (*door.shape, width + 2, width + 2))

    def one(taken: tuple[Array, Array], each: tuple[Array, Array]):
        no_object, no_door = taken
        door, noise = each
        left = jnp.where(door, jnp.asarray(sides(width)) & ~no_door, jnp.asarray(inside(width)) & ~no_object)
        at, fits = jnp.argmax(jnp.where(left, noise, -1.0)), jnp.any(left)
        cell = jnp.stack([at // (width + 2), at % (width + 2)]).astype(jnp.int32)
        down, across = jnp.abs(rows - cell[0]), jnp.abs(columns - cell[1])
        around, beside = fits & (jnp.maximum(down, across) <= 1), fits & (down + across <= 1)
        # An object keeps its neighbours free; a door the one cell from which it can be reached.
        return (no_object | jnp.where(door, beside, around), no_door | beside), jnp.where(fits, cell, GONE)

    nothing = jnp.zeros((width + 2, width + 2), bool)
    _, cells = jax.lax.scan(one, (nothing, nothing), (door, noise))
    return cells, occupied_by(cells, width)
