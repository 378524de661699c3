"""Gymnasium's spaces as vectors: how an observation becomes the network's input, and its output an action.

Observations are laid out as `gymnasium.spaces.flatten` has it: boxes and MultiBinary row by row, Discrete one-hot,
MultiDiscrete one one-hot beside the other, Tuple and Dict one part after another in the order of their spaces (which
Dict sorts by key). Here each layout is worked out once, and writes into an array that is there already.
"""
# pyright: reportMissingImports=false

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from throughtime.core import ConfigError
from throughtime.envs.base import Box, Discrete, MultiDiscrete, Space

Write = Callable[[Any, np.ndarray], None]
SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, and Tuple and Dict of them"


class ObservationLayout(NamedTuple):
    """A space of observations as vectors `[size]` (float32)."""

    size: int
    low: float
    high: float
    labels: tuple[str, ...]  # one a number
    write: Write  # an observation → into an array `[size]`


class ActionLayout(NamedTuple):
    """A space of actions as one of throughtime's."""

    space: Space
    read: Callable[[Any], Any]  # a row (int32 `[]` or `[K]`, float32 `[A]`) → the action that the environment takes


def observation_layout(space: Any, owner: str, without: str | None = None) -> ObservationLayout:
    """The layout of a Gymnasium space.

    Args:
        space: of observations.
        owner: whose it is, for messages.
        without: a key of a Dict whose part is left out.

    Raises:
        ConfigError: a kind of space that has no fixed length.
    """
    parts = [part for part in _parts(space, "", owner) if without is None or part.path[:1] != (without,)]
    size = sum(part.size for part in parts)
    if not parts or not size:
        raise ConfigError(f"{owner} shows nothing.", f"Its observation space is {space}.", "Observe something.")
    write = parts[0].write if len(parts) == 1 and not parts[0].path else _writer_of_parts(parts)
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    return ObservationLayout(size, low, high, tuple(label for part in parts for label in part.labels), write)


class _Part(NamedTuple):
    path: tuple[Any, ...]  # keys and indices that lead to it
    size: int
    low: float
    high: float
    labels: tuple[str, ...]
    write: Write


def _parts(space: Any, name: str, owner: str, path: tuple[Any, ...] = ()) -> Iterator[_Part]:
    """The boxes and one-hots of a space, from left to right."""
    from gymnasium import spaces

    label = name or "observation"
    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _parts(inner, f"{name}.{key}" if name else str(key), owner, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from _parts(inner, f"{label}[{index}]", owner, (*path, index))
    elif isinstance(space, spaces.Box | spaces.MultiBinary):
        size = int(np.prod(space.shape))
        low, high = (0.0, 1.0)
        if isinstance(space, spaces.Box) and size:
            low, high = float(space.low.min()), float(space.high.max())
        labels = (label,) if size == 1 else tuple(f"{label} {i}" for i in range(size))
        yield _Part(path, size, low, high, labels, _writer_of_numbers(space.shape))
    elif isinstance(space, spaces.Discrete):
        labels = tuple(f"{label} = {int(space.start) + i}" for i in range(int(space.n)))
        yield _Part(path, int(space.n), 0.0, 1.0, labels, _writer_of_one_hots((int(space.n),), int(space.start)))
    elif isinstance(space, spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in space.nvec.reshape(-1))
        starts = space.start.reshape(-1)
        labels = tuple(f"{label} {k} = {starts[k] + i}" for k, n in enumerate(sizes) for i in range(n))
        yield _Part(path, sum(sizes), 0.0, 1.0, labels, _writer_of_one_hots(sizes, starts))
    else:
        raise ConfigError(
            f"{owner}: the observation space{f' {name!r}' if name else ''} is a {type(space).__name__}.",
            f"A network reads vectors of one length; supported are {SUPPORTED}.",
            "Turn it into one of these with a gymnasium.ObservationWrapper, or leave it out.",
        )


def _writer_of_parts(parts: list[_Part]) -> Write:
    ends = np.cumsum([part.size for part in parts])
    pieces = [(part.path, slice(end - part.size, end), part.write) for part, end in zip(parts, ends, strict=True)]

    def write(observation: Any, out: np.ndarray) -> None:
        for path, where, write_part in pieces:
            value = observation
            for key in path:
                value = value[key]
            write_part(value, out[where])

    return write


def _writer_of_numbers(shape: tuple[int, ...]) -> Write:
    def write(value: Any, out: np.ndarray) -> None:
        value = np.asarray(value)
        if value.shape != shape:
            raise ValueError(f"an observation of shape {value.shape} came, where the space has shape {shape}")
        out[:] = value.reshape(-1)

    return write


def _writer_of_one_hots(sizes: tuple[int, ...], start: Any) -> Write:
    offsets = np.cumsum([0, *sizes[:-1]])

    def write(value: Any, out: np.ndarray) -> None:
        chosen = np.reshape(value, -1) - start
        if chosen.shape != (len(sizes),) or (chosen < 0).any() or (chosen >= sizes).any():
            raise ValueError(f"the observation {value!r} lies outside its space, {list(sizes)} counted from {start}")
        out[:] = 0.0
        out[offsets + chosen.astype(int)] = 1.0

    return write


def action_layout(space: Any, owner: str) -> ActionLayout:
    """The layout of a Gymnasium space of actions.

    Boxes whose bounds differ from number to number become −1 … 1, mapped to their bounds; MultiBinary becomes
    MultiDiscrete with two choices each.

    Args:
        space: of actions.
        owner: whose it is, for messages.

    Raises:
        ConfigError: a kind of space, or bounds, that no policy head draws from.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        start, to = space.start, np.dtype(space.dtype).type
        return ActionLayout(Discrete(int(space.n)), lambda row: to(row + start))
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        binary = isinstance(space, spaces.MultiBinary)
        sizes = (2,) * int(np.prod(space.shape)) if binary else tuple(int(n) for n in space.nvec.reshape(-1))
        start = 0 if binary else space.start
        return ActionLayout(
            MultiDiscrete(sizes), lambda row: (np.reshape(row, space.shape) + start).astype(space.dtype)
        )
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and space.shape != (0,):
        return _continuous(space, owner)
    raise ConfigError(
        f"{owner}: the action space is {space}.",
        "A policy draws from Discrete, MultiDiscrete, MultiBinary, or a Box of real numbers.",
        "Turn it into one of these with a gymnasium.ActionWrapper.",
    )


def _continuous(space: Any, owner: str) -> ActionLayout:
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ConfigError(
            f"{owner}: the action space is {space}.",
            "Actions are drawn in [-1, 1] and mapped to the bounds, which have to be finite and in order.",
            "Give finite bounds with gymnasium.wrappers.RescaleAction or an ActionWrapper.",
        )
    if (low == low[0]).all() and (high == high[0]).all():
        ours = Box(float(low[0]), float(high[0]), low.shape)
        return ActionLayout(ours, lambda row: np.reshape(row, space.shape).astype(space.dtype))
    middle, half = 0.5 * (low + high), 0.5 * (high - low)

    def read(row: Any) -> Any:
        return np.clip(middle + half * row, low, high).reshape(space.shape).astype(space.dtype)

    return ActionLayout(Box(-1.0, 1.0, low.shape), read)
