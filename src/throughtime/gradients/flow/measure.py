"""All of the microscope in one call, and what of it goes into a file."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.gradients.flow.contributions import Contributions, contributions
from throughtime.gradients.flow.gates import gate_saturation, recurrent_radii
from throughtime.gradients.flow.horizon import Horizon, gradient_horizon, mean_log_norms
from throughtime.gradients.flow.jacobians import JacobianProducts, jacobian_products, jacobian_radii, state_jacobians
from throughtime.gradients.flow.lags import MAX_SOURCES, LagNorms, lag_norms
from throughtime.gradients.flow.verdict import FlowVerdict, flow_verdict
from throughtime.memory import Memory

JACOBIAN_NUMBERS = 2**25
"""Rows and steps whose Jacobians are looked at are limited to so many numbers (128 MB in float32)."""


@dataclass(frozen=True, eq=False)
class Flow:
    """What the microscope saw of one memory, on one batch, through one loss.

    Args:
        lags: ‖∂L_t/∂h_{t−k}‖.
        horizon: how far back it reaches.
        path_horizons: the same for the gradient that travels through one array of the state alone.
        contributions: each time step's share of the gradient of the weights.
        recurrent_radii: the spectral radius of each recurrent matrix.
        jacobian_radii: `[S, B']`, that of single steps' Jacobians; None where they were not asked for.
        products: the singular values of ∂h_T/∂h_{T−k}; None where they were not asked for.
        saturation: gate to (fraction below 0.05, fraction above 0.95).
        required_lag: of the task, or None.
        verdict: in words.
    """

    lags: LagNorms
    horizon: Horizon
    path_horizons: dict[str, Horizon]
    contributions: Contributions
    recurrent_radii: dict[str, float]
    jacobian_radii: np.ndarray | None
    products: JacobianProducts | None
    saturation: dict[str, tuple[float, float]]
    required_lag: int | None
    verdict: FlowVerdict

    def summary(self) -> dict[str, Any]:
        """The figures as JSON takes them; what does not exist or is not finite, and the logarithm of 0, is None."""
        horizon, radii = self.horizon, self.jacobian_radii
        summary = {
            "horizon": horizon.lag,
            "horizon_interval": horizon.interval,
            "censored": horizon.censored,
            "not_finite_from": horizon.not_finite_from,
            "measured_lags": horizon.measured,
            "required_lag": self.required_lag,
            "growth_per_step": horizon.growth,
            "growth_interval": horizon.growth_interval,
            "path_horizons": {name: path.lag for name, path in self.path_horizons.items()},
            "path_growths": {name: path.growth for name, path in self.path_horizons.items()},
            "path_not_finite_from": {name: path.not_finite_from for name, path in self.path_horizons.items()},
            "spectral_radius": self.recurrent_radii,
            "jacobian_spectral_radius": None if radii is None else float(np.median(radii)),
            "saturation": {name: {"closed": a, "open": b} for name, (a, b) in self.saturation.items()},
            "verdict": {"headline": self.verdict.headline, "sentences": list(self.verdict.sentences)},
        }
        return _plain(summary)

    def record(self) -> dict[str, Any]:
        """The summary, and what figures draw: all as JSON takes it, logarithms to base 10.

        `log10_ratios` by lag (`path_log10_ratios` by array of the state), `log10_norms` by source and lag,
        `log10_singular_values` by lag (mean over the rows looked at of the largest, the quartiles and the smallest),
        `shares` of the gradient by parameter and time step.
        """
        used = slice(0, self.horizon.measured + 1)
        record = self.summary() | {
            "log10_ratios": _log10(self.horizon.log_ratios),
            "path_log10_ratios": {name: _log10(path.log_ratios) for name, path in self.path_horizons.items()},
            "sources": self.lags.sources.tolist(),
            "log10_norms": _log10(mean_log_norms(self.lags.total)[:, used]),
            "shares": {name: _numbers(shares) for name, shares in self.contributions.shares.items()},
        }
        if self.products is not None:
            values = self.products.log_singular_values
            held = [not np.isnan(at_lag).any() for at_lag in values]  # lags within the episodes of all rows
            logs = np.quantile(values[held], (1, 0.75, 0.5, 0.25, 0), axis=2, method="inverted_cdf").mean(axis=2)
            record["singular_value_lags"] = self.products.lags[held].tolist()
            record["log10_singular_values"] = _log10(logs)
        return record


def measure_flow(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    d_ys: Float[Array, "T B O"],
    *,
    required_lag: int | None = None,
    bptt_length: int | None = None,
    max_sources: int = MAX_SOURCES,
    jacobian_rows: int = 2,
) -> Flow:
    """Looks at how gradients flow through a memory.

    Args:
        memory: any memory.
        state: the state before `xs[0]`.
        xs: inputs, `[T, B, I]`; 8 to 32 rows are enough for the intervals.
        resets: `[T, B]`.
        d_ys: `[T, B, O]`, the cotangents ∂L_t/∂y_t of a loss whose term t depends on y_t alone.
        required_lag: how far the task makes a solution look back, in steps, or None.
        bptt_length: the length that training cuts its sequences to, or None where it does not.
        max_sources: at most so many losses L_t are followed back.
        jacobian_rows: rows of the batch whose step Jacobians are looked at (fewer steps where they are large); 0 for
            none: they are the dearest part.

    Raises:
        ConfigError: shapes that do not belong together.
    """
    args = (memory, state, xs, resets)
    lags = lag_norms(*args, d_ys, max_sources=max_sources)
    horizon = gradient_horizon(lags.total)
    radii = products = None
    numbers = sum(leaf[0].size for leaf in jax.tree.leaves(state)) if jax.tree.leaves(state) else 0
    if jacobian_rows and numbers:
        rows = min(jacobian_rows, xs.shape[1])
        jacobians, cut = _last_jacobians(*args, rows, max(1, JACOBIAN_NUMBERS // (rows * numbers**2)))
        radii, products = jacobian_radii(jacobians), jacobian_products(jacobians, cut)
    verdict = flow_verdict(memory, horizon, required_lag, bptt_length=bptt_length)
    if not bool(jnp.isfinite(d_ys).all()):  # then the memory is not to blame
        verdict = FlowVerdict(
            "Gradients are not finite",
            ("The gradient of the loss with respect to the memory's outputs has NaN or infinite values.",),
        )
    return Flow(
        lags=lags,
        horizon=horizon,
        path_horizons={name: gradient_horizon(norms) for name, norms in lags.by_path.items()},
        contributions=contributions(*args, d_ys),
        recurrent_radii=recurrent_radii(memory),
        jacobian_radii=radii,
        products=products,
        saturation=gate_saturation(*args),
        required_lag=required_lag,
        verdict=verdict,
    )


def _last_jacobians(memory, state, xs, resets, rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Those of the first `rows` rows, of at most `steps` steps up to the time with the longest past in all of them."""
    state, xs, resets = jax.tree.map(lambda a: a[:rows], state), xs[:, :rows], resets[:, :rows]
    times = np.arange(len(xs))[:, None]
    past = times - np.maximum.accumulate(np.where(np.asarray(resets), times, 0), axis=0)
    end = len(xs) - int(np.argmax(past.min(axis=1)[::-1]))
    start = max(0, end - steps)
    state, _ = memory.unroll(state, xs[:start], resets[:start])
    xs, resets = xs[start:end], resets[start:end]
    return np.asarray(state_jacobians(memory, state, xs, resets)), np.asarray(resets)


def _log10(logs: np.ndarray) -> list:
    return _numbers(logs / np.log(10))


def _numbers(values: np.ndarray) -> list:
    """Nested lists of floats to four significant decimals, None where they are not finite."""
    if values.ndim > 1:
        return [_numbers(row) for row in values]
    return [round(float(v), 4) if np.isfinite(v) else None for v in values]


def _plain(value: Any) -> Any:
    """Without what JSON does not have: NaN and infinities become None."""
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
