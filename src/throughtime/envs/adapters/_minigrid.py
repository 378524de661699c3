"""MiniGrid's observation for a network: each cell's object, colour and state one-hot, the direction, no mission."""
# pyright: reportMissingImports=false

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import (  # pyright: ignore[reportMissingImports]  an extra
    COLOR_TO_IDX,
    OBJECT_TO_IDX,
    STATE_TO_IDX,
)

from throughtime.envs.adapters._minigrid_view import quicken

SIZES = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX))


class OneHotCells(gymnasium.ObservationWrapper):
    """`Dict(direction: Discrete(4), image: Box(0, 1, (V, V, 11 + 6 + 3)))` from MiniGrid's own observation.

    The image of MiniGrid holds categories as numbers (object, colour, state), whose order means nothing. The mission is
    a sentence; it is left out, so episodes that differ in their mission alone look alike: `WithMission` adds it where
    it is what decides.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        quicken(env.unwrapped)
        height, width, _ = env.observation_space["image"].shape  # pyright: ignore[reportIndexIssue]
        self.observation_space = spaces.Dict(
            {"direction": spaces.Discrete(4), "image": spaces.Box(0, 1, (height, width, sum(SIZES)), np.uint8)}
        )
        objects, colours, states = np.indices(SIZES).reshape(3, -1)
        self._table = np.concatenate(
            [np.eye(n, dtype=np.uint8)[i] for n, i in zip(SIZES, (objects, colours, states), strict=True)], axis=1
        )  # [11 · 6 · 3, 20]: one look-up a cell
        self._strides = np.array([SIZES[1] * SIZES[2], SIZES[2], 1])

    def observation(self, observation: dict) -> dict:
        """Direction and one-hot image."""
        return {"direction": observation["direction"], "image": self._table[observation["image"] @ self._strides]}
