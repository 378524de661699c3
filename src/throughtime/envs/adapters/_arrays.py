"""The arrays through which a batch of Python environments and the compiled program speak."""

from typing import NamedTuple

import numpy as np


class Shapes(NamedTuple):
    """What decides the arrays' sizes."""

    batch_size: int
    observation_size: int
    action_shape: tuple[int, ...]
    continuous: bool


class Arrays(NamedTuple):
    """Of B environments, one row each, side by side in one buffer: worker processes map the same memory."""

    seeds: np.ndarray  # uint32 [B], of the next reset
    actions: np.ndarray  # int32 or float32 [B, ...]
    observations: np.ndarray  # float32 [B, I]; where an episode ended, the next one's first
    final_observations: np.ndarray  # float32 [B, I], before the reset
    rewards: np.ndarray  # float32 [B]
    terminated: np.ndarray  # bool [B]
    truncated: np.ndarray  # bool [B]
    current: np.ndarray  # int32 [B]; each worker writes in its first row whom it is stepping, −1: nobody

    def rows(self, where: slice) -> "Arrays":
        """The same arrays, cut to some environments."""
        return Arrays(*(array[where] for array in self))


def _plan(shapes: Shapes) -> list[tuple[tuple[int, ...], type]]:
    B, I = shapes.batch_size, shapes.observation_size  # noqa: E741
    action = np.float32 if shapes.continuous else np.int32
    observation = ((B, I), np.float32)
    flags = ((B,), np.bool_)
    return [
        ((B,), np.uint32),
        ((B, *shapes.action_shape), action),
        observation,
        observation,
        ((B,), np.float32),
        flags,
        flags,
        ((B,), np.int32),
    ]


def _aligned(shape: tuple[int, ...], kind: type) -> int:
    return -(-int(np.prod(shape)) * np.dtype(kind).itemsize // 64) * 64


def bytes_needed(shapes: Shapes) -> int:
    """The buffer's size."""
    return sum(_aligned(shape, kind) for shape, kind in _plan(shapes))


def arrays_in(buffer: memoryview | bytearray, shapes: Shapes) -> Arrays:
    """The arrays, laid out in a writable buffer of `bytes_needed(shapes)`."""
    arrays, offset = [], 0
    for shape, kind in _plan(shapes):
        count = int(np.prod(shape))
        arrays.append(np.frombuffer(buffer, kind, count, offset).reshape(shape))
        offset += _aligned(shape, kind)
    return Arrays(*arrays)
