"""`throughtime estimate ENV`."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich import box
from rich.table import Table

from throughtime.agents.estimator import EstimatorConfig
from throughtime.cli._arguments import Json, free_folder, parse
from throughtime.cli._output import Output, TrainingBar
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import ENVIRONMENTS
from throughtime.runs import default_config, with_memory
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.runs.estimation import ARMS, EstimationConfig, compare_estimation


@dataclass(frozen=True)
class Estimate:
    """Trains a memory by prediction on random actions, freezes it, and lets PPO act on its state alone.

    Beside it: the same memory untrained, recurrent PPO end to end, and PPO on raw observations, with the same budget.
    """

    env: tyro.conf.Positional[str]
    """A name that `throughtime envs` lists."""
    memory: str | None = None
    """The recurrence, by default the one tuned for ENV."""
    steps: int | None = None
    """Environment steps of each training, by default as tuned for ENV."""
    estimator: Annotated[EstimatorConfig, tyro.conf.arg(name="predict")] = field(default_factory=EstimatorConfig)
    seed: int = 0
    """The first seed, of memories and policies."""
    seeds: int = 3
    """How many seeds, counted up from the first."""
    episodes: int | None = None
    """Fresh episodes that each final policy is scored on, by default as tuned for ENV."""
    out: Path | None = None
    """The folder to create; by default a new one under runs/."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Trains, scores, prints the table."""
    arguments = parse(Estimate, "estimate", argv)
    if arguments.env not in ENVIRONMENTS:
        raise ConfigError(f"There is no environment {arguments.env!r}.", "", did_you_mean(arguments.env, ENVIRONMENTS))
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    config = default_config(arguments.env)
    config = replace(
        config,
        network=config.network if arguments.memory is None else with_memory(config.network, arguments.memory),
        total_steps=config.total_steps if arguments.steps is None else arguments.steps,
        evaluation_episodes=config.evaluation_episodes if arguments.episodes is None else arguments.episodes,
    )
    _ = config.iterations  # refuses a budget that is too small, before anything is trained
    output, out = Output(arguments.json), arguments.out or free_folder(f"estimate-{arguments.env}")
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    enable_compilation_cache()
    with TrainingBar(output.console, len(seeds)) as bar:
        plan = EstimationConfig(config, arguments.estimator)
        found = compare_estimation(plan, seeds, out, progress=bar.update)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("the policy reads", no_wrap=True)
    for name in ("mean return", *(f"seed {seed}" for seed in seeds)):
        table.add_column(name, justify="right", no_wrap=True)
    rows = []
    for arm in ARMS:
        returns = [outcome.score.mean for outcome in found.of(arm)]
        table.add_row(arm, f"{np.mean(returns):.4g}", *(f"{value:.4g}" for value in returns))
        seconds = [outcome.seconds for outcome in found.of(arm)]
        rows.append({"arm": arm, "returns": returns, "steps": found.of(arm)[0].steps, "seconds": seconds})
    output.console.print(table)
    for seed, (observation, reward) in found.explained.items():
        rewards = "the reward never varies" if math.isnan(reward) else f"{reward:.1%} of the reward's"
        output.console.print(
            f"seed {seed}: the memory explains {observation:.1%} of the next observation's variance, {rewards}",
            soft_wrap=True,
        )
    random_steps = arguments.estimator.rows * arguments.estimator.length
    output.console.print(f"Predicting took {random_steps:,} random steps more. Runs: {out}", soft_wrap=True)
    output.result(
        {
            "environment": arguments.env,
            "folder": str(out),
            "rows": rows,
            "explained": {seed: {"observation": o, "reward": r} for seed, (o, r) in found.explained.items()},
            "random_steps": random_steps,
        }
    )
    return 0
