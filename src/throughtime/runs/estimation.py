"""State estimation as an application: a frozen predictive memory beside end-to-end training and raw observations."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax

from throughtime.agents import NetworkConfig
from throughtime.agents.estimator import (
    Estimator,
    EstimatorConfig,
    FrozenMemory,
    explained,
    random_history,
    train_estimator,
)
from throughtime.core import ConfigError, RunFolderError
from throughtime.envs import Environment
from throughtime.runs.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from throughtime.runs.config import EnvConfig, RunConfig, with_memory
from throughtime.runs.evaluation import Evaluation
from throughtime.runs.toml import from_toml, to_toml
from throughtime.runs.train import Progress, train

ESTIMATOR_FILE = "estimator.safetensors"

Arm = Literal["frozen", "frozen, untrained", "end to end", "raw observations"]
"""What feeds the policy. frozen: a memory trained by prediction, then frozen. frozen, untrained: the same memory with
its random first weights, the control. end to end: recurrent PPO. raw observations: PPO without a memory."""
ARMS: tuple[Arm, ...] = ("frozen", "frozen, untrained", "end to end", "raw observations")


@dataclass(frozen=True)
class EstimationConfig:
    """What is compared."""

    run: RunConfig
    """The end-to-end agent; the others share its environment, its PPO settings and its budget."""
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    """How the memory learns to predict. Its steps come on top of the budget."""
    encoder: tuple[int, ...] = (64, 64)
    """Layers of the policy and value network on top of a frozen memory, and on raw observations."""

    def config(self, arm: Arm, seed: int) -> RunConfig:
        """The settings of one training."""
        if arm == "end to end":
            return replace(self.run, seed=seed)
        network = replace(
            with_memory(self.run.network, "none"),
            encoder=self.encoder,
            previous_action=False,
            previous_reward=False,
            # The state of a frozen memory is in units of its own.
            normalise_observations=self.run.network.normalise_observations and arm == "raw observations",
        )
        env = self.run.env if arm == "raw observations" else EnvConfig(f"{self.run.env.name} through a frozen memory")
        return replace(self.run, env=env, network=network, seed=seed)


class Outcome(NamedTuple):
    """One training of one arm."""

    arm: Arm
    seed: int
    score: Evaluation
    steps: int  # of PPO
    seconds: float


class Estimation(NamedTuple):
    """All trainings, and how well the memories predict: R² of the next observation and of the reward, by seed."""

    outcomes: tuple[Outcome, ...]
    explained: dict[int, tuple[float, float]]

    def of(self, arm: Arm) -> list[Outcome]:
        """The trainings of one arm, in the order of their seeds."""
        return [outcome for outcome in self.outcomes if outcome.arm == arm]


def learn_estimator(
    env: Environment, network: NetworkConfig, config: EstimatorConfig, seed: int
) -> tuple[Estimator, Estimator, tuple[float, float]]:
    """Trains a memory by prediction on random actions.

    Args:
        env: where.
        network: its encoder and memory.
        config: how.
        seed: of weights, data and batches.

    Returns:
        The memory, the same one before its training (standardising its inputs alike), and R² of the next observation
        and of the reward on fresh data.
    """
    key_model, key_data, key_train, key_test = jax.random.split(jax.random.key(seed), 4)
    fresh = eqx.filter_jit(lambda key: Estimator(env, network, key))(key_model)
    history = random_history(env, fresh, config, key_data)
    estimator = train_estimator(fresh, history, config, key_train)
    score = explained(estimator, random_history(env, fresh, config, key_test))
    return estimator, fresh.standardised_by(history), score


def compare_estimation(
    config: EstimationConfig,
    seeds: Sequence[int],
    out: str | os.PathLike[str],
    *,
    arms: Sequence[Arm] = ARMS,
    progress: Callable[[str, int, Progress], None] | None = None,
) -> Estimation:
    """Trains every arm on every seed, each in a run folder `out/ARM/seed-N`, the memories beside them.

    Args:
        config: what to compare.
        seeds: of memories and policies.
        out: the folder to create.
        arms: which.
        progress: called with the arm, the seed and where its training stands.

    Raises:
        ConfigError: no seeds or arms, or settings that cannot work.
        RunFolderError: `out` is not empty.
    """
    if not seeds or not arms:
        raise ConfigError("There is nothing to compare.", "No seeds or no arms were given.", "Give one or more.")
    out, env = Path(out), config.run.env.build()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out} exists already.", "It is not empty.", "Choose another --out.")
    config = replace(config, run=replace(config.run, env=config.run.env.pinned()))
    outcomes, scores = [], {}
    for seed in seeds:
        learned, fresh, scores[seed] = learn_estimator(env, config.run.network, config.estimator, seed)
        seen: dict[str, Environment] = {
            "frozen": FrozenMemory(env, learned),
            "frozen, untrained": FrozenMemory(env, fresh),
        }
        for arm in arms:
            folder = out / arm.replace(", ", "-").replace(" ", "-") / f"seed-{seed}"
            run = train(
                config.config(arm, seed),
                folder,
                env=seen.get(arm, env),
                progress=None if progress is None else lambda p, arm=arm, seed=seed: progress(arm, seed, p),
            )
            if arm in seen:
                estimator = learned if arm == "frozen" else fresh
                save_checkpoint(folder / ESTIMATOR_FILE, estimator, config=to_toml(config), step=0)
            outcomes.append(Outcome(arm, seed, run.evaluate(), run.steps, run.seconds))
            if run.interrupted is not None:
                raise KeyboardInterrupt
    return Estimation(tuple(outcomes), scores)


def load_frozen(path: str | os.PathLike[str]) -> FrozenMemory:
    """The environment as a run of `compare_estimation` saw it: `load_run(path, env=load_frozen(path))`.

    Args:
        path: the folder of a run on a frozen memory.

    Raises:
        CheckpointError: there is no memory in it, or a damaged one.
    """
    file = Path(path) / ESTIMATOR_FILE
    config: Any = from_toml(read_checkpoint(file).metadata.config, EstimationConfig)
    env = config.run.env.build()
    like = eqx.filter_eval_shape(lambda: Estimator(env, config.run.network, jax.random.key(0)))
    return FrozenMemory(env, load_checkpoint(file, like))
