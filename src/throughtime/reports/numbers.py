"""Numbers as people read them, and the interval over seeds."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Real

# The 97.5% quantile of Student's t for 1 … 30 degrees of freedom.
_T_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def t_quantile(degrees: int) -> float:
    """The 97.5% quantile of Student's t with `degrees` ≥ 1 degrees of freedom, to three decimals."""
    if degrees <= len(_T_QUANTILES):
        return _T_QUANTILES[degrees - 1]
    return 1.95996 + 2.372 / degrees + 2.82 / degrees**2  # Cornish and Fisher's expansion about the normal


def mean_over_seeds(
    returns: Real[np.ndarray, "S N"],
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """The mean over seeds and its 95% t interval, point by point; NaN entries do not count.

    Args:
        returns: `[S, N]`.

    Returns:
        mean, lo, hi, each `[N]`; the mean is NaN where no seed has a number, lo and hi where not
        two have.
    """
    seen = np.isfinite(returns)
    count = seen.sum(axis=0)
    filled = np.where(seen, returns, 0.0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / count
        squares = (np.where(seen, filled - mean[None], 0.0) ** 2).sum(axis=0)
        error = np.sqrt(squares / (count - 1) / count)
    quantile = np.array([t_quantile(int(n) - 1) if n > 1 else np.nan for n in count])
    return mean, mean - quantile * error, mean + quantile * error


def formatter(values: Iterable[float | None]) -> Callable[[float | None], str]:
    """One format for numbers that stand together: as many decimals as the largest of them asks for.

    Args:
        values: all numbers of the column; None and non-finite ones do not count.

    Returns:
        A function from a number to text, with a true minus sign; "–" for None and NaN.
    """
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=1.0)
    magnitude = math.floor(math.log10(largest)) if largest > 0 else 0
    decimals = min(max(3 - max(magnitude, 0), 0), 3) if magnitude >= -1 else min(2 - magnitude, 9)

    def show(value: float | None) -> str:
        if value is None or math.isnan(value):
            return "–"
        text = f"{value:,.{decimals}f}"
        zero = not text.strip("-0.,")
        return text.lstrip("-") if zero else text.replace("-", "−")

    return show


def shorten(text: str, length: int) -> str:
    """`text` on one line without control characters, cut to `length` characters with an ellipsis."""
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
