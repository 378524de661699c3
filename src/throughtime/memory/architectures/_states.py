"""The state of any memory as one vector, and a vector added to it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def state_size(state: Any) -> int:
    """N, the real numbers in one row of a state; a complex number counts as two, a whole number not at all."""
    return sum(_width(leaf) for leaf in jax.tree.leaves(state))


def flatten_state(state: Any) -> Float[Array, "B N"]:
    """The floating-point leaves `[B, ...]` of a state side by side, the real parts of a complex one first."""
    columns = []
    for leaf in jax.tree.leaves(state):
        if _width(leaf):
            parts = (leaf.real, leaf.imag) if _is_complex(leaf) else (leaf,)
            columns += [part.reshape(leaf.shape[0], math.prod(leaf.shape[1:])) for part in parts]
    return jnp.concatenate(columns, axis=1)


def add_to_state(state: Any, flat: Float[Array, "B N"]) -> Any:
    """A state plus a vector that is laid out as `flatten_state` has it."""
    leaves, structure = jax.tree.flatten(state)
    begin, out = 0, []
    for leaf in leaves:
        width = _width(leaf)
        piece, begin = flat[:, begin : begin + width], begin + width
        if _is_complex(leaf):
            piece = jax.lax.complex(*jnp.split(piece, 2, axis=1))
        out.append(leaf + piece.reshape(leaf.shape) if width else leaf)
    return structure.unflatten(out)


def _width(leaf: Array) -> int:
    return math.prod(leaf.shape[1:]) * (1 + _is_complex(leaf)) if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0


def _is_complex(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.complexfloating)
