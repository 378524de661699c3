"""Draws observations for a policy under test, from whatever it says of them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from throughtime.core import ConfigError

Draw = Callable[[np.random.Generator, int, int], Any]


def observation_source(policy: Any, env: Any = None, shape: tuple[int, ...] | None = None) -> Draw:
    """The function that draws observations `[T, B, ...]`.

    Args:
        policy: may have `observations`, `observation_space` or `observation_shape`.
        env: may have an `observation_space` (a property, or a method as gymnax has it).
        shape: said by the user; goes before all else.

    Raises:
        ConfigError: nothing says what an observation is.
    """
    if shape is not None:
        return _normal(tuple(shape))
    if callable(getattr(policy, "observations", None)):
        return policy.observations
    space = getattr(policy, "observation_space", None)
    if space is None and getattr(policy, "observation_shape", None) is not None:
        return _normal(tuple(policy.observation_shape))
    if space is None and env is not None:
        space = getattr(env, "single_observation_space", None) or getattr(env, "observation_space", None)
    if callable(space):
        space = space(getattr(env, "default_params", None))
    if space is None:
        raise ConfigError(
            "Nothing says what this policy's observations look like.",
            "memcheck draws them at random, and has to know their shape.",
            "Give the policy an observation_shape = (4,) (or an observation_space, or a function observations(rng, T, "
            "B)), pass observation_shape=(4,) to memcheck, or --observation-shape 4 to throughtime check.",
        )
    return from_space(space)


def from_space(space: Any) -> Draw:
    """Draws from a space of Gymnasium, gymnax or throughtime, told by what it has rather than by its class.

    Raises:
        ConfigError: a space that is none of these.
    """
    inner = getattr(space, "spaces", None)
    if isinstance(inner, Mapping):
        parts = {key: from_space(part) for key, part in inner.items()}
        return lambda rng, T, B: {key: draw(rng, T, B) for key, draw in parts.items()}
    if isinstance(inner, list | tuple):
        sequence = [from_space(part) for part in inner]
        return lambda rng, T, B: tuple(draw(rng, T, B) for draw in sequence)
    shape = tuple(getattr(space, "shape", None) or ())
    dtype = np.dtype(getattr(space, "dtype", None) or (np.float32 if hasattr(space, "low") else np.int32))
    if hasattr(space, "nvec"):  # MultiDiscrete
        return lambda rng, T, B: rng.integers(0, np.asarray(space.nvec), (T, B, *shape)).astype(dtype)
    if hasattr(space, "low") and hasattr(space, "high"):
        return _box(np.asarray(space.low, float), np.asarray(space.high, float), shape, dtype)
    if isinstance(getattr(space, "n", None), int | np.integer):  # Discrete, MultiBinary
        first = int(getattr(space, "start", 0))
        top = 2 if shape else int(space.n)
        return lambda rng, T, B: (first + rng.integers(0, top, (T, B, *shape))).astype(dtype)
    raise ConfigError(
        f"memcheck cannot draw observations from {space!r}.",
        "It knows boxes, discrete, multi-binary and multi-discrete spaces, and dicts and tuples of these.",
        "Give the policy a function observations(rng, T, B) that draws an array [T, B, ...].",
    )


def _normal(shape: tuple[int, ...]) -> Draw:
    return lambda rng, T, B: rng.normal(size=(T, B, *shape)).astype(np.float32)


def _box(low: np.ndarray, high: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> Draw:
    """Uniform between near bounds, standard normal (clipped) where the bounds are far or missing."""

    def draw(rng: np.random.Generator, T: int, B: int) -> np.ndarray:
        size = (T, B, *shape)
        if dtype.kind in "iub":
            whole = rng.integers(math.ceil(np.min(low)), math.floor(np.max(high)) + 1, size)
            return np.clip(whole, low, high).astype(dtype)
        near = np.isfinite(low) & np.isfinite(high) & (high - low < 1e3)
        uniform = rng.uniform(np.where(near, low, 0.0), np.where(near, high, 1.0), size)
        return np.where(near, uniform, np.clip(rng.normal(size=size), low, high)).astype(dtype)

    return draw
