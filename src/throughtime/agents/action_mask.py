"""Where a policy reads which actions are allowed: in its observation, and so in its network's input.

Nothing else stores masks. Whatever has the network's inputs (a rollout, a replay, an evaluation, a saved policy) has
the mask with them, and the network restricts itself. The entries are inputs of the memory like all others, for what may
be done also tells what is the case; only a normaliser of observations leaves them alone.
"""

import math
from dataclasses import dataclass
from itertools import accumulate

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from throughtime.envs import Box, Environment
from throughtime.envs.base import mask_size


@dataclass(frozen=True)
class ActionMask:
    """The entries `start` … `start + size − 1` of flat observations, which come first in a network's input.

    Args:
        start: numbers of the observation before it.
        choices: of each action, one entry for each.
    """

    start: int
    choices: tuple[int, ...]

    @property
    def size(self) -> int:
        """Entries in all."""
        return sum(self.choices)

    def allowed(self, x: Float[Array, "*batch I"]) -> Bool[Array, "*batch A"]:
        """Which actions are allowed, of flat observations or of a network's inputs."""
        return x[..., self.start : self.start + self.size] > 0.5

    def allows_any(self, x: Float[Array, "*batch I"]) -> Bool[Array, "*batch"]:
        """Whether there is an allowed choice; of several actions side by side, one of each."""
        parts = jnp.split(self.allowed(x), list(accumulate(self.choices))[:-1], axis=-1)
        return jnp.all(jnp.stack([jnp.any(part, axis=-1) for part in parts]), axis=0)


def mask_of(env: Environment) -> ActionMask | None:
    """The mask at the end of an environment's observation, or None where there is none.

    Raises:
        ConfigError: as `mask_size`.
    """
    size, space = mask_size(env), env.action_space
    if not size:
        return None
    assert not isinstance(space, Box)
    return ActionMask(math.prod(env.observation_space.shape) - size, space.choices)
