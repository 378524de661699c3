"""The exact belief of a linear-Gaussian POMDP: the Kalman filter (Kalman 1960)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError, select_rows
from throughtime.envs import LinearGaussian


class GaussianBelief(NamedTuple):
    """N(mean, covariance) of the state after each observation."""

    mean: Float[Array, "T B S"]
    covariance: Float[Array, "T B S S"]


def kalman_filter(
    model: LinearGaussian, observations: Float[Array, "T B O"], resets: Bool[Array, "T B"]
) -> GaussianBelief:
    """The belief P(x_t | y_0 … y_t) after each observation, in the dtype of the observations; jittable.

    With N(m, P) predicted for x_t, y_t gives K = P Cᵀ (C P Cᵀ + R)⁻¹, the mean m + K (y_t − C m) and, in Joseph's form,
    which stays symmetric and positive, the covariance (I − K C) P (I − K C)ᵀ + K R Kᵀ. The next prediction is
    N(A m, A P Aᵀ + Q). Gains and covariances are those of each step, not the stationary ones.

    Args:
        model: the matrices; each of transition, process_noise, observation and observation_noise may vary in time, `[T,
            ...]`: entry t of the first two leads from x_t to x_{t+1}.
        observations: y.
        resets: where y_t is the first of an episode: the prediction is then the model's initial distribution, by
            `where`. The first row counts as true.

    Raises:
        ConfigError: matrices that do not fit together.
    """
    T = observations.shape[0]
    _check(model, T, observations.shape[2])
    initial = [jnp.asarray(x, observations.dtype) for x in model[:2]]
    steps = []
    for matrix in model[2:]:
        matrix = jnp.asarray(matrix, observations.dtype)
        steps.append(matrix if matrix.ndim == 3 else jnp.broadcast_to(matrix[None], (T, *matrix.shape)))
    return GaussianBelief(*_filter(*initial, *steps, observations, resets))


@jax.jit
def _filter(
    initial_mean: Float[Array, " S"],
    initial_covariance: Float[Array, "S S"],
    transition: Float[Array, "T S S"],
    process_noise: Float[Array, "T S S"],
    observation: Float[Array, "T O S"],
    observation_noise: Float[Array, "T O O"],
    ys: Float[Array, "T B O"],
    resets: Bool[Array, "T B"],
) -> tuple[Float[Array, "T B S"], Float[Array, "T B S S"]]:
    S = initial_mean.shape[0]

    def update(m, P, y, A, Q, C, R):  # one row: [S], [S, S], [O] and the step's matrices
        gain = jnp.linalg.solve(C @ P @ C.T + R, C @ P).T
        rest = jnp.eye(S, dtype=P.dtype) - gain @ C
        m, P = m + gain @ (y - C @ m), rest @ P @ rest.T + gain @ R @ gain.T
        return (m, P), (A @ m, A @ P @ A.T + Q)

    def body(predicted, inputs):
        y, reset, *matrices = inputs
        predicted = select_rows(reset, begin, predicted)
        filtered, predicted = jax.vmap(update, in_axes=(0, 0, 0, None, None, None, None))(*predicted, y, *matrices)
        return predicted, filtered

    B = ys.shape[1]
    begin = (
        jnp.broadcast_to(initial_mean[None], (B, S)),
        jnp.broadcast_to(initial_covariance[None], (B, S, S)),
    )
    return jax.lax.scan(body, begin, (ys, resets, transition, process_noise, observation, observation_noise))[1]


def _check(model: LinearGaussian, T: int, O: int) -> None:  # noqa: E741
    S = len(model.initial_mean)
    wanted = {
        "initial_covariance": (S, S),
        "transition": (S, S),
        "process_noise": (S, S),
        "observation": (O, S),
        "observation_noise": (O, O),
    }
    for name, shape in wanted.items():
        actual = np.shape(getattr(model, name))
        if actual != shape and (name == "initial_covariance" or actual != (T, *shape)):
            raise ConfigError(
                f"{name} has shape {actual}.",
                f"With {S} states and observations of {O} numbers it is {shape}, or {(T, *shape)} where it varies.",
                "Correct the model, or the observations [T, B, O].",
            )
