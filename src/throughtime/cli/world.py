"""`throughtime world RUN`."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro
from rich import box
from rich.table import Table
from rich.text import Text

from throughtime.agents.world_network import WorldNetwork
from throughtime.cli._arguments import Json, parse
from throughtime.cli._output import Output
from throughtime.cli.eval import elsewhere
from throughtime.core import ConfigError
from throughtime.reports.page import write_page
from throughtime.reports.world import Exploited, WorldReport, world_page
from throughtime.runs import Run, load_run
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.world import (
    BEHAVIOURS,
    LearnedModel,
    LearningConfig,
    MemoryConfig,
    Simulation,
    build_model,
    collect,
    fit,
    parameters_of,
)
from throughtime.world.measures import calibration, one_step, open_loop, side_by_side


@dataclass(frozen=True)
class World:
    """Measures a world model: open-loop error beside a feed-forward model and persistence, calibration, an episode.

    RUN is a run with --algo world-model. The feed-forward model of the same size is trained here, on the same sequences
    with as many updates. Policies from the dream (--policies) are scored there and in the real environment.
    """

    run: tyro.conf.Positional[Path]
    """A run folder."""
    policies: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """A run folder of an agent trained in world:RUN; may be given again."""
    ahead: int = 20
    """Steps imagined without looking."""
    warmup: int = 10
    """Observations read before."""
    rows: int = 1_000
    """Fresh sequences that everything is measured on."""
    episodes: int = 1_000
    """Episodes that each policy is scored on, in the dream and in the real environment."""
    seed: int = 1
    """Of the fresh sequences and of the feed-forward model."""
    out: Path | None = None
    """The page; by default world.html in RUN, and the numbers beside it as JSON."""
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Measures, prints the table, writes page and JSON."""
    arguments = parse(World, "world", argv)
    output = Output(arguments.json)
    enable_compilation_cache()
    trained = load_run(arguments.run)
    network: Any = trained.policy.network
    if not isinstance(network, WorldNetwork):
        raise ConfigError(
            f"{arguments.run} is of a run of {trained.config.algo}.",
            "It has no world model beside the sequences that it was learned from, which are read here too.",
            f"Learn one: throughtime train {trained.config.env.name} --algo world-model",
        )
    dreamers = [dreamer(path) for path in arguments.policies]  # before anything takes its time
    env, model, settings = trained.env, network.model, trained.config.agent
    keys = jax.random.split(jax.random.key(arguments.seed), 5)
    steps = max(getattr(settings, "rollout_length", 1), arguments.warmup + arguments.ahead)
    behaviour = BEHAVIOURS[getattr(settings, "behaviour", "uniform")](env.action_space)
    fresh = collect(env, behaviour, batch_size=arguments.rows, steps=steps, key=keys[0])
    with output.console.status("training a feed-forward model of the same size …"):
        flat = feed_forward(trained, model, keys[1])
    measure = {"warmup": arguments.warmup, "steps": arguments.ahead, "key": keys[2]}
    with output.console.status("imagining …"):
        reward, continuation = one_step(model, fresh, keys[3])
        goes_on = (~fresh.terminated).astype(reward.dtype)
        report = WorldReport(
            environment=env.name,
            model=f"{settings.model} on {trained.config.network.memory}",  # pyright: ignore[reportAttributeAccessIssue]
            parameters=(parameters_of(model), parameters_of(flat)),
            ahead=open_loop(model, fresh, **measure),
            feed_forward=open_loop(flat, fresh, **measure),
            reward=calibration(reward, fresh.rewards),
            continuation=calibration(continuation, goes_on),
            episode=side_by_side(model, fresh, keys[4]),
            observation_labels=env.observation_labels,
            exploited=[exploited(agent, arguments.episodes, env.name) for agent in dreamers],
            command=shlex.join(["throughtime", "world", *argv]),
        )
    out = arguments.out or arguments.run / "world.html"
    write_page(world_page(report), out)
    Output.write(report.record(), out.with_suffix(".json"))
    show(report, output)
    output.console.print(Text(f"Report: {out}"), soft_wrap=True)
    output.result({**report.record(), "report": str(out)})
    return 0


def feed_forward(trained: Run, model: LearnedModel, key: Any) -> LearnedModel:
    """A model without memory, of as many parameters, trained on the run's sequences with as many updates."""
    state: Any = trained.state
    settings: Any = trained.config.agent
    aim = parameters_of(model)

    def of_width(hidden: int) -> LearnedModel:
        return build_model(trained.env, settings.world_model, key, MemoryConfig("none", hidden))

    sizes = {hidden: parameters_of(of_width(hidden)) for hidden in (1, 2)}
    per_unit = sizes[2] - sizes[1]
    hidden = max(1, 1 + round((aim - sizes[1]) / per_unit))
    count = min(trained.steps, settings.replay_steps) // settings.rollout_length
    kept = jax.tree.map(lambda x: x[:, :count], state.sequences)
    updates = int(state.guard.updates)
    learning = LearningConfig(
        updates, settings.batch_size, settings.learning_rate, settings.gradient_clip, settings.max_skipped_updates
    )
    return fit(of_width(hidden), kept, learning, key)


def dreamer(path: Path) -> Run:
    """An agent that was trained in a dream."""
    agent = load_run(path)
    if not isinstance(agent.env, Simulation):
        raise ConfigError(
            f"{path} was trained in {agent.env.name}.", "That is no dream.", "Name runs that were trained in world:RUN."
        )
    return agent


def exploited(agent: Run, episodes: int, real: str) -> Exploited:
    """A policy's returns in the dream that it was trained in, and in the real environment."""
    scores = [replace(r, path=None).evaluate(episodes) for r in (agent, elsewhere(agent, real))]
    (dream, there) = [(score.mean, score.interval) for score in scores]
    return Exploited(f"{agent.config.algo} on {agent.config.network.memory}, seed {agent.config.seed}", dream, there)


def show(report: WorldReport, output: Output) -> None:
    """The table for people."""
    table = Table("steps ahead", "world model", "feed-forward", "persistence", box=box.SIMPLE_HEAD, pad_edge=False)
    table.show_edge = False
    for column in table.columns:
        column.justify = "right"
    K = len(report.ahead.model)
    for k in sorted({1, 5, 10, 20, K}):
        if k <= K:
            curves = (report.ahead.model, report.feed_forward.model, report.ahead.persistence)
            table.add_row(str(k), *(f"{curve[k - 1]:.3f}" for curve in curves))
    output.console.print(table)
    output.console.print(
        f"off in the mean: reward {report.reward.error:.3g}, continuation {report.continuation.error:.3g}"
    )
    for e in report.exploited:
        output.console.print(f"{e.name}: {e.dream[0]:.4g} in the dream, {e.real[0]:.4g} in {report.environment}")
