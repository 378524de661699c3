"""Trees of arrays of any framework: taken apart, looked at in NumPy, and put together again.

Containers are dicts, lists, tuples, NamedTuples, dataclass instances, None, and, where JAX is in use, whatever is
registered with it. All else is a leaf. JAX is never imported here.
"""

import copy
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Leaf(NamedTuple):
    """One leaf: how to find it, and what lies there."""

    path: str  # such as "memory.0.h"; empty where the tree is one array
    value: Any

    def __str__(self) -> str:
        return f"leaf {self.path!r}" if self.path else "the array"


def leaves(tree: Any) -> list[Leaf]:
    """All leaves, in order, with their dotted paths."""
    found: list[Leaf] = []
    _walk(tree, "", lambda path, leaf: found.append(Leaf(path, leaf)))
    return found


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with each leaf replaced by `function(leaf)`."""
    return _walk(tree, "", lambda _, leaf: function(leaf))


def structure(tree: Any) -> str:
    """How the tree is built, leaves as `*`, for comparing and for messages."""
    return repr(_walk(tree, "", lambda *_: _STAR))


def rebuild(tree: Any, values: Sequence[Any]) -> Any:
    """The tree with its leaves replaced in order."""
    queue = iter(values)
    return map_leaves(lambda _: next(queue), tree)


def _walk(tree: Any, path: str, visit: Callable[[str, Any], Any]) -> Any:
    if tree is None:
        return None
    if is_array(tree):
        return visit(path, tree)
    if isinstance(tree, dict):
        return {key: _walk(child, _joined(path, key), visit) for key, child in tree.items()}
    fields = getattr(tree, "_fields", None)
    if isinstance(tree, tuple) and fields is not None:
        pairs = zip(fields, tree, strict=True)
        return type(tree)(*(_walk(child, _joined(path, name), visit) for name, child in pairs))
    if isinstance(tree, list | tuple):
        return type(tree)([_walk(child, _joined(path, i), visit) for i, child in enumerate(tree)])
    children = _jax_children(tree)
    if children is not None:
        pairs, treedef = children
        return treedef.unflatten([_walk(child, _joined(path, key), visit) for key, child in pairs])
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree) if field.init]
        new = {name: _walk(getattr(tree, name), _joined(path, name), visit) for name in names}
        return dataclasses.replace(tree, **new)
    return visit(path, tree)


def _joined(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _jax_children(tree: Any) -> tuple[list[tuple[str, Any]], Any] | None:
    """Named leaves of a node registered with JAX (flax struct, Equinox module), or None for a leaf."""
    jax = sys.modules.get("jax")
    if jax is None or hasattr(tree, "dtype") or not hasattr(jax, "tree_util"):
        return None
    util = jax.tree_util
    if util.all_leaves([tree]):
        return None
    paths, treedef = util.tree_flatten_with_path(tree)
    return [(util.keystr(p, simple=True, separator="."), leaf) for p, leaf in paths], treedef


class _Star:
    def __repr__(self) -> str:
        return "*"


_STAR = _Star()


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array of any framework (a Python number is none)."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def dtype_name(leaf: Any) -> str:
    """`float32` and the like, in any framework."""
    return str(leaf.dtype).removeprefix("torch.")


def to_numpy(leaf: Any) -> np.ndarray:
    """A copy in NumPy; 16-bit floats become float32, exactly.

    Raises:
        TypeError: what cannot be numbers.
    """
    if _is_torch(leaf):
        leaf = leaf.detach().cpu()
        if dtype_name(leaf) == "bfloat16":
            leaf = leaf.float()
        return np.array(leaf.numpy())
    if _is_key(leaf):
        leaf = sys.modules["jax"].random.key_data(leaf)
    array = np.array(leaf)
    if array.dtype.name in ("float16", "bfloat16"):
        array = array.astype(np.float32)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"dtype {array.dtype} holds no numbers")
    return array


def like(leaf: Any, array: np.ndarray) -> Any:
    """The array in the framework and with the dtype of `leaf`."""
    if _is_torch(leaf):
        return sys.modules["torch"].as_tensor(array).to(dtype=leaf.dtype, device=leaf.device)
    array = array.astype(leaf.dtype)
    return array if isinstance(leaf, np.ndarray) else sys.modules["jax"].numpy.asarray(array)


def copied(tree: Any) -> Any:
    """The same values in memory of their own, so that no one's writing in place shows elsewhere."""
    return map_leaves(_copy, tree)


def floating(leaf: Any) -> bool:
    """Whether a NaN can lie in it."""
    return is_array(leaf) and ("float" in dtype_name(leaf) or "complex" in dtype_name(leaf))


def resolution(leaf: Any) -> float:
    """The relative rounding error of its dtype; 0 for whole numbers."""
    name = dtype_name(leaf)
    return {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float64": 2.0**-53, "complex128": 2.0**-53}.get(
        name, 2.0**-24 if floating(leaf) else 0.0
    )


def _copy(leaf: Any) -> Any:
    if _is_torch(leaf):
        return leaf.detach().clone()
    if _is_jax(leaf):
        return leaf  # cannot be written to
    return np.array(leaf) if isinstance(leaf, np.ndarray) else copy.deepcopy(leaf)


def _is_torch(leaf: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(leaf, torch.Tensor)


def _is_jax(leaf: Any) -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(leaf, jax.Array)


def _is_key(leaf: Any) -> bool:
    return _is_jax(leaf) and sys.modules["jax"].dtypes.issubdtype(leaf.dtype, sys.modules["jax"].dtypes.prng_key)
