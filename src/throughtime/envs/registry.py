"""Environments by name."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs.adapters import GymEnvironment, GymnaxEnvironment, check_trusted, trust
from throughtime.envs.adapters._user import spec_of
from throughtime.envs.adapters.names import OWN, PREFIXES, about, adapted_class, build_own, is_adapted, runs_code
from throughtime.envs.base import Environment
from throughtime.envs.forms import ADDED, added_form
from throughtime.envs.pomdp_file import PREFIX, PomdpFile
from throughtime.envs.suite import (
    Autoencode,
    Bandit,
    Battleship,
    CartPole,
    Concentration,
    CountRecall,
    DiscountingChain,
    HigherLower,
    Instructions,
    KeyToDoor,
    MemoryChain,
    Minesweeper,
    MountainCarContinuous,
    NoisyCartPole,
    NoisyPendulum,
    Pendulum,
    PocketWatch,
    RepeatFirst,
    RepeatPrevious,
    RockSample,
    Tiger,
    TMaze,
    Tracking,
    Umbrella,
)


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
        hidden = {*self.fixed, "arguments"} if self.takes_arguments else self.fixed
        return {f.name: f.default for f in fields(self.build) if f.name not in hidden and f.default is not MISSING}

    @property
    def takes_arguments(self) -> bool:
        """Whether it passes other options on to an environment that is not ours."""
        return self.build in (GymEnvironment, GymnaxEnvironment)


ENVIRONMENTS: Mapping[str, EnvironmentEntry] = MappingProxyType(
    {
        "t-maze": EnvironmentEntry(
            TMaze,
            {"active": False},
            "A cue at the start tells where to turn at the corridor's end (passive memory).",
        ),
        "t-maze-active": EnvironmentEntry(
            TMaze, {"active": True}, "The T-maze, but the cue has to be fetched first (active memory)."
        ),
        "cartpole-positions": EnvironmentEntry(
            CartPole, {"velocities": False, "delayed": False}, "CartPole-v1 with its velocities hidden."
        ),
        "cartpole": EnvironmentEntry(
            CartPole, {"velocities": True, "delayed": False}, "CartPole-v1, the full state seen."
        ),
        "delayed-cartpole": EnvironmentEntry(
            CartPole, {"velocities": True, "delayed": True}, "CartPole-v1 whose whole reward comes at the last step."
        ),
        "pendulum-positions": EnvironmentEntry(
            Pendulum,
            {"velocities": False},
            "Pendulum-v1 with its angular velocity hidden; a continuous action.",
        ),
        "pendulum": EnvironmentEntry(
            Pendulum, {"velocities": True}, "Pendulum-v1, the full state seen; a continuous action."
        ),
        "cartpole-positions-noisy": EnvironmentEntry(
            NoisyCartPole, {}, "CartPole's positions seen through noise (POPGym's)."
        ),
        "pendulum-positions-noisy": EnvironmentEntry(
            NoisyPendulum, {}, "Pendulum's angle seen through noise (POPGym's); a continuous action."
        ),
        "mountain-car-continuous-positions": EnvironmentEntry(
            MountainCarContinuous,
            {"velocities": False},
            "MountainCarContinuous-v0 with its velocity hidden; a continuous action.",
        ),
        "mountain-car-continuous": EnvironmentEntry(
            MountainCarContinuous,
            {"velocities": True},
            "MountainCarContinuous-v0, the full state seen; a continuous action.",
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
        "repeat-first": EnvironmentEntry(RepeatFirst, {}, "Name the suit of the first card in every step (POPGym's)."),
        "repeat-previous": EnvironmentEntry(
            RepeatPrevious, {}, "Name the suit of the card seen some steps ago (POPGym's)."
        ),
        "autoencode": EnvironmentEntry(
            Autoencode, {}, "Watch cards, then name their suits from the last to the first (POPGym's)."
        ),
        "count-recall": EnvironmentEntry(
            CountRecall, {}, "Say how many cards of the queried kind were dealt so far (POPGym's)."
        ),
        "higher-lower": EnvironmentEntry(
            HigherLower, {}, "Guess whether the next card is higher or lower: count cards (POPGym's)."
        ),
        "concentration": EnvironmentEntry(
            Concentration, {}, "Turn over two cards at a time and find the pairs (POPGym's)."
        ),
        "battleship": EnvironmentEntry(
            Battleship, {}, "Sink ships on a board never seen, told hit or miss (POPGym's)."
        ),
        "minesweeper": EnvironmentEntry(
            Minesweeper, {}, "Clear a mined field, told one cell's number at a time (POPGym's)."
        ),
        "bandit": EnvironmentEntry(Bandit, {}, "Find the arm that pays best, anew in each episode (POPGym's)."),
        "pocket-watch": EnvironmentEntry(
            PocketWatch, {}, "One decision now, its return after a long, noisy delivery (RUDDER's; nothing is hidden)."
        ),
        "memory-chain": EnvironmentEntry(
            MemoryChain,
            {},
            "Bits are seen at the start, and at the end one of them is asked for (bsuite's).",
        ),
        "umbrella": EnvironmentEntry(
            Umbrella, {}, "The first action decides the last reward, among random ones (bsuite's; needs no memory)."
        ),
        "discounting-chain": EnvironmentEntry(
            DiscountingChain,
            {},
            "The first action picks one of five rewards and delays (bsuite's; needs no memory).",
        ),
        "rock-sample": EnvironmentEntry(
            RockSample,
            {},
            "Check rocks from afar, sample the good ones, leave (POBAX's; small ones have tables).",
        ),
        "key-to-door": EnvironmentEntry(
            KeyToDoor, {}, "Fetch a key, pick apples for a while, then open a door with it (credit past distractors)."
        ),
        "instructions": EnvironmentEntry(
            Instructions, {}, "Do what a sentence said at the start, in a room partly in view (go to, pick up, open)."
        ),
    }
)


OWN_FORMS: Mapping[str, str] = MappingProxyType(
    {
        f"{PREFIX}FILE": "A finite POMDP from a file in Cassandra's .POMDP format, with bounds of its optimum.",
        "gym:ID": PREFIXES["gym"],
        "gymnax:NAME": PREFIXES["gymnax"],
        "minigrid:ID": PREFIXES["minigrid"],
        "module:Class": OWN,
    }
)
"""Names that hold a part of the user's own, and what they stand for."""


def forms() -> dict[str, str]:
    """`OWN_FORMS`, and those that higher floors have added."""
    return {**OWN_FORMS, **{form.shape: form.description for form in ADDED.values()}}


def entry_of(name: str) -> EnvironmentEntry:
    """What is known of a name: a key of `ENVIRONMENTS`, or one of the forms in `forms()`.

    Of `pomdp:FILE` the file is not opened.

    Raises:
        ConfigError: an unknown name (with a suggestion).
    """
    if name in ENVIRONMENTS:
        return ENVIRONMENTS[name]
    if name.startswith(PREFIX):
        path = name.removeprefix(PREFIX)
        if not path:
            raise ConfigError(f"{name} names no file.", "", "Write pomdp:FILE, such as pomdp:models/tiger.POMDP.")
        return EnvironmentEntry(PomdpFile, {"path": path}, f"The POMDP of the file {path}.")
    if (form := added_form(name)) is not None:
        return EnvironmentEntry(*form.find(name.partition(":")[2]))
    if not is_adapted(name):
        mend = f"{did_you_mean(name, ENVIRONMENTS)} Others are named {', '.join(forms())}."
        if name.lower().endswith(".pomdp"):
            mend = f"For a file write {PREFIX}{name}."
        raise ConfigError(f"There is no environment {name!r}.", mend=mend)
    build, fixed = adapted_class(name)
    return EnvironmentEntry(build, fixed, about(name))


def stem(name: str) -> str:
    """A name that can be part of a file name: the name itself, or that of the file in `pomdp:FILE`."""
    return PurePath(name.removeprefix(PREFIX)).stem if name.startswith(PREFIX) else name


def name_of(env: Environment) -> tuple[str, dict[str, Any]]:
    """The name and options by which `make` builds an environment, from any folder.

    Its name alone where `make` does not know it.
    """
    name = spec_of(type(env)) or env.name
    try:
        entry = entry_of(name)
    except ConfigError:
        return env.name, {}
    if type(env) is not entry.build:
        return env.name, {}
    options = {k: getattr(env, k) for k, v in entry.options.items() if getattr(env, k) != v}
    if isinstance(env, PomdpFile):
        return f"{PREFIX}{Path(env.path).absolute()}", options
    return name, options | (dict(env.arguments) if isinstance(env, GymEnvironment | GymnaxEnvironment) else {})


def make_from_file(name: str, **options: Any) -> Environment:
    """`make` for a name that stands in a file: code that the name points to runs only if the user named it too."""
    if runs_code(name):
        check_trusted(name)
    return make(name, **options)


def make(name: str, **options: Any) -> Environment:
    """Builds the environment of that name.

    Args:
        name: a key of `ENVIRONMENTS`, or one of the forms in `forms()`, such as `pomdp:FILE` or `gym:ID`.
        **options: fields of the environment, such as `length=50`; see `entry_of(name).options`. What an adapter does
            not know itself goes to the constructor of the environment behind it.

    Raises:
        ConfigError: if the name or an option is unknown, or a value is impossible.
    """
    entry = entry_of(name)
    trust(name)
    arguments = {k: options.pop(k) for k in list(options) if entry.takes_arguments and k not in entry.options}
    for option, value in arguments.items():
        if option in entry.fixed or not isinstance(value, int | float | bool | str):
            raise ConfigError(
                f"{name}: {option} = {value!r} is impossible.",
                "The name decides it." if option in entry.fixed else f"It is of type {type(value).__name__}.",
                "Arguments are numbers, booleans and words.",
            )
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
    if entry.takes_arguments:
        options["arguments"] = tuple(sorted(arguments.items()))
    elif is_adapted(name):
        return build_own(entry.build, name, options)
    return entry.build(**entry.fixed, **options)
