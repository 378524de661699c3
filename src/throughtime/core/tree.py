"""The arrays of a tree: by name, as a checkpoint stores them and puts them back, and as real numbers."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

Tree = TypeVar("Tree", bound=PyTree)


def named_arrays(tree: PyTree) -> dict[str, Any]:
    """The arrays of a tree by dotted path, for example `"actor.memory.layers.0.weight_hh"`.

    Leaves that are not arrays (functions, Python numbers) are left out; typed PRNG keys appear as their
    `uint32` data.

    Args:
        tree: any pytree: modules, optimiser states, NamedTuples, dicts.

    Returns:
        Name to array (JAX or NumPy, as it lies in the tree), in the tree's own order.

    Raises:
        ValueError: two leaves have the same name (a dict key with a dot in it beside a nested one).
    """
    named: dict[str, Any] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if not _is_array(leaf):
            continue
        name = _dotted(path)
        if name in named:
            raise ValueError(f"two leaves of the tree are both named {name!r}")
        named[name] = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return named


def replace_arrays(tree: Tree, arrays: Mapping[str, np.ndarray | Array]) -> Tree:
    """The tree with each of its arrays replaced by the one of the same name: the inverse of `named_arrays`.

    Args:
        tree: the tree that says which names, shapes and dtypes have to be there; it is not changed.
        arrays: name to array, exactly the names of `named_arrays(tree)`.

    Returns:
        A tree of the same structure; JAX leaves stay JAX arrays, NumPy leaves NumPy arrays, keys typed keys.

    Raises:
        ValueError: a leaf is missing, surplus, or of another shape or dtype; the message names it.
    """
    expected = named_arrays(tree)
    for name in expected:
        if name not in arrays:
            raise ValueError(f"leaf {name!r} is missing")
    for name in arrays:
        if name not in expected:
            raise ValueError(f"leaf {name!r} is surplus: the tree has no such array")
    for name, old in expected.items():
        new = arrays[name]
        if tuple(new.shape) != tuple(old.shape):
            raise ValueError(f"leaf {name!r} has shape {tuple(new.shape)}, expected {tuple(old.shape)}")
        if new.dtype != old.dtype:
            raise ValueError(f"leaf {name!r} has dtype {new.dtype}, expected {old.dtype}")

    def put(path: tuple, leaf: Any) -> Any:
        if not _is_array(leaf):
            return leaf
        new = arrays[_dotted(path)]
        if _is_key(leaf):
            return jax.random.wrap_key_data(jnp.array(new), impl=jax.random.key_impl(leaf))
        return np.array(new) if isinstance(leaf, np.ndarray) else jnp.array(new)

    return jax.tree_util.tree_map_with_path(put, tree)


def real_numbers(leaf: Array) -> Float[Array, "rows n"]:
    """An array as float32 numbers, flattened behind its first axis: of complex ones real and imaginary parts.

    Args:
        leaf: `[rows, ...]`, of any dtype of numbers.
    """
    leaf = leaf.reshape(leaf.shape[0], -1)
    if jnp.iscomplexobj(leaf):
        leaf = jnp.concatenate([leaf.real, leaf.imag], axis=1)
    return leaf.astype(jnp.float32)


def _dotted(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
