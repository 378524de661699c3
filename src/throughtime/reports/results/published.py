"""What others have published, from `published.toml`, with its sources."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from throughtime.envs import entry_of
from throughtime.runs import EnvConfig, from_dict


@dataclass(frozen=True)
class Published:
    """One number on one environment."""

    environment: str
    who: str
    """The agent."""
    value: float
    """Mean return."""
    source: str
    spread: str = ""
    """What the source says of its spread, in its own terms."""
    steps: int | None = None
    """Environment steps of its training."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Of the environment, where they are not the defaults."""


def published_on(env: EnvConfig) -> list[Published]:
    """The numbers on an environment with these very options."""
    if env.reveal:
        return []
    return [
        row
        for row in _all()
        if row.environment == env.name and _options(env.name, row.options) == _options(env.name, env.options)
    ]


def _options(name: str, chosen: dict) -> dict:
    return {**entry_of(name).options, **chosen}


@cache
def _all() -> tuple[Published, ...]:
    text = resources.files("throughtime.reports.results").joinpath("published.toml").read_text(encoding="utf-8")
    return tuple(from_dict(row, Published) for row in tomllib.loads(text)["result"])
