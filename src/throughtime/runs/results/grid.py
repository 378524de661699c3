"""What a grid of trainings is, and the settings of each of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.runs.config import RunConfig, default_config, with_memory
from throughtime.runs.jobs.job import Job, refuse_other
from throughtime.runs.toml import replace_fields
from throughtime.runs.train import check

AXES = ("seed", "env.name", "network.memory", "algo")
"""Fields that the grid itself decides."""


@dataclass(frozen=True)
class Variant:
    """One entry of an axis: a name, and settings of its own."""

    name: str
    """An environment, a memory or an algorithm."""
    label: str = ""
    """What tables call it; by default its name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted fields of a run's config."""

    @property
    def title(self) -> str:
        """The label, or the name where there is none."""
        return self.label or self.name


@dataclass(frozen=True)
class EnvironmentVariant(Variant):
    """An environment, with what is asked of the policies that are trained on it."""

    bar: float | None = None
    """The mean return that the final policy of every seed is to reach."""
    note: str = ""
    """What a reader has to know of its settings; shown with its table."""
    agents: tuple[str, ...] = ()
    """Labels (or names) of the agents that take part here; by default all of the grid's."""
    memories: tuple[str, ...] = ()
    """Labels (or names) of the memories that take part here; by default all of the grid's."""


@dataclass(frozen=True)
class Grid:
    """Every agent with every memory on every environment, with every seed."""

    environments: tuple[EnvironmentVariant, ...]
    memories: tuple[Variant, ...]
    agents: tuple[Variant, ...] = (Variant("ppo"),)
    seeds: tuple[int, ...] = (0, 1, 2)
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted fields of every run's config. Those of agents come over them, then environments', then memories'."""
    title: str = "Results"
    mmer: bool = False
    """Whether tables show POPGym's metric too."""


@dataclass(frozen=True)
class Cell:
    """One training of a grid."""

    environment: EnvironmentVariant
    agent: Variant
    memory: Variant
    config: RunConfig
    folder: Path
    """Of its run, below the grid's own."""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.agent.title}, {self.memory.title}, {self.environment.title}, seed {self.config.seed}"


def cells(grid: Grid) -> list[Cell]:
    """All trainings of a grid, seed by seed, with their settings checked.

    Raises:
        ConfigError: an empty axis, two entries of one label, or settings that cannot work: before anything is trained.
    """
    for name in ("environments", "memories", "agents", "seeds"):
        if not getattr(grid, name):
            raise ConfigError(f"{name} is empty.", "Nothing would be trained.", "List at least one.")
    for name in ("environments", "memories", "agents"):
        slugs = [_slug(variant.title) for variant in getattr(grid, name)]
        twice = next((slug for slug in slugs if slugs.count(slug) > 1), None)
        if twice is not None:
            what = f"{name} has {twice!r} twice."
            raise ConfigError(what, "Their runs would share a folder.", "Give each a label of its own.")
    if len(set(grid.seeds)) < len(grid.seeds):
        raise ConfigError(f"seeds = {list(grid.seeds)}", "A seed is there twice.", "Give each once.")
    found = []
    for seed, (environment, agent, memory) in product(grid.seeds, combinations(grid)):
        folder = Path(_slug(environment.title)) / f"{_slug(agent.title)}-{_slug(memory.title)}" / f"seed-{seed}"
        config = settings_of(grid, environment, agent, memory, seed)
        if seed == grid.seeds[0]:
            check(config)
        found.append(Cell(environment, agent, memory, config, folder))
    return found


def combinations(grid: Grid) -> list[tuple[EnvironmentVariant, Variant, Variant]]:
    """(environment, agent, memory): all that are trained with each seed.

    Raises:
        ConfigError: an environment asks for an agent or a memory that the grid does not have.
    """
    return [
        (environment, agent, memory)
        for environment in grid.environments
        for agent in _taking_part(grid.agents, environment.agents, "agents", environment)
        for memory in _taking_part(grid.memories, environment.memories, "memories", environment)
    ]


def settings_of(grid: Grid, environment: Variant, agent: Variant, memory: Variant, seed: int) -> RunConfig:
    """The settings of one training: those tuned for the environment, then the grid's own over them.

    A memoryless agent reads neither its last action nor its last reward, for that would be a step of memory.
    """
    changes: dict[str, Any] = {}
    for variant in (Variant("", settings=grid.settings), agent, environment, memory):
        for name, value in variant.settings.items():
            if name in AXES:
                raise ConfigError(
                    f"settings: {name} = {value!r}",
                    "It is an axis of the grid.",
                    f"List it where it belongs: {_axis(name)}.",
                )
            changes[name] = value
    config = default_config(environment.name, agent.name)
    config = replace(config, network=with_memory(config.network, memory.name))
    if memory.name == "none":
        config = replace(config, network=replace(config.network, previous_action=False, previous_reward=False))
    config = replace_fields(config, {**changes, "seed": seed})
    return replace(config, env=config.env.pinned())


def _taking_part(
    variants: Sequence[Variant], wanted: Sequence[str], axis: str, environment: Variant
) -> tuple[Variant, ...]:
    """Those that an environment names, in the grid's own order; all where it names none."""
    titles = [variant.title for variant in variants]
    for name in wanted:
        if name not in titles:
            what = f"{environment.title} names {name!r} among its {axis}."
            raise ConfigError(what, f"The grid's {axis} have no such label.", did_you_mean(name, titles))
    return tuple(variant for variant in variants if not wanted or variant.title in wanted)


def jobs(found: Sequence[Cell], out: Path, *, code: str | None = None) -> list[Job]:
    """The trainings as jobs for worker processes, in the folder `out`."""
    return [Job(cell.label, out / cell.folder, cell.config, code) for cell in found]


def refuse_changes(found: Sequence[Cell], out: Path) -> None:
    """Refuses a folder in which a training of other settings has the place of one of these.

    Raises:
        RunFolderError: names the folder and the fields that differ.
    """
    for cell in found:
        refuse_other(out / cell.folder, cell.config)


def _axis(name: str) -> str:
    return {"seed": "seeds", "env.name": "environments", "network.memory": "memories"}.get(name, "agents")


def _slug(text: str) -> str:
    """A label as part of a path."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.").lower() or "unnamed"
