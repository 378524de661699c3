"""The official settings of five experiments of bsuite, and its scores: how well an agent did while it learned.

One agent, with one choice of hyperparameters, learns each setting from nothing for a fixed number of episodes. All of
those episodes are scored, the first ones too: an agent that learns late has a low score, however good it is at last.

Reference: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning", arXiv 1908.03568; bsuite 0.3.6, its
`sweep.py` and `analysis.py` of each experiment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from throughtime.core import ConfigError

_SPACED = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 101, 10))  # 23 numbers


@dataclass(frozen=True)
class BsuiteExperiment:
    """One experiment.

    Args:
        env: the environment's name.
        settings: the options of each setting, as `make` takes them.
        episodes: of each setting.
        counts: what of an episode is scored: its last reward (bsuite counts mistakes, and there a mistake
            is a last reward below 0), or its return.
        limit: a setting is passed where less than this share of its episodes were mistakes; of no meaning for returns.
    """

    env: str
    settings: tuple[Mapping[str, Any], ...]
    episodes: int
    counts: Literal["last reward", "return"]
    limit: float = 1.0

    def mistakes(self, outcomes: Float[np.ndarray, " episodes"]) -> float:
        """The share of episodes of one setting whose last reward was below 0.

        Args:
            outcomes: the last reward of each episode, in the order in which they ended. Those after the
                official number are left out; where there are fewer, the run is scored as far as it went.
        """
        return float(np.mean(outcomes[: self.episodes] < 0))

    def score(self, outcomes: Sequence[Float[np.ndarray, " _"]]) -> float:
        """The score of the experiment, from 0 to 1, as bsuite defines it.

        The share of settings passed, where mistakes count; else 1 − 10 · (1.1 − the mean return), clipped to [0, 1].

        Args:
            outcomes: of each setting what `counts` says of each of its episodes, in the order in which they ended.

        Raises:
            ConfigError: a setting without episodes.
        """
        if not outcomes or any(len(setting) == 0 for setting in outcomes):
            raise ConfigError("There is nothing to score.", "A setting has no episodes.", "Let it run for longer.")
        if self.counts == "return":
            mean = np.mean([setting[: self.episodes].mean() for setting in outcomes])
            return float(np.clip(1.0 - 10.0 * (1.1 - mean), 0.0, 1.0))
        return float(np.mean([self.mistakes(setting) < self.limit for setting in outcomes]))


def _settings(option: str, values: Sequence[int], **others: int) -> tuple[Mapping[str, Any], ...]:
    return tuple(MappingProxyType({option: value, **others}) for value in values)


BSUITE: Mapping[str, BsuiteExperiment] = MappingProxyType(
    {
        # bsuite divides the mistakes by those of chance, 0.5, and wants less than 0.75.
        "memory_len": BsuiteExperiment(
            "memory-chain", _settings("length", _SPACED, bits=1), 10_000, "last reward", 0.375
        ),
        "memory_size": BsuiteExperiment(
            "memory-chain", _settings("bits", _SPACED[:17], length=2), 10_000, "last reward", 0.375
        ),
        # A mistake is a regret of 2; bsuite wants a mean below 0.5.
        "umbrella_length": BsuiteExperiment(
            "umbrella", _settings("length", _SPACED, distractors=20), 10_000, "last reward", 0.25
        ),
        "umbrella_distract": BsuiteExperiment(
            "umbrella", _settings("distractors", _SPACED, length=20), 10_000, "last reward", 0.25
        ),
        "discounting_chain": BsuiteExperiment(
            "discounting-chain", _settings("mapping_seed", range(20)), 1_000, "return"
        ),
    }
)
"""The experiments by bsuite's names: memory (two) and credit assignment (three)."""
