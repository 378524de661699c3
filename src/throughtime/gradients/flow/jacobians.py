"""The Jacobians of single steps, and of many in a row: what a recurrence does to a gradient, whatever the loss.

    ∂h_T/∂h_{T−k} = J_T J_{T−1} … J_{T−k+1},   J_t = ∂h_t/∂h_{t−1}

where h stands for the whole state, flattened (for an LSTM h and c side by side, N = 2H numbers). A gradient vanishes
where the singular values of the product shrink, explodes where they grow, and is lost in some directions and kept in
others where they part.

The Jacobians are computed on the device, row by row; the products in NumPy and float64, with their scale kept apart as
a logarithm, so that nothing underflows or overflows. A singular value below 1e-13 of the largest is rounding.

Reference: Saxe, McClelland & Ganguli 2014, arXiv 1312.6120; Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from throughtime.core import pad_right
from throughtime.gradients.flow._states import check_shapes, states_between
from throughtime.memory import Memory


@eqx.filter_jit
def state_jacobians(
    memory: Memory, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"]
) -> Float[Array, "T B N N"]:
    """J[t] = ∂(state after step t)/∂(state after step t − 1), the result's index first; zero where t is a reset.

    Costs N backward steps and N² numbers for each row and step: for a few rows of the batch.

    Args:
        memory: any memory; N numbers in one row of its state.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    check_shapes(memory, state, xs, resets)
    before, _, projected = states_between(memory, state, xs, resets)

    def one(before, projected):  # a single row
        inexact, rest = eqx.partition(before, eqx.is_inexact_array)
        vector, unravel = ravel_pytree(inexact)

        def advance(vector):
            batch = jax.tree.map(lambda a: a[None], (eqx.combine(unravel(vector), rest), projected))
            after, _ = memory.advance(*batch)
            return ravel_pytree(eqx.filter(after, eqx.is_inexact_array))[0]

        return jax.jacrev(advance)(vector)

    jacobians = jax.lax.map(lambda rows: jax.vmap(one)(*rows), (before, projected))
    return jnp.where(pad_right(resets, 4), jnp.zeros_like(jacobians), jacobians)


@dataclass(frozen=True, eq=False)
class JacobianProducts:
    """∂h_T/∂h_{T−k} for a choice of lags.

    Args:
        lags: `[K]`, ascending, from 0 (the identity).
        log_singular_values: `[K, B, N]`, natural logarithms, the largest first; its first is log ‖∂h_T/∂h_{T−k}‖ (the
            spectral norm). −inf where the product is zero, NaN where step T − k is of an earlier episode or a
            Jacobian is not finite.
    """

    lags: np.ndarray
    log_singular_values: np.ndarray


def jacobian_products(
    jacobians: Float[np.ndarray, "T B N N"], resets: Bool[np.ndarray, "T B"], max_lags: int = 24
) -> JacobianProducts:
    """The singular values of the products of the last k Jacobians.

    Args:
        jacobians: as `state_jacobians` returns them.
        resets: `[T, B]`.
        max_lags: at most so many lags are decomposed, spread evenly over 0 … T − 1.
    """
    T, B, N = jacobians.shape[:3]
    lags = np.unique(np.linspace(0, T - 1, min(T, max_lags)).round().astype(int))
    product = np.broadcast_to(np.eye(N), (B, N, N))
    log_scale, reset = np.zeros(B), np.zeros(B, bool)
    values = np.full((len(lags), B, N), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(lags[-1] + 1):
            if k > 0:
                reset = reset | resets[T - k]
                product = product @ jacobians[T - k].astype(np.float64)
                scale = np.abs(product).max(axis=(1, 2), initial=0.0)
                product = product / np.where(scale > 0, scale, 1.0)[:, None, None]
                log_scale = log_scale + np.log(scale)
            if k in lags:
                bad = reset | ~np.all(np.isfinite(product), axis=(1, 2))
                singular = np.linalg.svd(np.where(bad[:, None, None], 0.0, product), compute_uv=False)
                logs = np.log(singular) + log_scale[:, None]
                values[np.searchsorted(lags, k)] = np.where(bad[:, None], np.nan, logs)
    return JacobianProducts(lags, values)


def jacobian_radii(jacobians: Float[np.ndarray, "T B N N"], max_steps: int = 8) -> Float[np.ndarray, "S B"]:
    """The spectral radius of single Jacobians: of at most `max_steps` steps, spread evenly, the last included.

    NaN for a Jacobian that is not finite.
    """
    times = np.unique(np.linspace(len(jacobians) - 1, 0, min(len(jacobians), max_steps)).round().astype(int))
    chosen = jacobians[times].astype(np.float64)
    finite = np.all(np.isfinite(chosen), axis=(2, 3))
    values = np.linalg.eigvals(np.where(finite[..., None, None], chosen, 0.0))
    return np.where(finite, np.abs(values).max(axis=-1, initial=0.0), np.nan)
