"""95% intervals of a mean: Student's t over training seeds, the normal one over episodes."""

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit


def t_interval(values: Float[np.ndarray, " S"]) -> tuple[float, float]:
    """Of the mean of S ≥ 2 independent values."""
    S, mean = len(values), float(np.mean(values))
    half = float(stdtrit(S - 1, 0.975)) * float(np.std(values, ddof=1)) / S**0.5
    return mean - half, mean + half


def normal_interval(values: Float[np.ndarray, " N"]) -> tuple[float, float]:
    """Of the mean of N ≥ 2 episodes."""
    mean, half = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean - half, mean + half


def over_seeds(values: Float[np.ndarray, "S N"]) -> tuple[float, float]:
    """Of the mean of S seeds' N episodes each: over seeds where there are several, else over episodes."""
    if len(values) > 1:
        return t_interval(values.mean(axis=1).astype(float))
    return normal_interval(values[0].astype(float))
