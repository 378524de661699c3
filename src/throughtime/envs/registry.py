"""Environments by name."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.base import Environment
from throughtime.envs.suite import CartPole, Pendulum, Tiger, TMaze, Tracking


@dataclass(frozen=True)
class EnvironmentEntry:
    """What the registry knows of one name.

    Args:
        build: the environment's class.
        fixed: the fields that the name decides.
        description: one line for people.
    """

    build: type[Environment]
    fixed: Mapping[str, Any]
    description: str

    @property
    def options(self) -> dict[str, Any]:
        """The fields that a caller may set, with their defaults."""
        return {f.name: f.default for f in fields(self.build) if f.name not in self.fixed}


ENVIRONMENTS: Mapping[str, EnvironmentEntry] = MappingProxyType(
    {
        "t-maze": EnvironmentEntry(
            TMaze,
            {"active": False},
            "A cue at the start tells where to turn at the corridor's end (passive memory).",
        ),
        "t-maze-active": EnvironmentEntry(
            TMaze, {"active": True}, "The same, but the cue has to be fetched first (active memory)."
        ),
        "cartpole-positions": EnvironmentEntry(
            CartPole, {"velocities": False}, "CartPole-v1 with its velocities hidden."
        ),
        "cartpole": EnvironmentEntry(CartPole, {"velocities": True}, "CartPole-v1, the full state seen."),
        "pendulum-positions": EnvironmentEntry(
            Pendulum,
            {"velocities": False},
            "Pendulum-v1 with its angular velocity hidden; a continuous action.",
        ),
        "pendulum": EnvironmentEntry(
            Pendulum, {"velocities": True}, "Pendulum-v1, the full state seen; a continuous action."
        ),
        "tiger": EnvironmentEntry(
            Tiger,
            {"ends_on_open": False},
            "Listen, then open a door; the tiger hides anew (noisy, exactly solved).",
        ),
        "tiger-ends-on-open": EnvironmentEntry(
            Tiger, {"ends_on_open": True}, "Tiger whose episode ends with the first opened door."
        ),
        "tracking": EnvironmentEntry(
            Tracking, {}, "Point at a swinging target seen through noise (linear-Gaussian, exactly solved)."
        ),
    }
)


def make(name: str, **options: Any) -> Environment:
    """Builds the environment of that name.

    Args:
        name: a key of `ENVIRONMENTS`.
        **options: fields of the environment, such as `length=50`; see `ENVIRONMENTS[name].options`.

    Raises:
        ConfigError: if the name or an option is unknown, or a value is impossible.
    """
    if name not in ENVIRONMENTS:
        raise ConfigError(f"There is no environment {name!r}.", mend=did_you_mean(name, ENVIRONMENTS))
    entry = ENVIRONMENTS[name]
    for option, value in options.items():
        if option in entry.fixed:
            raise ConfigError(
                f"{name}: {option} is not an option.",
                f"The name decides it: {option} is {entry.fixed[option]!r}.",
                f"Choose another environment. Known: {', '.join(ENVIRONMENTS)}.",
            )
        if option not in entry.options:
            raise ConfigError(f"{name} has no option {option!r}.", mend=did_you_mean(option, entry.options))
        default = entry.options[option]
        if type(value) is not type(default):
            raise ConfigError(
                f"{name}: {option} = {value!r} is impossible.",
                f"It is of type {type(value).__name__}.",
                f"Give {option} a value of type {type(default).__name__}, such as {default!r}.",
            )
    return entry.build(**entry.fixed, **options)
