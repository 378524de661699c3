"""Rollouts cut into the sequences that truncated backpropagation through time works on."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

Tree = TypeVar("Tree", bound=PyTree)


def cut(rollout: Tree, length: int) -> Tree:
    """Cuts `[T, B, ...]` into contiguous sequences `[length, T/length · B, ...]`.

    Sequence s·B + b holds steps s·length … (s+1)·length − 1 of environment b, in order. (A bare `reshape` would
    stride over time and environments: a fault seen in several libraries.)

    Args:
        rollout: tree of arrays `[T, B, ...]`, T divisible by `length`.
        length: steps in a sequence, at most T.
    """

    def one(x: Array) -> Array:
        T, B = x.shape[:2]
        pieces = jnp.moveaxis(x.reshape(T // length, length, *x.shape[1:]), 0, 1)
        return pieces.reshape(length, T // length * B, *x.shape[2:])

    return jax.tree.map(one, rollout)


def join_starts(states: Tree) -> Tree:
    """States stored at the start of each piece, `[T/length, B, ...]`, in the order of `cut`: `[T/length · B, ...]`."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), states)
