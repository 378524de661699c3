"""Our environments as Gymnasium's, one or a batch of them: for other libraries' agents, checkers and wrappers."""
# pyright: reportMissingImports=false

from typing import Any

import numpy as np

from throughtime.envs.adapters._extras import require
from throughtime.envs.base import Box, Discrete, Environment, Space


def to_gymnasium(env: Environment, num_envs: int | None = None) -> Any:
    """An environment of throughtime as a `gymnasium.Env`, or a batch of them as a `gymnasium.vector.VectorEnv`.

    Each step is one compiled call. A batch resets in the same step where an episode ended
    (`AutoresetMode.SAME_STEP`); the true final observations are then in `info["final_obs"]`. Action masks, where the
    environment has them, stay in the observation, and are also in `info["action_mask"]` (int8) and what
    `action_masks()` returns (bool, sb3-contrib's convention), `[A]`, of a batch `[B, A]`.

    Args:
        env: the environment.
        num_envs: of a batch; None gives a single environment.

    Raises:
        ConfigError: gymnasium is not installed.
    """
    require("gymnasium", "gymnasium", "to_gymnasium")
    from throughtime.envs.adapters import _outward as outward

    if num_envs is None:
        return outward.MaskedGymnasiumEnv(env) if env.action_mask else outward.GymnasiumEnv(env)
    vector = outward.MaskedGymnasiumVectorEnv if env.action_mask else outward.GymnasiumVectorEnv
    return vector(env, num_envs)


def to_gymnasium_space(space: Space) -> Any:
    """One of our spaces as Gymnasium's."""
    from gymnasium import spaces

    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    if isinstance(space, Box):
        # float32 first: a bound such as the largest double would otherwise overflow with a warning.
        bounds = np.clip([space.low, space.high], *(np.finfo(np.float32).min, np.finfo(np.float32).max))
        low, high = (b if np.isfinite(s) else s for b, s in zip(bounds, (space.low, space.high), strict=True))
        return spaces.Box(np.float32(low), np.float32(high), space.shape, np.float32)
    return spaces.MultiDiscrete(list(space.sizes))
