"""Where a policy reads which actions are allowed: in its observation, and so in its network's input.

Nothing else stores masks. Whatever has the network's inputs (a rollout, a replay, an evaluation, a saved policy) has
the mask with them, and the network restricts itself. The entries are inputs of the memory like all others, for what may
be done also tells what is the case; only a normaliser of observations leaves them alone.
"""

import math
from dataclasses import dataclass

from jaxtyping import Array, Bool, Float

from throughtime.envs import Environment
from throughtime.envs.base import mask_size


@dataclass(frozen=True)
class ActionMask:
    """The entries `start` … `start + size − 1` of flat observations, which come first in a network's input.

    Args:
        start: numbers of the observation before it.
        size: entries, one for each action (of several side by side, one for each choice of each).
    """

    start: int
    size: int

    def allowed(self, x: Float[Array, "*batch I"]) -> Bool[Array, "*batch A"]:
        """Which actions are allowed, of flat observations or of a network's inputs."""
        return x[..., self.start : self.start + self.size] > 0.5


def mask_of(env: Environment) -> ActionMask | None:
    """The mask at the end of an environment's observation, or None where there is none.

    Raises:
        ConfigError: as `mask_size`.
    """
    size = mask_size(env)
    return ActionMask(math.prod(env.observation_space.shape) - size, size) if size else None
