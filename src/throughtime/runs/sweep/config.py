"""What a sweep is: the settings that stay, the space, and the seeds."""

from dataclasses import dataclass, field, replace
from typing import Any

from throughtime.core import ConfigError
from throughtime.runs.config import EVALUATION_SEED, RunConfig
from throughtime.runs.sweep.space import Range, check_space
from throughtime.runs.toml import replace_fields
from throughtime.runs.train import check

TUNING_SEED = 500_000
"""The first seed of tuning, far from those that results are usually trained with."""


@dataclass(frozen=True)
class SweepConfig:
    """All that decides what a sweep finds."""

    run: RunConfig
    """The settings that stay."""
    space: dict[str, Range] = field(default_factory=dict)
    """Dotted field to its range."""
    seeds: tuple[int, ...] = (TUNING_SEED, TUNING_SEED + 1)
    """Every trial is trained with each of them, and scored on episodes of each."""

    def check(self) -> None:
        """Refuses what cannot be searched, before anything is trained.

        Raises:
            ConfigError: what, why, and how to mend it.
        """
        if not self.seeds:
            raise ConfigError("There are no tuning seeds.", "Nothing would be trained.", "Give one or more.")
        for seed in self.seeds:
            if not 0 <= seed < EVALUATION_SEED:
                raise ConfigError(
                    f"The tuning seed {seed} is one of evaluation.",
                    f"Seeds from {EVALUATION_SEED:,} on are for evaluation: settings tuned on them would be scored on "
                    "what they were chosen for.",
                    f"Take seeds below {EVALUATION_SEED:,}.",
                )
        if not self.space:
            raise ConfigError("The space is empty.", "Nothing would be searched.", "Give one range or more.")
        check(self.run)
        check_space(self.space, self.run)

    def config(self, values: dict[str, Any], seed: int) -> RunConfig:
        """The settings of one training.

        Raises:
            ConfigError: values that cannot work together.
        """
        config = replace(replace_fields(self.run, values), seed=seed)
        check(config)
        return config
