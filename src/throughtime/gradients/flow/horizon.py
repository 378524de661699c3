"""The gradient horizon: how far back a loss can teach, in steps, with an interval.

From the norms ‖∂L_t/∂h_{t−k}‖ of many losses t and batch rows b, the *ratio at lag k* is

    r(k) = √( Σ_{t,b} ‖∂L_t/∂h_{t−k}‖² / Σ_{t,b} ‖∂L_t/∂(output of step t)‖² ),

both sums over the pairs (t, b) for which step t − k lies in the same episode: lags that cross the start of an episode
are left out, not counted as zeros. The horizon is the longest lag with r(k) ≥ 1%; the growth per step is exp of the
least-squares slope of log r(k) over k ≥ 1. Where a gradient is infinite or NaN, no ratio exists from its lag on: the
horizon then lies before it.

Intervals are percentile bootstraps over the rows of the batch (1,000 resamples of rows, fixed seed): they say how much
other data of the same kind would change the figures, not how another training would turn out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

THRESHOLD = 0.01
RESAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class Horizon:
    """How far back gradients reach.

    Args:
        lag: the longest lag whose ratio is at least 1%.
        interval: its 95% interval over the batch; None for a batch of one.
        measured: the longest lag that the data holds.
        growth: the factor by which the norm changes from one lag to the next, or None where fewer than two lags have a
            gradient.
        growth_interval: its 95% interval over the batch, or None.
        log_ratios: `[measured + 1]`, log r(k); −inf where the gradient is exactly zero, NaN from `not_finite_from` on.
        not_finite_from: the first lag at which the gradient of any loss is not finite, or None.
    """

    lag: int
    interval: tuple[int, int] | None
    measured: int
    growth: float | None
    growth_interval: tuple[float, float] | None
    log_ratios: np.ndarray
    not_finite_from: int | None = None

    @property
    def censored(self) -> bool:
        """Whether the horizon reaches the end of the data: it is `lag` *or more*."""
        return self.not_finite_from is None and self.lag >= self.measured

    def __str__(self) -> str:
        if self.not_finite_from is not None:
            return f"{self.lag}, not finite from lag {self.not_finite_from} on"
        return f"at least {self.lag}" if self.censored else f"{self.lag}"


def gradient_horizon(log_norms: Float[np.ndarray, "S K B"], *, threshold: float = THRESHOLD, seed: int = 0) -> Horizon:
    """The horizon, the growth and their intervals.

    Args:
        log_norms: as in `LagNorms.total` (or one of its parts): NaN where a lag does not exist, +inf where the gradient
            is not finite.
        threshold: the share of lag 0's norm that still counts.
        seed: of the bootstrap.
    """
    B = log_norms.shape[2]
    base = log_norms[:, :1]  # [S, 1, B]
    exists = ~np.isnan(log_norms) & (base > -np.inf)
    measured = int(np.max(np.flatnonzero(exists.any(axis=(0, 2))), initial=0))
    bad = np.flatnonzero(np.isposinf(log_norms).any(axis=(0, 2)))
    not_finite_from = int(bad[0]) if bad.size else None
    if not_finite_from is not None:
        exists[:, not_finite_from:] = False
    exists, log_norms = exists[:, : measured + 1], log_norms[:, : measured + 1]
    above, top = _squares(log_norms, exists)
    below, bottom = _squares(np.broadcast_to(base, exists.shape), exists)

    def ratios(weights: Float[np.ndarray, "R B"]) -> Float[np.ndarray, "R K"]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 0.5 * (np.log(weights @ above.T) - np.log(weights @ below.T)) + top - bottom

    whole = ratios(np.ones((1, B)))
    lag, growth = int(_longest(whole, threshold)[0]), _growth(whole)[0]
    interval = growth_interval = None
    if B > 1:
        weights = np.random.default_rng(seed).multinomial(B, np.full(B, 1 / B), RESAMPLES).astype(float)
        drawn = ratios(weights)
        lags = np.quantile(_longest(drawn, threshold), (0.025, 0.975))
        interval = (int(np.floor(lags[0])), int(np.ceil(lags[1])))
        slopes = _growth(drawn)
        if np.isfinite(slopes).any():
            quantiles = np.nanquantile(slopes, (0.025, 0.975))
            growth_interval = (float(quantiles[0]), float(quantiles[1]))
    growth = float(growth) if np.isfinite(growth) else None
    return Horizon(lag, interval, measured, growth, growth_interval, whole[0], not_finite_from)


def mean_log_norms(log_norms: Float[np.ndarray, "S K B"]) -> Float[np.ndarray, "S K"]:
    """Logarithm of the root mean square over the rows in which a lag exists; NaN where it does in none.

    +inf where it is not finite in one of them.
    """
    exists = ~np.isnan(log_norms)
    largest = np.max(np.where(exists, log_norms, -np.inf), axis=2, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squares = np.where(exists, np.exp(2 * (log_norms - shift)), 0.0).sum(axis=2)
        return 0.5 * np.log(squares / exists.sum(axis=2)) + shift[..., 0]


def _squares(
    logs: Float[np.ndarray, "S K B"], exists: Bool[np.ndarray, "S K B"]
) -> tuple[Float[np.ndarray, "K B"], Float[np.ndarray, " K"]]:
    """Squares summed over sources, divided by those of the largest norm at each lag (against overflow), and its log."""
    largest = np.max(np.where(exists, logs, -np.inf), axis=(0, 2))
    largest = np.where(np.isfinite(largest), largest, 0.0)
    return np.exp(2 * np.where(exists, logs - largest[:, None], -np.inf)).sum(axis=0), largest


def _longest(log_ratios: Float[np.ndarray, "R K"], threshold: float) -> Integer[np.ndarray, " R"]:
    """The last lag at or above the threshold (lag 0 is, by definition)."""
    reaches = log_ratios >= np.log(threshold)
    reaches[:, 0] = True
    return log_ratios.shape[1] - 1 - np.argmax(reaches[:, ::-1], axis=1)


def _growth(log_ratios: Float[np.ndarray, "R K"]) -> Float[np.ndarray, " R"]:
    """Exp of the slope over lags ≥ 1, where the ratio is finite; NaN for fewer than two of them."""
    lags = np.arange(log_ratios.shape[1], dtype=float)
    used = np.isfinite(log_ratios) & (lags > 0)
    count = used.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = np.where(used, lags - np.where(used, lags, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
        slope = (x * np.where(used, log_ratios, 0.0)).sum(axis=1) / (x**2).sum(axis=1)
        return np.where(count[:, 0] > 1, np.exp(slope), np.nan)
