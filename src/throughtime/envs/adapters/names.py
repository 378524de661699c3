"""Environments that are not ours, by name: `gym:ID`, `gymnax:NAME`, `minigrid:ID`, `module:Class`, `file.py:Class`."""

import dataclasses
import difflib
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp

from throughtime.core import ConfigError
from throughtime.envs.adapters._user import find_class
from throughtime.envs.adapters.gym import GymEnvironment
from throughtime.envs.adapters.gymnax import GymnaxEnvironment
from throughtime.envs.base import Box, Environment
from throughtime.envs.forms import ADDED, added_form
from throughtime.envs.pomdp_file import PREFIX

PREFIXES = {
    "gym": "Gymnasium's environments by id, gym:CartPole-v1 (gym:MODULE:ID imports what registers it).",
    "gymnax": "gymnax's environments by name, gymnax:MemoryChain-bsuite.",
    "minigrid": "MiniGrid's environments by id, minigrid:MiniGrid-MemoryS7-v0; cells one-hot, no mission.",
}
OWN = "Your own class, module:Class or file.py:Class: a throughtime Environment or a gymnasium.Env."


def is_adapted(name: str) -> bool:
    """Whether a name is one of these forms."""
    return ":" in name and not name.startswith(PREFIX) and added_form(name) is None


def runs_code(name: str) -> bool:
    """Whether building this environment imports code that the name itself points to."""
    prefix, _, rest = name.partition(":")
    return is_adapted(name) and (prefix not in PREFIXES or ":" in rest)


def about(name: str) -> str:
    """One line for people on an environment of these forms: that of the user's class is its docstring's first."""
    prefix, _, rest = name.partition(":")
    if prefix in PREFIXES:
        package = {"gym": "Gymnasium", "gymnax": "gymnax", "minigrid": "MiniGrid"}[prefix]
        return f"The environment {rest} of {package}."
    return (find_class(name).__doc__ or f"The environment {name}.").strip().splitlines()[0]


def adapted_class(name: str) -> tuple[type[Environment], dict[str, Any]]:
    """The class behind a name, and the fields that the name decides.

    Args:
        name: one for which `is_adapted` holds.

    Raises:
        ConfigError: no such module, file or class, or a class that is no environment.
    """
    prefix, _, rest = name.partition(":")
    if prefix == "gymnax":
        return GymnaxEnvironment, {"id": rest}
    if prefix in PREFIXES:
        return GymEnvironment, {"id": rest, "kind": prefix}
    near = difflib.get_close_matches(prefix, [*PREFIXES, *ADDED], n=1, cutoff=0.6)
    if near and prefix.isidentifier() and find_spec(prefix) is None:
        raise ConfigError(f"There is no environment {name!r}.", "", f"Did you mean '{near[0]}:{rest}'?")
    found = find_class(name)
    if issubclass(found, Environment):
        return found, {}
    if hasattr(found, "reset") and hasattr(found, "step"):
        return GymEnvironment, {"id": name, "kind": "user"}
    raise ConfigError(
        f"{name} is no environment.",
        f"{found.__name__} is neither a throughtime Environment nor a gymnasium.Env: it has no reset and step.",
        "Derive it from throughtime.Environment (functions on arrays) or from gymnasium.Env (Python).",
    )


def build_own(cls: type[Environment], name: str, options: dict[str, Any]) -> Environment:
    """An instance of the user's own functional environment, tried without being compiled.

    Raises:
        ConfigError: it cannot be built, is no frozen dataclass, or its functions do not give what its spaces say.
    """
    if not (dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen):  # pyright: ignore[reportAttributeAccessIssue]
        raise ConfigError(
            f"{name} is no frozen dataclass.",
            "The compiled program keeps the environment as a constant, which has to be hashable.",
            "Write @dataclass(frozen=True) above the class.",
        )
    try:
        env = cls(**options)
        key = jax.eval_shape(lambda: jax.random.key(0))
        space = env.action_space
        action = jax.ShapeDtypeStruct(space.shape, jnp.float32 if isinstance(space, Box) else jnp.int32)
        obs, state = jax.eval_shape(env.reset, key)
        step = jax.eval_shape(env.step, key, state, action)
    except ConfigError:
        raise
    except Exception as error:  # the user's code raises whatever it pleases
        raise ConfigError(
            f"{name} does not work.",
            f"{type(error).__name__}: {error}",
            "See what throughtime.Environment asks of a subclass.",
        ) from error
    for what, found, shape, dtype in (
        ("reset's observation", obs, env.observation_space.shape, jnp.float32),
        ("step's observation", step[0], env.observation_space.shape, jnp.float32),
        ("step's reward", step[2], (), jnp.float32),
        ("terminated", step[3], (), jnp.bool_),
        ("truncated", step[4], (), jnp.bool_),
    ):
        if (found.shape, found.dtype) != (shape, dtype):
            raise ConfigError(
                f"{name}: {what} is {found.dtype} {list(found.shape)}.",
                f"It has to be {jnp.dtype(dtype)} {list(shape)}.",
                "Mend the environment's functions or its spaces.",
            )
    return env
