"""States of a memory in the plane: principal components (Pearson 1901; Hotelling 1933)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Projection(NamedTuple):
    """The plane in which features vary most."""

    centre: Float[np.ndarray, " F"]
    axes: Float[np.ndarray, "F 2"]  # orthonormal; each turned so that its largest entry is positive
    shares: Float[np.ndarray, " 2"]  # of the variance, along each axis

    def __call__(self, features: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N 2"]:
        """Where the features lie in the plane."""
        return (features - self.centre) @ self.axes


def principal_plane(features: Float[np.ndarray, "N F"]) -> Projection:
    """The first two principal components; where there is one feature only, the second axis is zero.

    Args:
        features: N ≥ 1 of them, F ≥ 1.
    """
    centre = features.mean(axis=0, dtype=float)
    covariance = (features - centre).T @ (features - centre) / len(features)
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(-variances)[:2]
    axes, variances = axes[:, order], np.maximum(variances[order], 0.0)
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], 0) < 0, -1.0, 1.0)
    missing = 2 - axes.shape[1]
    total = max(float(np.trace(covariance)), 1e-30)
    return Projection(centre, np.pad(axes, ((0, 0), (0, missing))), np.pad(variances / total, (0, missing)))
