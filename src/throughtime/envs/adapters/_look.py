"""One look at a Gymnasium environment before anything is compiled: its spaces, its limit, a reset and a step."""

import functools
from typing import Any, NamedTuple

import numpy as np

from throughtime.core import ConfigError
from throughtime.envs.adapters._build import Recipe, build, step_limit
from throughtime.envs.adapters._layout import ActionLayout, action_layout, observation_layout
from throughtime.envs.adapters._mask import first_allowed, mask_reader
from throughtime.envs.adapters._sight import Sight, make_sight
from throughtime.envs.base import Box
from throughtime.envs.instruction_layout import InstructionLayout


class Facts(NamedTuple):
    """What one look at an environment tells."""

    sight: Sight
    actions: ActionLayout
    step_limit: int
    instruction: InstructionLayout | None


@functools.cache
def look(recipe: Recipe, user: type | None) -> Facts:
    """Builds one environment, reads its spaces and tries it for a step.

    Args:
        recipe: which.
        user: the class behind it where it is the user's; a new one is looked at anew.

    Raises:
        ConfigError: what `GymEnvironment` says.
    """
    del user  # part of the cache's key
    env = build(recipe)
    name = recipe.name
    try:
        for attribute in ("reset", "step", "observation_space", "action_space"):
            if not hasattr(env, attribute):
                raise ConfigError(
                    f"{name} has no {attribute}.", "Gymnasium environments have one.", "Derive it from gymnasium.Env."
                )
        observation_layout(env.observation_space, name)  # its mistakes before those of reset
        actions, limit = action_layout(env.action_space, name), _limit(env, recipe)
        facts = _try(env, recipe, actions, limit)
    finally:
        if hasattr(env, "close"):
            env.close()
    return facts


def _limit(env: Any, recipe: Recipe) -> int:
    limit = step_limit(env, recipe)
    if limit is None:
        raise ConfigError(
            f"{recipe.name} has no longest episode.",
            "Whole episodes are scored, and one that never ends cannot be.",
            "Set time_limit (at the command line --env.time-limit 1000), or give the class an attribute "
            "max_episode_steps.",
        )
    return limit


def _said(env: Any, sight: Sight, name: str) -> InstructionLayout | None:
    """How a sentence stands in the observation, where one of the wrappers says so."""
    has = getattr(env, "has_wrapper_attr", None)
    if has is None or not has("instruction_layout"):
        return None
    layout = env.get_wrapper_attr("instruction_layout")
    read = np.arange(layout.words * layout.vocabulary + layout.cells * layout.features)
    if sight.kept is not None and not np.array_equal(sight.kept[: read.size], read):
        raise ConfigError(
            f"{name}: hide takes numbers out of the mission, or of the cells in view.",
            "The network reads both by their places.",
            f"Hide numbers from {read.size} on alone, or nothing.",
        )
    return layout


def _try(env: Any, recipe: Recipe, actions: ActionLayout, limit: int) -> Facts:
    """A reset and a step, so that what breaks Gymnasium's contract is told at once."""
    doing, name, space = "reset", recipe.name, actions.space
    try:
        observation, info = env.reset(seed=0)
        reader = mask_reader(recipe.masks, env, observation, info, space, name)
        sight = make_sight(env.observation_space, recipe.hide, reader, name)
        out = np.zeros(sight.size, np.float32)
        sight.write(env, observation, info, out)
        _check_finite(out, "reset", name)
        doing = "step"
        action = np.zeros(space.shape, np.int32)
        if isinstance(space, Box):
            action = np.full(space.shape, 0.5 * (space.low + space.high), np.float32)
        elif reader is not None:
            action = first_allowed(space, out[-reader.size :])
        observation, reward, terminated, truncated, info = env.step(actions.read(action))
        sight.write(env, observation, info, out, asked=not terminated)
        _check_finite(np.append(out, np.float32(reward)), "step", name)
        np.asarray([terminated, truncated], bool)
        return Facts(sight, actions, limit, _said(env, sight, name))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{name}: {doing} does not do what Gymnasium asks of it.",
            f"{type(error).__name__}: {error}.",
            "reset(seed=…) returns (observation, info), step(action) returns (observation, reward, terminated, "
            "truncated, info), and observations lie in observation_space; gymnasium.utils.env_checker.check_env tells "
            "more.",
        ) from error


def _check_finite(numbers: np.ndarray, doing: str, name: str) -> None:
    if not np.isfinite(numbers).all():
        raise ConfigError(
            f"{name}: {doing} gave a NaN or an infinite value: {numbers[:8].tolist()}.",
            "A reward or an observation that is not finite would spread through memory and weights.",
            f"Correct the environment's {doing}.",
        )
