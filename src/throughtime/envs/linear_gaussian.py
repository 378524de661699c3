"""A linear-Gaussian POMDP in full: what a Kalman filter needs."""

from typing import NamedTuple

import numpy as np


class LinearGaussian(NamedTuple):
    """x_0 ~ N(m, P₀), x' = A x + w, y = C x + e, with w ~ N(0, Q) and e ~ N(0, R) (float64). S states, O observations.

    The state is `Environment.hidden_state`, the observation the agent's own. Actions do not move the state.
    """

    initial_mean: np.ndarray  # m [S]
    initial_covariance: np.ndarray  # P₀ [S, S]
    transition: np.ndarray  # A [S, S]
    process_noise: np.ndarray  # Q [S, S]
    observation: np.ndarray  # C [O, S]
    observation_noise: np.ndarray  # R [O, O]
