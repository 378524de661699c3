"""MiniGrid's observation for a network: each cell's object, colour and state one-hot, the direction, no mission."""

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import (  # pyright: ignore[reportMissingImports]  an extra
    COLOR_TO_IDX,
    OBJECT_TO_IDX,
    STATE_TO_IDX,
)

SIZES = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX))


class OneHotCells(gymnasium.ObservationWrapper):
    """`Dict(direction: Discrete(4), image: Box(0, 1, (V, V, 11 + 6 + 3)))` from MiniGrid's own observation.

    The image of MiniGrid holds categories as numbers (object, colour, state), whose order means nothing. The mission is
    a sentence; it is left out, so episodes that differ in their mission alone look alike.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        height, width, _ = env.observation_space["image"].shape  # pyright: ignore[reportIndexIssue]
        self.observation_space = spaces.Dict(
            {"direction": spaces.Discrete(4), "image": spaces.Box(0, 1, (height, width, sum(SIZES)), np.uint8)}
        )
        self._tables = [np.eye(size, dtype=np.uint8) for size in SIZES]

    def observation(self, observation: dict) -> dict:
        """Direction and one-hot image."""
        image = observation["image"]
        cells = [table[image[..., channel]] for channel, table in enumerate(self._tables)]
        return {"direction": observation["direction"], "image": np.concatenate(cells, axis=-1)}
