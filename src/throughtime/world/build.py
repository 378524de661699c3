"""World models by their settings."""

import math
from functools import lru_cache

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs import Environment
from throughtime.envs.base import mask_size
from throughtime.world.config import MemoryConfig, WorldModelConfig
from throughtime.world.data import Kind, collect, kind_of
from throughtime.world.mdn_rnn import MDNRNN
from throughtime.world.model import LearnedModel
from throughtime.world.rssm import RSSM

LOOKED_AT = (64, 32)  # steps and environments of random play by which "auto" tells what observations are


@lru_cache(maxsize=64)
def observation_kind(env: Environment, given: str = "auto") -> Kind:
    """What observations are: what is given; for "auto" what their bounds, tables or a few random steps tell."""
    if given != "auto":
        return given
    space = env.observation_space
    if (space.low, space.high) != (0.0, 1.0):
        return "continuous"
    tables, (steps, batch) = env.tables(), LOOKED_AT
    if tables is not None:
        return kind_of(tables.observations.astype(np.float32).reshape(len(tables.observations), -1))
    return kind_of(collect(env, None, batch_size=batch, steps=steps, key=jax.random.key(0)).successors)


def build_model(
    env: Environment, config: WorldModelConfig, key: PRNGKeyArray, memory: MemoryConfig | None = None
) -> LearnedModel:
    """A fresh world model of an environment.

    Args:
        env: gives the spaces.
        config: which kind and how large.
        key: for the random weights.
        memory: a GRU of 64 units where None.

    Raises:
        ConfigError: an environment in which only some actions are allowed.
    """
    if mask_size(env):
        raise ConfigError(
            f"{env.name} allows only some of its actions at a time.",
            "A world model neither draws actions by a mask nor knows which ones it will allow.",
            "Take the environment without its action mask (gym: has --env.masks none for that), or another agent.",
        )
    cls = {"rssm": RSSM, "mdn-rnn": MDNRNN}[config.model]
    kind, size = observation_kind(env, config.observations), math.prod(env.observation_space.shape)
    return cls(size, env.action_space, kind, config, MemoryConfig() if memory is None else memory, key)
