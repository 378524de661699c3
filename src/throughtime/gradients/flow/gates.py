"""What the weights and the gates say about the flow before any gradient is taken."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.gradients.flow._states import check_shapes, states_between
from throughtime.memory import LRU, Gated, Jordan, Memory

CLOSED, OPEN = 0.05, 0.95


def cells(memory: Memory, name: str = "") -> Iterator[tuple[str, Memory]]:
    """The recurrences that a memory is built of, by dotted name: the layers of a stack, what a readout stands on."""
    inner = getattr(memory, "memory", None)
    layers = getattr(memory, "layers", ())
    if isinstance(inner, Memory):
        yield from cells(inner, name)
    elif layers:
        for n, layer in enumerate(layers):
            yield from cells(layer, f"{name}layers.{n}.")
    else:
        yield name, memory


def recurrent_radii(memory: Memory) -> dict[str, float]:
    """The spectral radius (largest |eigenvalue|) of each recurrent matrix, gate by gate.

    Below 1 the gradient of a linear network vanishes in the long run, above 1 it explodes. With gates or activations
    in between it is no verdict: `jacobian_radii` has the Jacobians that a gradient really meets.

    Args:
        memory: any memory.

    Returns:
        For example `{"weight_hh": 0.98}`, `{"weight_hh[update]": …}`; of a Jordan network `weight_hy·weight_yh`, the
        loop through its output; of an LRU `decay`, the largest |λ|. Empty where there is no such matrix.
    """
    matrices = {}
    for name, cell in cells(memory):
        if isinstance(cell, Gated):
            matrices |= {f"{name}weight_hh[{gate}]": cell.gate(gate).get("weight_hh") for gate in cell.gates}
        elif isinstance(cell, LRU):
            matrices[f"{name}decay"] = jnp.diag(jnp.hypot(*cell.decay()))
        elif isinstance(cell, Jordan):
            matrices[f"{name}weight_hy·weight_yh"] = cell.readout.weight_hy @ cell.weight_yh
        else:
            matrices[f"{name}weight_hh"] = getattr(cell, "weight_hh", None)
    return {
        name: _radius(np.asarray(matrix, np.float64))
        for name, matrix in matrices.items()
        if matrix is not None and matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    }


def _radius(matrix: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else float("nan")


def gate_saturation(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
) -> dict[str, tuple[float, float]]:
    """How often each gate is as good as closed (below 0.05) or open (above 0.95), over time, batch and units.

    Where a gate is saturated no gradient reaches its weights; a forget or update gate that is open lets the state's
    gradient through unchanged.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.

    Returns:
        Gate to (fraction closed, fraction open), each in [0, 1]; empty for a memory without gates.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    check_shapes(memory, state, xs, resets)
    return {name: (float(a), float(b)) for name, (a, b) in _saturation(memory, state, xs, resets).items()}


@eqx.filter_jit
def _saturation(memory, state, xs, resets):
    before, _, projected = states_between(memory, state, xs, resets)
    gates = jax.vmap(memory.gate_activations)(before, projected)

    def share(flags):
        return jnp.mean(flags, dtype=jnp.float32)

    return {name: (share(a < CLOSED), share(a > OPEN)) for name, a in gates.items()}
