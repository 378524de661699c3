"""Memory's share: how much of the way from the memoryless return to the ceiling an agent goes.

    share = (return − floor) / (ceiling − floor)

The floor is the best return of any memoryless policy where the environment knows it, else that of a memoryless twin
trained with the same budget; the ceiling is the best return of any policy where it is known, else that of a twin that
sees the hidden state. What is known comes first, because a twin can fall short of its own ceiling, and because a twin
that sees the state can do what no memory could. The interval is Student's t over training seeds, seed by seed, where
there are several; with one seed it is a bootstrap over the episodes of all agents in the formula.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from throughtime.proof.evidence._intervals import t_interval

Source = Literal["known", "twin"]
RESAMPLES = 2_000
Returns = Sequence[Float[np.ndarray, " _"]]


class Share(NamedTuple):
    """Memory's share, and of what."""

    value: float | None  # None where the ceiling is not above the floor: nothing can be shared
    interval: tuple[float, float] | None
    floor: float
    floor_from: Source
    ceiling: float
    ceiling_from: Source


def memory_share(
    returns: Returns,
    memoryless: Returns | None,
    ceiling: Returns | None,
    *,
    known_memoryless: float | None = None,
    known_ceiling: float | None = None,
    seed: int = 0,
) -> Share | None:
    """The share, or None where there is no floor or no ceiling.

    Args:
        returns: of the agent: of each training seed the returns of its episodes.
        memoryless: of its memoryless twin, seed by seed in the same order, or None.
        ceiling: of the twin that sees the hidden state, or None.
        known_memoryless: the exact floor, where known.
        known_ceiling: the exact ceiling, where known.
        seed: of the bootstrap.
    """
    if (known_memoryless is None and not memoryless) or (known_ceiling is None and not ceiling):
        return None
    floors = memoryless if known_memoryless is None else None
    ceilings = ceiling if known_ceiling is None else None
    floor, top = _mean(floors, known_memoryless), _mean(ceilings, known_ceiling)
    sources: tuple[Source, Source] = ("twin" if floors else "known", "twin" if ceilings else "known")
    gap = top - floor
    if not gap > 1e-9 * max(1.0, abs(top)):
        return Share(None, None, floor, sources[0], top, sources[1])
    value = (_mean(returns, None) - floor) / gap
    if len(returns) > 1:
        shares = []
        for i, episodes in enumerate(returns):
            low, high = _of_seed(floors, known_memoryless, i), _of_seed(ceilings, known_ceiling, i)
            shares.append((float(episodes.mean()) - low) / (high - low) if high > low else np.nan)
        interval = t_interval(np.array(shares)) if np.isfinite(shares).all() else None
    else:
        interval = _bootstrap(returns, floors, known_memoryless, ceilings, known_ceiling, seed)
    return Share(value, interval, floor, sources[0], top, sources[1])


def _mean(returns: Returns | None, known: float | None) -> float:
    if known is not None:
        return known
    assert returns is not None
    return float(np.mean([episodes.mean() for episodes in returns]))


def _of_seed(returns: Returns | None, known: float | None, i: int) -> float:
    """Of the twin with the same seed; where it has fewer seeds, of all of them."""
    if returns is not None and i < len(returns):
        return float(returns[i].mean())
    return _mean(returns, known)


def _bootstrap(
    returns: Returns,
    floors: Returns | None,
    known_floor: float | None,
    ceilings: Returns | None,
    known_ceiling: float | None,
    seed: int,
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)

    def draws(episodes: Returns | None, known: float | None) -> np.ndarray:
        if known is not None or episodes is None:
            return np.full(RESAMPLES, known)
        pooled = np.concatenate(list(episodes)).astype(float)
        picked = rng.integers(0, len(pooled), (RESAMPLES, len(pooled)))
        return pooled[picked].mean(axis=1)

    own, low, high = draws(returns, None), draws(floors, known_floor), draws(ceilings, known_ceiling)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(high > low, (own - low) / (high - low), np.nan)
    first, last = np.nanquantile(shares, (0.025, 0.975))
    return float(first), float(last)
