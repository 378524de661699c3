"""How near a probe comes to what it is to read."""

import numpy as np
from jaxtyping import Float

LEAST = 1e-12  # probabilities below count as this one


def mean_kl(exact: Float[np.ndarray, "N S"], probed: Float[np.ndarray, "N S"]) -> float:
    """Mean of KL(exact ‖ probed) = Σ_s b(s) log(b(s) / q(s)), in nats.

    Args:
        exact: beliefs; 0 log 0 counts as 0.
        probed: what the probe says of them.
    """
    logs = np.log(np.maximum(exact, LEAST)) - np.log(np.maximum(probed, LEAST))
    return float(np.mean((exact * logs).sum(axis=1)))


def mean_gaussian_kl(
    mean: Float[np.ndarray, "N S"], covariance: Float[np.ndarray, "N S S"], probed: Float[np.ndarray, "N S"]
) -> float:
    """Mean of KL(N(mean, P) ‖ N(probed, P)) = ½ (mean − probed)ᵀ P⁻¹ (mean − probed), in nats.

    Args:
        mean: of the exact belief.
        covariance: P, of the exact belief; the probe is credited with it.
        probed: the mean that the probe says.
    """
    error = mean - probed
    return float(0.5 * np.mean(np.einsum("ns,ns->n", error, np.linalg.solve(covariance, error[..., None])[..., 0])))


def r_squared(targets: Float[np.ndarray, "N D"], predicted: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " D"]:
    """1 − Σ (target − predicted)² / Σ (target − mean)² of each number; NaN for one that does not vary.

    Args:
        targets: the truth.
        predicted: what is said of it.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 - ((targets - predicted) ** 2).sum(axis=0) / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)


def accuracy(classes: np.ndarray, probabilities: Float[np.ndarray, "N K"]) -> float:
    """The share of rows `[N]` whose class is the most probable one."""
    return float(np.mean(probabilities.argmax(axis=1) == classes))
