"""Array helpers that every floor shares.

Axis names, everywhere: T time, B batch, I input features, H hidden units, O output features. Sequences are
time-major, `[T, B, feature]`.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

Tree = TypeVar("Tree", bound=PyTree)


def affine(x: Float[Array, "*batch I"], weight: Float[Array, "I O"], bias: Float[Array, " O"]) -> Array:
    """`x @ weight + bias` over any leading axes.

    Args:
        x: input, `[..., I]`.
        weight: `[I, O]`.
        bias: `[O]`.

    Returns:
        `[..., O]`.
    """
    y = x @ weight
    return y + jnp.broadcast_to(bias, y.shape)


def pad_right(flag: Array, rank: int) -> Array:
    """Appends axes of size 1 until `flag` has `rank` axes (so `[B]` selects rows of `[B, ...]`)."""
    return flag.reshape(flag.shape + (1,) * (rank - flag.ndim))


def select_rows(flag: Bool[Array, " *batch"], on_true: Tree, on_false: Tree) -> Tree:
    """Leaf by leaf, `on_true` in the rows where `flag` holds and `on_false` elsewhere.

    A `where`, never a multiplication: a NaN in the rows that were not selected does not survive.

    Args:
        flag: `[B]` (or any leading axes that all leaves share).
        on_true: tree of arrays `[B, ...]`.
        on_false: tree of the same structure, shapes and dtypes.
    """
    return jax.tree.map(lambda a, b: jnp.where(pad_right(flag, b.ndim), a, b), on_true, on_false)


def sigmoid(x: Array) -> Array:
    """The logistic function as `½·tanh(x/2) + ½`: XLA's CPU tanh is about three times as fast as its sigmoid."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5
