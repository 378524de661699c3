"""One Gymnasium environment from words alone, so that a worker process builds the same one."""

import difflib
import warnings
from typing import Any, NamedTuple

from throughtime.core import ConfigError
from throughtime.envs.adapters._extras import require
from throughtime.envs.adapters._user import find_class

Scalar = int | float | bool | str


class Recipe(NamedTuple):
    """Which environment, in what JSON can hold."""

    kind: str  # gym, minigrid, or user
    id: str  # Gymnasium's id, or module:Class
    arguments: tuple[tuple[str, Scalar], ...]  # of its constructor
    time_limit: int  # steps until it is truncated; 0: its own limit
    masks: str  # where its action masks are looked for
    hide: str  # which numbers of its observation are left out

    @property
    def name(self) -> str:
        """As `make` takes it."""
        return self.id if self.kind == "user" else f"{self.kind}:{self.id}"


def build(recipe: Recipe) -> Any:
    """The Gymnasium environment of a recipe.

    Raises:
        ConfigError: a missing extra, an unknown id (with a suggestion), or arguments that it does not take.
    """
    if recipe.kind == "minigrid":
        require("minigrid", "minigrid", recipe.name)  # whose extra brings gymnasium along
    gymnasium = require("gymnasium", "gymnasium", recipe.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a newer version of an environment: the user named this
        env = _made(recipe, gymnasium)
    if recipe.kind == "minigrid":
        from throughtime.envs.adapters._minigrid import OneHotCells

        env = OneHotCells(env)
        if recipe.id.startswith("BabyAI-"):
            from throughtime.envs.adapters._mission import WithMission

            env = WithMission(env)
    if recipe.time_limit:
        env = gymnasium.wrappers.TimeLimit(env, recipe.time_limit)
    return env


def _made(recipe: Recipe, gymnasium: Any) -> Any:
    arguments = dict(recipe.arguments)
    try:
        if recipe.kind == "user":
            return find_class(recipe.id)(**arguments)
        return gymnasium.make(recipe.id, **arguments)
    except gymnasium.error.UnregisteredEnv as error:
        raise _unknown(recipe, gymnasium) from error
    except gymnasium.error.DeprecatedEnv as error:
        raise ConfigError(f"{recipe.name} is of an old version.", f"{error}", "Name the newer one.") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"{recipe.name} cannot be built.", f"{error}", "Install what it asks for.") from error
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigError(f"{recipe.name} cannot be built.", f"{error}.", f"Install {error.name}.") from error
    except Exception as error:  # constructors raise whatever they please
        given = ", ".join(f"{name} = {value!r}" for name, value in arguments.items()) or "no arguments"
        raise ConfigError(
            f"{recipe.name} cannot be built with {given}.",
            f"{type(error).__name__}: {error}",
            "Give the arguments that its constructor takes.",
        ) from error


def _unknown(recipe: Recipe, gymnasium: Any) -> ConfigError:
    own = "minigrid" if recipe.kind == "minigrid" else ""
    known = [name for name, spec in gymnasium.registry.items() if str(getattr(spec, "entry_point", "")).startswith(own)]
    near = difflib.get_close_matches(recipe.id, known, n=3, cutoff=0.4)
    mend = f"Did you mean {' or '.join(repr(f'{recipe.kind}:{name}') for name in near)}?" if near else ""
    module = "" if ":" in recipe.id else " A module that registers it goes before it, gym:MODULE:ID."
    package = "MiniGrid" if own else "Gymnasium"
    return ConfigError(
        f"There is no environment {recipe.name!r}.", f"{package} has {len(known):,} names, not this one.", mend + module
    )


def step_limit(env: Any, recipe: Recipe) -> int | None:
    """The most steps an episode can have: the time limit, the spec's, or what the environment says of itself."""
    if recipe.time_limit:
        return recipe.time_limit
    spec = env.spec.max_episode_steps if env.spec is not None else None
    inner = env.unwrapped
    for limit in (spec, getattr(inner, "max_episode_steps", None), getattr(inner, "max_steps", None)):
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            return limit
    return None
