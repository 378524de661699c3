"""What is searched: a range or a list of choices for each of some fields of a run's config."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from throughtime.core import ConfigError
from throughtime.runs.config import RunConfig
from throughtime.runs.toml import from_dict, replace_fields

Value = int | float | bool | str


@dataclass(frozen=True)
class Range:
    """The values that one field may take: between `low` and `high`, both included, or one of `choices`."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Draws it by its logarithm."""
    step: int | float | None = None
    """Draws multiples of this above `low`."""
    choices: tuple[Value, ...] | None = None

    def check(self, name: str) -> None:
        """Refuses a range of nothing.

        Raises:
            ConfigError: what is wrong with it.
        """
        if self.choices is not None:
            if not self.choices or self.low is not None or self.high is not None:
                raise ConfigError(
                    f"{name}: {self.choices} leaves no choice.", "Choices are a list, without low and high.", ""
                )
            return
        if self.low is None or self.high is None:
            raise ConfigError(f"{name} has no range.", "It needs low and high, or choices.", _example(name))
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"{name}: low = {self.low}, high = {self.high}", "Nothing lies between.", _example(name))
        if self.log and self.low <= 0:
            raise ConfigError(f"{name}: low = {self.low}", "It has no logarithm.", "Give a positive low, or no log.")
        if self.step is not None and (self.step <= 0 or self.log):
            raise ConfigError(f"{name}: step = {self.step}", "It is positive, and never beside log.", _example(name))

    def probes(self) -> tuple[Any, ...]:
        """Values that have to be possible."""
        return self.choices if self.choices is not None else (self.low, self.high)


Space = Mapping[str, Range]
"""Dotted field to its range."""

# Wide around what is tuned for the environments here; widths and rollouts stay, for they decide what a step costs.
_PPO: Space = {
    "ppo.learning_rate": Range(1e-4, 1e-2, log=True),
    "ppo.discount": Range(choices=(0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)),
    "ppo.gae_lambda": Range(0.8, 0.99),
    "ppo.entropy_weight": Range(1e-4, 0.1, log=True),
    "ppo.clip": Range(choices=(0.1, 0.2, 0.3)),
    "ppo.epochs": Range(1, 8),
    "ppo.gradient_clip": Range(0.1, 5.0, log=True),
    "network.hidden_size": Range(choices=(32, 64, 128)),
}
_Q_LEARNING: Space = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "discount": Range(choices=(0.8, 0.9, 0.95, 0.98, 0.99, 0.997)),
    "n_step": Range(1, 8),
    "updates": Range(1, 8),
    "target_period": Range(20, 500, log=True),
    "epsilon_fraction": Range(0.05, 0.6),  # where ε is annealed
}
_CONTINUOUS: Space = {
    "actor_learning_rate": Range(1e-4, 3e-3, log=True),
    "critic_learning_rate": Range(1e-4, 3e-3, log=True),
    "discount": Range(choices=(0.9, 0.95, 0.98, 0.99, 0.995)),
    "polyak": Range(0.002, 0.05, log=True),
    "bptt_length": Range(choices=(8, 16, 32, 64)),
    "reward_scale": Range(0.03, 3.0, log=True),
}
_SPACES: Mapping[str, Space] = {
    "ppo": _PPO,
    "rudder-ppo": {name.replace("ppo.", "rudder_ppo."): span for name, span in _PPO.items()},
    "sac": {
        **{f"sac.{name}": span for name, span in _CONTINUOUS.items()},
        "network.hidden_size": Range(choices=(32, 64, 128)),
    },
    "td3": {
        **{f"td3.{name}": span for name, span in _CONTINUOUS.items()},
        "td3.exploration_noise": Range(0.05, 0.4),
        "network.hidden_size": Range(choices=(32, 64, 128)),
    },
    "r2d2": {
        **{f"r2d2.{name}": span for name, span in _Q_LEARNING.items() if name != "epsilon_fraction"},
        "r2d2.priority_exponent": Range(0.0, 1.0),
        "r2d2.epsilon": Range(0.1, 0.8),
        "network.hidden_size": Range(choices=(32, 64, 128)),
    },
    "instruct": {
        "instruct.learning_rate": Range(3e-4, 1e-2, log=True),
        "instruct.expert_decay": Range(0.8, 0.999),
        "instruct.value_weight": Range(0.01, 0.5, log=True),
        "instruct.gradient_clip": Range(0.1, 5.0, log=True),
        "network.hidden_size": Range(choices=(64, 128, 256)),
    },
    "drqn": {
        **{f"drqn.{name}": span for name, span in _Q_LEARNING.items()},
        "network.hidden_size": Range(choices=(32, 64, 128)),
    },
    "planner": {
        "planner.learning_rate": Range(3e-4, 1e-2, log=True),
        "planner.updates": Range(choices=(10, 20, 40, 80)),
        "planner.discount": Range(choices=(0.95, 0.98, 0.99, 0.995)),
        "planner.exploration": Range(0.02, 0.4, log=True),
        "planner.lookahead": Range(choices=(1, 2, 3, 4)),
        "network.hidden_size": Range(choices=(16, 32, 64)),
    },
}


def default_space(config: RunConfig) -> Space:
    """The space for the algorithm of a config, but for the discount where the environment's own score has one.

    Raises:
        ConfigError: none is built in for this algorithm.
    """
    if config.algo not in _SPACES:
        raise ConfigError(
            f"There is no built-in space for {config.algo}.", "", "Give ranges of its settings in a file: --space FILE."
        )
    space = dict(_SPACES[config.algo])
    if config.env.build().discount != 1.0:
        space.pop(f"{config.table}.discount", None)
    return space


def read_space(path: str | Path) -> tuple[Space, dict[str, Any]]:
    """Ranges and fixed values from a TOML file with the tables of a run's config.toml.

        total_steps = 200_000
        [ppo]
        learning_rate = { low = 1e-4, high = 1e-2, log = true }
        [network]
        hidden_size = { choices = [32, 64, 128] }

    Raises:
        ConfigError: no such file, no TOML, no range in it, or an impossible one.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML.", f"{error}.", "Correct that line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read.", f"{error}.", "Name a TOML file with ranges.") from error
    space, fixed = {}, {}
    for name, value in _leaves(values):
        if isinstance(value, Mapping):
            space[name] = from_dict(value, Range, name)
            space[name].check(name)
        else:
            fixed[name] = value
    if not space:
        raise ConfigError(f"{path} has no range.", "Nothing would be searched.", _example("learning_rate"))
    return space, fixed


def check_space(space: Space, config: RunConfig) -> None:
    """Refuses fields that the config does not have, and values of the wrong type.

    Raises:
        ConfigError: names the field.
    """
    for name, span in space.items():
        span.check(name)
        if name in ("seed", "algo", "env.name"):
            raise ConfigError(f"{name} cannot be searched.", "The sweep decides it.", "Leave it out.")
        for value in span.probes():
            replace_fields(config, {name: value})


def suggest(trial: Any, space: Space, config: RunConfig) -> dict[str, Any]:
    """What a trial of Optuna draws: dotted field to value."""
    return {name: _drawn(trial, name, span, config) for name, span in space.items()}


def _drawn(trial: Any, name: str, span: Range, config: RunConfig) -> Any:
    if span.choices is not None:
        return trial.suggest_categorical(name, list(span.choices))
    assert span.low is not None
    assert span.high is not None
    if _is_whole(name, span, config):
        step = 1 if span.step is None else int(span.step)
        return trial.suggest_int(name, int(span.low), int(span.high), step=step, log=span.log)
    return trial.suggest_float(name, float(span.low), float(span.high), step=span.step, log=span.log)


def _is_whole(name: str, span: Range, config: RunConfig) -> bool:
    """Whether whole numbers are meant: both ends are, and the field does not take others (a table of options does)."""
    if span.low is None or not (type(span.low) is type(span.high) is int):
        return False
    if "options." in name:
        return True
    try:
        replace_fields(config, {name: span.low + 0.5})
    except ConfigError:
        return True
    return False


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that is no table of fields; a range is a table with low, high or choices."""
    for name, value in values.items():
        if isinstance(value, Mapping) and not {"low", "high", "choices"} & set(value):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _example(name: str) -> str:
    return f"Write for example {name.rpartition('.')[2]} = {{ low = 1e-4, high = 1e-2, log = true }}."
