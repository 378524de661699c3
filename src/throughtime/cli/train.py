"""`throughtime train [ENV]`."""

import dataclasses
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from throughtime.agents import NetworkConfig, PPOConfig
from throughtime.cli._arguments import Json, env_options, free_folder, parse
from throughtime.cli._finish import finish
from throughtime.cli._output import Output, TrainingBar
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import ENVIRONMENTS
from throughtime.proof import ComparisonConfig, compare, is_comparison
from throughtime.proof.twins import ROLES, memory_label, refuse_existing
from throughtime.runs import EnvConfig, RunConfig, check, default_config, train, with_memory


def run(argv: list[str]) -> int:
    """Trains an agent; without an environment the main job, with its twins beside it."""
    named = bool(argv) and not argv[0].startswith("-")
    name = argv[0] if named else "t-maze"
    if name not in ENVIRONMENTS:
        raise ConfigError(f"There is no environment {name!r}.", "", did_you_mean(name, ENVIRONMENTS))
    defaults = default_config(name)
    arguments = parse(_arguments(name, defaults, not named), "train [ENV]", argv[1:] if named else argv)
    config = _run_config(name, defaults, arguments)
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    roles = ROLES if arguments.twins else ROLES[:1]
    plan = ComparisonConfig(config, seeds, roles, arguments.window)
    for role in roles:  # all of them, before the first is trained
        check(plan.config(role, arguments.seed))
    out = arguments.out or free_folder(f"{name}-{config.network.memory}")
    if is_comparison(out) and not arguments.overwrite:
        refuse_existing(out)
    output = Output(arguments.json)
    command = shlex.join(["throughtime", "train", *argv])
    steps = config.iterations * config.steps_per_iteration
    output.console.print(f"[bold]{name}[/bold] · {steps:,} steps · {out}", highlight=False)
    with TrainingBar(output.console, len(seeds)) as bar:
        if len(roles) == len(seeds) == 1:
            label = memory_label(config)
            trained = train(
                config, out, overwrite=arguments.overwrite, progress=lambda p: bar.update(label, config.seed, p)
            )
        else:
            trained = compare(plan, out, overwrite=arguments.overwrite, progress=bar.update)
    return finish(trained, out, command, output)


def _arguments(name: str, defaults: RunConfig, with_twins: bool) -> Any:
    """The dataclass of the command line: settings of this environment as they were tuned."""

    @dataclass(frozen=True)
    class Train:
        """Trains recurrent PPO. ENV comes first; without it, the main job: t-maze, with twins."""

        env: env_options(name)  # pyright: ignore[reportInvalidTypeForm]
        """Options of the environment."""
        network: NetworkConfig = field(default_factory=lambda: defaults.network)
        ppo: PPOConfig = field(default_factory=lambda: defaults.ppo)
        steps: int = defaults.total_steps
        """Environment steps of each training."""
        seed: int = 0
        """The first training seed."""
        seeds: int = 1
        """How many seeds, counted up from the first."""
        twins: bool = with_twins
        """Trains a memoryless twin and a short-window TDNN beside the agent, with the same budget."""
        window: int = 8
        """Inputs that the TDNN twin sees."""
        episodes: int = defaults.evaluation_episodes
        """Fresh episodes that each final policy is scored on."""
        out: Path | None = None
        """The folder to create; by default a new one under runs/."""
        overwrite: bool = False
        """Replaces an older training in the folder."""
        json: Json = False
        """Prints one JSON object on stdout, all else on stderr."""

    return Train


def _run_config(name: str, defaults: RunConfig, arguments: Any) -> RunConfig:
    chosen = {
        f.name: getattr(arguments.env, f.name)
        for f in dataclasses.fields(arguments.env)
        if getattr(arguments.env, f.name) != f.default
    }
    network = arguments.network
    if network.memory != defaults.network.memory and network.memory_options == defaults.network.memory_options:
        network = with_memory(network, network.memory)  # the tuned options were those of another memory
    return replace(
        defaults,
        env=EnvConfig(name, chosen),
        network=network,
        ppo=arguments.ppo,
        total_steps=arguments.steps,
        seed=arguments.seed,
        evaluation_episodes=arguments.episodes,
    )
