"""`world:RUN`: the world model of a run as an environment."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from throughtime.agents import PlanningNetwork
from throughtime.agents.world_network import WorldNetwork
from throughtime.core import ConfigError
from throughtime.envs import Environment, Form, add_form
from throughtime.runs.checkpoint import latest_checkpoint
from throughtime.runs.folder import RunFolder
from throughtime.runs.train import load_run
from throughtime.world import LearnedModel, Simulation
from throughtime.world.simulation import check_horizon

PREFIX = "world:"


class Learned(NamedTuple):
    """What a run has learned."""

    model: LearnedModel
    real: Environment


@lru_cache(maxsize=16)
def _learned(checkpoint: str, sha256: str) -> Learned:
    """By file and checksum: an environment is built more often than its file changes."""
    del sha256
    run = load_run(checkpoint)
    network: Any = run.policy.network
    if not isinstance(network, WorldNetwork | PlanningNetwork):
        raise ConfigError(
            f"{checkpoint} is of a run of {run.config.algo}.",
            "It has a policy and no world model.",
            f"Learn one: throughtime train {run.config.env.name} --algo world-model",
        )
    model: Any = network.model  # of runs always one that was learned
    return Learned(model, run.env)


@dataclass(frozen=True)
class WorldRun(Simulation):
    """The newest checkpoint of a run with `--algo world-model` as an environment.

    Args:
        path: the run folder.
        horizon: steps after which an episode is truncated; 0 for the real environment's longest.
        sha256: the checkpoint's checksum; where given, a run with another newest checkpoint is refused, where empty, it
            is read off.

    Raises:
        ConfigError: no world model in the run, another checkpoint than it was, or no horizon.
        RunFolderError: no run folder.
        CheckpointError: none of its checkpoints can be loaded.
    """

    path: str
    horizon: int = 0
    sha256: str = ""

    def __post_init__(self):
        object.__setattr__(self, "path", str(Path(self.path).absolute()))
        found = hashlib.sha256(Path(self._checkpoint).read_bytes()).hexdigest()
        if self.sha256 not in ("", found):
            raise ConfigError(
                f"The world model of {self.path} is not the one that it was.",
                f"Its newest checkpoint's sha256 is {found[:16]}…, and {self.sha256[:16]}… was used.",
                "Put the old checkpoint back, or train anew in this model.",
            )
        object.__setattr__(self, "sha256", found)
        check_horizon(self.real, self.horizon)

    @property
    def _checkpoint(self) -> str:
        return str(latest_checkpoint(RunFolder.open(self.path, lock=False).checkpoints).path)

    @property
    def learned(self) -> Learned:
        """The model, and what it was learned from."""
        return _learned(self._checkpoint, self.sha256)

    @property
    def model(self) -> LearnedModel:
        """What imagines."""
        return self.learned.model

    @property
    def real(self) -> Environment:
        """The environment of the run."""
        return self.learned.real

    @property
    def steps(self) -> int:
        """The horizon."""
        return self.horizon or self.real.max_episode_steps or 0

    @property
    def name(self) -> str:
        """`world:` and the path."""
        return f"{PREFIX}{self.path}"


def _find(path: str) -> tuple[type[Environment], dict[str, Any], str]:
    if not path:
        raise ConfigError(f"{PREFIX} names no run.", "", "Write world:RUN, such as world:runs/tiger-world-model-1.")
    return WorldRun, {"path": path}, f"What the world model of {path} imagines."


FORM = Form("world:RUN", "The world model of a run (train --algo world-model): dream in it.", _find)
add_form("world", FORM)
