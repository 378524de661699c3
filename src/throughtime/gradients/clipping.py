"""Gradient clipping: by norm, which keeps the direction, and in three ways that do not.

References: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", arXiv
1211.5063 (norm); Mikolov 2012, "Statistical language models based on neural networks" (value); Brock, De, Smith &
Simonyan 2021, "High-performance large-scale image recognition without normalization", arXiv 2102.06171 (adaptive).
"""

from typing import Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from throughtime.core import ConfigError, did_you_mean

Grads = TypeVar("Grads", bound=PyTree)
Clipping = Literal["norm", "value", "layer", "adaptive"]


def clip(grads: Grads, params: PyTree, by: Clipping, limit: float | None) -> tuple[Grads, Float[Array, ""]]:
    """Clips in the way that a config names.

    Args:
        grads: a tree of floating-point arrays.
        params: the parameters, a tree of the same structure; only "adaptive" reads them.
        by: "norm" (`clip_by_global_norm`), "value" (`clip_by_value`), "layer" (`clip_per_layer`) or "adaptive"
            (`clip_adaptive`).
        limit: the largest norm, value, norm of a layer, or ratio; None for no clipping.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `limit` is not above 0, or `by` is none of the four.
    """
    check_clipping(by)
    if limit is None:
        return grads, global_norm(grads)
    if by == "adaptive":
        return clip_adaptive(grads, params, limit)
    return {"norm": clip_by_global_norm, "value": clip_by_value, "layer": clip_per_layer}[by](grads, limit)


def check_clipping(by: str) -> None:
    """Refuses a way of clipping that is not known.

    Raises:
        ConfigError: `by` is none of `Clipping`.
    """
    if by not in get_args(Clipping):
        raise ConfigError(
            f"gradient_clip_by = {by!r}",
            "Gradients are clipped by global norm, by value, layer by layer, or adaptively.",
            did_you_mean(by, get_args(Clipping)),
        )


def global_norm(grads: PyTree) -> Float[Array, ""]:
    """The Euclidean norm of all leaves taken as one vector, at least in float32; 0 for no leaves."""
    leaves = jax.tree.leaves(grads)
    wide = _wide(*leaves)
    return jnp.sqrt(sum((jnp.sum(jnp.square(g.astype(wide))) for g in leaves), jnp.zeros((), wide)))


def clip_by_value(grads: Grads, c: float) -> tuple[Grads, Float[Array, ""]]:
    """Each element limited to [−c, c]: the direction may change.

    Args:
        grads: a tree of floating-point arrays.
        c: the limit, above 0.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `c` is not above 0.
    """
    _check_limit("c", c)
    return jax.tree.map(lambda g: jnp.clip(g, -c, c), grads), global_norm(grads)


def clip_by_global_norm(grads: Grads, max_norm: float) -> tuple[Grads, Float[Array, ""]]:
    """All elements scaled by one factor so that the global norm is at most `max_norm`: the direction stays.

    Gradients within the limit come back bit for bit. A NaN or an infinity stays visible in the norm that is
    returned.

    Args:
        grads: a tree of floating-point arrays.
        max_norm: the limit, above 0.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `max_norm` is not above 0.
    """
    _check_limit("max_norm", max_norm)
    norm = global_norm(grads)
    return _scaled(grads, norm, max_norm), norm


def clip_per_layer(grads: Grads, max_norm: float) -> tuple[Grads, Float[Array, ""]]:
    """Each layer scaled by a factor of its own so that its norm is at most `max_norm`.

    A layer is a module that holds arrays: the weights and biases of one cell, or of one readout. The direction
    stays within a layer, not between them: a layer that explodes does not silence the others.

    Args:
        grads: a tree of floating-point arrays.
        max_norm: the limit of each layer's norm, above 0.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `max_norm` is not above 0.
    """
    _check_limit("max_norm", max_norm)
    paths = jax.tree_util.tree_flatten_with_path(grads)[0]
    layers: dict[tuple, list[Array]] = {}
    for path, leaf in paths:
        layers.setdefault(path[:-1], []).append(leaf)
    norms = {layer: global_norm(leaves) for layer, leaves in layers.items()}
    clipped = jax.tree_util.tree_map_with_path(lambda path, g: _scaled(g, norms[path[:-1]], max_norm), grads)
    return clipped, global_norm(grads)


def clip_adaptive(grads: Grads, params: PyTree, ratio: float, least: float = 1e-3) -> tuple[Grads, Float[Array, ""]]:
    """Adaptive clipping, unit by unit: ‖g_i‖ is at most `ratio` · max(‖w_i‖, `least`).

    A unit i is what feeds one output: a column of a matrix (of each gate's, for they lie side by side), and a whole
    bias. The paper leaves out the last linear layer; here every parameter is clipped.

    Args:
        grads: a tree of floating-point arrays.
        params: the parameters, a tree of the same structure.
        ratio: λ, above 0; the paper takes 0.01 to 0.16.
        least: ε, what a parameter's norm counts at least, so that one that starts at zero can learn.

    Returns:
        The clipped gradients, and the global norm before.

    Raises:
        ConfigError: `ratio` is not above 0.
    """
    _check_limit("ratio", ratio)

    def clipped(g: Array, w: Array) -> Array:
        return _scaled(g, _unit_norms(g), ratio * jnp.maximum(_unit_norms(w), least))

    return jax.tree.map(clipped, grads, params), global_norm(grads)


def _scaled(grads: Grads, norm: Array, limit: Array | float) -> Grads:
    """Scaled down to the limit where the norm is above it, else bit for bit as they are."""
    scale = jnp.where(norm > limit, limit / norm, 1.0)
    return jax.tree.map(lambda g: g * scale.astype(g.dtype), grads)


def _unit_norms(a: Array) -> Array:
    """The norm of each column of a matrix `[1, …, O]`; of all elements `[]` of what has fewer axes."""
    squares = jnp.square(a.astype(_wide(a)))
    return jnp.sqrt(jnp.sum(squares, axis=tuple(range(a.ndim - 1)), keepdims=True) if a.ndim > 1 else jnp.sum(squares))


def _wide(*arrays: Array) -> DTypeLike:
    return jnp.float64 if any(a.dtype == jnp.float64 for a in arrays) else jnp.float32


def _check_limit(name: str, limit: float) -> None:
    if not limit > 0:
        raise ConfigError(
            f"{name} is {limit}",
            "A limit of 0 or less would stop all learning.",
            f"Set {name} above 0, for example 0.5.",
        )
