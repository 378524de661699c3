"""`throughtime train [ENV]`."""

import dataclasses
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from throughtime.agents import ALGORITHMS, NetworkConfig, algorithm
from throughtime.cli._arguments import Json, env_options, flow_every, free_folder, given, parse
from throughtime.cli._finish import finish
from throughtime.cli._output import Output, TrainingBar
from throughtime.core import ConfigError
from throughtime.envs import ENVIRONMENTS, entry_of, stem, trust
from throughtime.proof import ComparisonConfig, compare, is_comparison
from throughtime.proof.twins import ROLES, memory_label, refuse_existing
from throughtime.runs import EnvConfig, RunConfig, check, default_config, from_toml, train, with_memory

Algo = Annotated[
    str,
    tyro.conf.arg(help=f"The algorithm: {', '.join(ALGORITHMS)}. Its settings have its name, as in --ppo.num-envs."),
]


def run(argv: list[str]) -> int:
    """Trains an agent; without an environment the main job, with its twins beside it."""
    defaults, words = _defaults(argv)
    name = defaults.env.name
    arguments = parse(_arguments(name, defaults, words == argv), f"train {name if words != argv else '[ENV]'}", words)
    config = _run_config(name, defaults, arguments)
    if arguments.seeds < 1:
        raise ConfigError(f"--seeds {arguments.seeds}", "Nothing would be trained.", "Give 1 or more.")
    if not arguments.twins and given(words, "window"):
        raise ConfigError(
            "--window without --twins", "It is of the twin with a short window, and none is trained.", "Add --twins."
        )
    seeds = tuple(range(arguments.seed, arguments.seed + arguments.seeds))
    roles = ROLES if arguments.twins else ROLES[:1]
    plan = ComparisonConfig(config, seeds, roles, arguments.window)
    for role in roles:  # all of them, before the first is trained
        check(plan.config(role, arguments.seed))
    kind = config.network.memory if config.algo == "ppo" else f"{config.algo}-{config.network.memory}"
    out = arguments.out or free_folder(f"{stem(name)}-{kind}")
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
    return finish(trained, out, command, output, prove=arguments.prove)


def _defaults(argv: list[str]) -> tuple[RunConfig, list[str]]:
    """The settings to start from, and the words that change them: ENV comes first, or `--config FILE`."""
    algo = _algorithm(argv)
    if argv and argv[0] == "--config":
        if len(argv) < 2:
            raise ConfigError("--config names no file.", "", "Name the config.toml of a run.")
        try:
            text = Path(argv[1]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{argv[1]} cannot be read.", f"{error}.", "Name the config.toml of a run.") from error
        config = from_toml(text, RunConfig)
        if algo not in (None, config.algo):
            raise ConfigError(
                f"--algo {algo} beside {argv[1]}",
                f"That file holds settings of {config.algo}.",
                f"Leave --algo out, or write: throughtime train {config.env.name} --algo {algo}",
            )
        config.env.build()
        return config, argv[2:]
    if argv and not argv[0].startswith("-"):
        entry_of(argv[0])
        trust(argv[0])  # named by the user, not by a file
        return default_config(argv[0], algo or "ppo"), argv[1:]
    for word in argv:
        if word in ENVIRONMENTS or word == "--config":
            what = "--config" if word == "--config" else "The environment"
            raise ConfigError(f"{what} comes first.", "", f"Write: throughtime train {word} …")
    return default_config(algo=algo or "ppo"), argv


def _algorithm(argv: list[str]) -> str | None:
    """What `--algo` names, read before all else: the other options depend on it."""
    for word, following in zip(argv, (*argv[1:], ""), strict=False):  # of no words there is none to follow
        flag, given, value = word.partition("=")
        if flag == "--algo":
            name = value if given else following
            _ = algorithm(name)
            return name
    return None


def _arguments(name: str, defaults: RunConfig, with_twins: bool) -> Any:
    """The dataclass of the command line: settings of this environment and algorithm as they were tuned."""
    options = env_options(name, defaults.env.options)

    @dataclass(frozen=True)
    class Train:
        """Trains an agent, by recurrent PPO unless --algo says otherwise.

        ENV, or --config FILE (the config.toml of a run), comes first. Without either: the main job, t-maze with twins.
        """

        env: options  # pyright: ignore[reportInvalidTypeForm]
        """Options of the environment."""
        network: NetworkConfig = field(default_factory=lambda: replace(defaults.network, memory_options={}))
        algo: Algo = defaults.algo
        steps: int = defaults.total_steps
        """Environment steps of each training."""
        seed: int = defaults.seed
        """The first training seed."""
        seeds: int = 1
        """How many seeds, counted up from the first."""
        twins: bool = with_twins
        """Trains a memoryless twin and a short-window TDNN beside the agent, with the same budget."""
        window: int = 8
        """Inputs that the TDNN twin sees; for --twins alone."""
        episodes: int = defaults.evaluation_episodes
        """Fresh episodes that each final policy is scored on."""
        prove: bool | None = None
        """Measures how the memory is used once training is done; by default where twins are trained."""
        flow: str | None = None if defaults.flow_every is None else f"every={defaults.flow_every}"
        """Looks through the gradient microscope every N iterations, "every=N"; training itself stays as it is."""
        out: Path | None = None
        """The folder to create; by default a new one under runs/."""
        overwrite: bool = False
        """Replaces an older training in the folder."""
        json: Json = False
        """Prints one JSON object on stdout, all else on stderr."""

    table = (defaults.table, type(defaults.agent), field(default_factory=lambda: defaults.agent))
    return dataclasses.make_dataclass(
        "Train", [table], bases=(Train,), namespace={"__doc__": Train.__doc__}, frozen=True
    )


def _run_config(name: str, defaults: RunConfig, arguments: Any) -> RunConfig:
    options = {f.name: getattr(arguments.env, f.name) for f in dataclasses.fields(arguments.env)}
    others = options.pop("arguments", {}) if entry_of(name).takes_arguments else {}
    chosen = others | {k: v for k, v in options.items() if v != entry_of(name).options[k]}
    # The tuned options stay where the memory has them; what the user gave comes over them.
    tuned = with_memory(defaults.network, arguments.network.memory).memory_options
    network = replace(arguments.network, memory_options={**tuned, **arguments.network.memory_options})
    return replace(
        defaults,
        env=EnvConfig(name, chosen, defaults.env.reveal),
        network=network,
        **{defaults.table: getattr(arguments, defaults.table)},
        total_steps=arguments.steps,
        seed=arguments.seed,
        evaluation_episodes=arguments.episodes,
        flow_every=flow_every(arguments.flow, "iterations"),
    )
