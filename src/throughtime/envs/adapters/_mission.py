"""The mission of a BabyAI level for a network: its words one-hot, once, before what is seen."""
# pyright: reportMissingImports=false

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from throughtime.core import ConfigError
from throughtime.envs.adapters._minigrid import SIZES
from throughtime.envs.instruction_layout import InstructionLayout

WORDS = (
    *("go", "to", "pick", "up", "open", "put", "next", "the", "a", "you", "and", "then", "after"),
    *("ball", "box", "key", "door", "object", "red", "green", "blue", "purple", "yellow", "grey"),
    *("in", "front", "of", "behind", "on", "your", "left", "right"),
)
"""All that BabyAI's grammar says (Chevalier-Boisvert et al. 2019, arXiv 1810.08272, table 2)."""
MOST_WORDS = 16


class WithMission(gymnasium.ObservationWrapper):
    """`Tuple(mission, image, direction)` around `OneHotCells`: the mission is said at an episode's first step only."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        parts = env.observation_space
        assert isinstance(parts, spaces.Dict)
        image = parts["image"]
        assert image.shape is not None
        mission = spaces.MultiBinary([MOST_WORDS, len(WORDS)])
        self.observation_space = spaces.Tuple((mission, image, parts["direction"]))
        self.instruction_layout = InstructionLayout(MOST_WORDS, len(WORDS), image.shape[0] * image.shape[1], sum(SIZES))
        # A level of one clause has one limit, room_size², and knows it once it has drawn a mission.
        env.reset(seed=0)
        self.unwrapped.max_episode_steps = getattr(self.unwrapped, "max_steps", 0)  # pyright: ignore[reportAttributeAccessIssue]
        self._silence = np.zeros((MOST_WORDS, len(WORDS)), np.int8)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """The first observation, with the mission."""
        observation, info = self.env.reset(**options)
        said = words_of(getattr(self.unwrapped, "mission", ""))
        return (said, observation["image"], observation["direction"]), info

    def observation(self, observation: dict) -> tuple:
        """A later one."""
        return self._silence, observation["image"], observation["direction"]


def words_of(mission: str) -> np.ndarray:
    """A mission as `[MOST_WORDS, len(WORDS)]`, zeros behind its last word.

    Raises:
        ConfigError: a word that the vocabulary has not, or too many.
    """
    words = mission.lower().replace(",", " ").split()
    unknown = [word for word in words if word not in WORDS]
    if unknown or len(words) > MOST_WORDS:
        raise ConfigError(
            f"The mission {mission!r} cannot be told to the policy.",
            f"The vocabulary has no word {unknown[0]!r}." if unknown else f"It has more than {MOST_WORDS} words.",
            "Take a level whose missions are BabyAI's and short, such as minigrid:BabyAI-GoToLocal-v0.",
        )
    said = np.zeros((MOST_WORDS, len(WORDS)), np.int8)
    said[np.arange(len(words)), [WORDS.index(word) for word in words]] = 1
    return said
