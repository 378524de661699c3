"""`throughtime eval RUN`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from throughtime.cli._arguments import Json, parse, trust_code
from throughtime.cli._output import Output
from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.runs import Run, exact_value, load_run
from throughtime.runs.config import EnvConfig
from throughtime.world import Simulation


@dataclass(frozen=True)
class Eval:
    """Scores a trained policy on fresh episodes, its memory carried through each of them."""

    run: tyro.conf.Positional[Path]
    """A run folder, or one checkpoint."""
    episodes: int | None = None
    """How many; by default the run's evaluation_episodes."""
    seed: int | None = None
    """Of the episodes; by default one that no training uses."""
    stochastic: bool = False
    """Draws the actions instead of taking the most probable ones."""
    exact: bool = False
    """Computes the exact value instead of playing (finite POMDPs such as tiger)."""
    max_nodes: int = 5_000
    """With --exact: how many memory states are told apart."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the environment to change, as NAME VALUE pairs: split unseen, say, of instructions."""
    env: Annotated[
        str | None,
        tyro.conf.arg(
            help="Plays in this environment instead: the real one, where the run was trained in a dream of it. Where "
            "the run was trained on your own code, module:Class or file.py:Class, name that code: a run folder alone "
            "never makes code run."
        ),
    ] = None
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Loads, plays, prints the mean return with its interval."""
    arguments = parse(Eval, "eval", argv)
    trust_code(arguments.env)
    output = Output(arguments.json)
    trained = elsewhere(load_run(arguments.run), arguments.env, **arguments.options)
    if arguments.exact:
        return _exact(trained, arguments.max_nodes, output)
    with output.console.status("playing …"):
        score = trained.evaluate(arguments.episodes, seed=arguments.seed, deterministic=not arguments.stochastic)
    env, (low, high) = trained.env, score.interval
    output.console.print(
        f"[bold]{env.name}[/bold] · step {trained.steps:,} · {len(score.returns):,} episodes\n"
        f"return {score.mean:.4g} (95% interval {low:.4g} to {high:.4g}) · length {score.lengths.mean():.4g}"
    )
    known = {"memoryless ceiling": env.memoryless_return, "optimum": env.optimal_return}
    line = " · ".join(f"{name} {value:.4g}" for name, value in known.items() if value is not None)
    if line:
        output.console.print(line)
    output.result(
        {
            "environment": env.name,
            "step": trained.steps,
            "episodes": len(score.returns),
            "mean_return": score.mean,
            "interval": score.interval,
            "mean_length": float(score.lengths.mean()),
            "memoryless_return": env.memoryless_return,
            "optimal_return": env.optimal_return,
        }
    )
    return 0


def elsewhere(trained: Run, name: str | None, **options: int | float | bool | str) -> Run:
    """The run's policy in another environment: the very one that a dream is of, where that is what is named.

    Args:
        trained: the run.
        name: of the environment; its own where None.
        **options: to change in that environment.

    Raises:
        ConfigError: an unknown environment or option, or one with other observations or actions.
    """
    if name is None or name == trained.config.env.name:
        return trained.where(**options)
    if isinstance(trained.env, Simulation) and name == trained.env.real.name:
        real = trained.env.real
        config = replace(trained.config, env=EnvConfig.of(real))
        return replace(trained, config=config, env=real).where(**options)
    env = make(name, **options)
    for what in ("observation_space", "action_space"):
        there, here = getattr(env, what), getattr(trained.env, what)
        if (there.shape, what == "action_space" and there) != (here.shape, what == "action_space" and here):
            raise ConfigError(
                f"{name} has {there} as its {what.replace('_', ' ')}, {trained.env.name} has {here}.",
                "The policy was trained for the latter.",
                "Name an environment with the same observations and actions.",
            )
    return replace(trained, env=env)


def _exact(trained: Run, max_nodes: int, output: Output) -> int:
    with output.console.status("enumerating memory states …"):
        score = exact_value(trained.policy, trained.env, max_nodes=max_nodes)
    optimum = trained.env.optimal_return
    share = ""
    if optimum is not None:
        # A share of a negative number, or a negative share, would say nothing.
        part = f"{score.value / optimum:.1%} of " if optimum > 0 and score.value > 0 else ""
        share = f" · {part}the optimum {optimum:.4f}"
    output.console.print(
        f"[bold]{trained.env.name}[/bold] · step {trained.steps:,} · {score.nodes:,} memory states\n"
        f"exact value {score.value:.4f}{share}"
    )
    if score.stretched:
        output.console.print(
            f"Steps of discounted probability {score.stretched:.2g} were merged beyond the tolerance: "
            "raise --max-nodes and see whether the value stays."
        )
    output.result(
        {
            "environment": trained.env.name,
            "step": trained.steps,
            "exact_value": score.value,
            "nodes": score.nodes,
            "stretched": score.stretched,
            "optimal_return": optimum,
        }
    )
    return 0
