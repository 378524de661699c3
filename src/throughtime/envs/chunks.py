"""An environment whose actions come in chunks: k of them decided at once, and carried out without a look in between."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from throughtime.core import ConfigError, select_rows
from throughtime.envs.base import Box, Discrete, MultiDiscrete
from throughtime.envs.drawing import Drawing
from throughtime.envs.host import HostEnvironment
from throughtime.envs.instruction_layout import InstructionLayout
from throughtime.envs.wrapper import Wrapper


@dataclass(frozen=True)
class Chunks(Wrapper[Any]):
    """`env` with actions of `size` steps: an open-loop option, after which the policy sees again and plans anew.

    One step here carries out the chunk until it is through or the episode ended; what is left of it is then dropped.
    Rewards are added up. Lengths are counted in decisions; the expert plans a chunk ahead in the true state.

    References: Sutton, Precup & Singh 1999, "Between MDPs and semi-MDPs"; Zhao et al. 2023, arXiv 2304.13705 (action
    chunking).

    Args:
        env: of discrete actions, and rewards that are not discounted in its score.
        size: k, at least 2.

    Raises:
        ConfigError: another action space, an action mask, a Python environment, a discounted score, or an impossible
            size.
    """

    size: int = 2

    def __post_init__(self):
        if self.size < 2:
            raise ConfigError(
                f"A chunk of {self.size} actions.", "There is nothing to put together.", "Take 2 or more."
            )
        what, mend = f"{self.env.name} has no chunks of actions.", "Decide one action at a time (--chunk 1)."
        if not isinstance(self.env.action_space, Discrete):
            raise ConfigError(
                what, "Chunks are of actions that are one choice each (Discrete); its actions are not.", mend
            )
        if self.env.discount != 1.0:
            why = f"Its score is discounted by {self.env.discount} each step, and a chunk counts as one."
            raise ConfigError(what, why, mend)
        if isinstance(self.env, HostEnvironment):
            raise ConfigError(
                f"{self.env.name} has no chunks of actions.",
                "It is a Python environment, which is reset in the step that ends an episode, within a chunk too.",
                "Decide one action at a time (--chunk 1), or take several steps in the environment's own step.",
            )
        if self.env.action_mask:
            raise ConfigError(
                f"{self.env.name} allows only some of its actions at a time.",
                "Its mask is of the next action: of what will be allowed later in a chunk nothing is known yet.",
                "Decide one action at a time (--chunk 1), or take the environment without its action mask.",
            )

    @property
    def _choices(self) -> int:
        space = self.env.action_space
        assert isinstance(space, Discrete)
        return space.n

    @property
    def action_space(self) -> MultiDiscrete:
        """K actions side by side, the first of them first."""
        return MultiDiscrete((self._choices,) * self.size)

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Which of the chunk."""
        return tuple(f"action {i + 1}" for i in range(self.size))

    @property
    def observation_space(self) -> Box:
        """The environment's."""
        return self.env.observation_space

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The environment's."""
        return self.env.observation_labels

    @property
    def instruction_layout(self) -> InstructionLayout | None:
        """The environment's."""
        return self.env.instruction_layout

    @property
    def max_episode_steps(self) -> int | None:
        """Decisions in the longest episode."""
        most = self.env.max_episode_steps
        return None if most is None else -(-most // self.size)

    def reset_env(self, key: PRNGKeyArray, params: Any) -> tuple[Array, Any]:
        """A new episode."""
        return self.env.reset_env(key, params)

    def step_env(
        self, key: PRNGKeyArray, state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Array, Array, dict[str, Any]]:
        """The actions of a chunk, one after the other, until the episode ends."""

        def one(carry: Any, each: tuple[Array, Array]):
            before, ended = carry
            action, key = each
            obs, state, reward, terminated, _ = self.env.step_env(key, before[1], action, params)
            after = (obs, state, before[2] + reward, terminated)
            after = select_rows(ended, before, after)
            return (after, ended | terminated | self.env.is_truncated(state, params)), None

        shape = self.env.observation_space.shape
        start = (jnp.zeros(shape), state, jnp.zeros(()), jnp.zeros((), bool))
        keys = jax.random.split(key, self.size)
        (after, _), _ = jax.lax.scan(one, (start, jnp.zeros((), bool)), (action, keys))
        return (*after, {})

    def is_truncated(self, state: Any, params: Any) -> Array:
        """As the environment says."""
        return self.env.is_truncated(state, params)

    def hidden_state(self, state: Any) -> Array:
        """The environment's."""
        return self.env.hidden_state(state)

    def expert(self, state: Any) -> Array | None:
        """What the environment's expert would do in the next k steps (no step being random); None where there is none.

        Beyond an episode's end its plan goes on as if there were none.
        """
        if jax.eval_shape(self.env.expert, state) is None or self.env.stochastic_step:
            return None

        def one(state: Any, _: None):
            action = self.env.expert(state)
            assert action is not None
            return self.env.step_env(jax.random.key(0), state, action, self.env.default_params)[1], action

        return jax.lax.scan(one, state, length=self.size)[1]

    def draw(self, state: Any) -> Drawing | None:
        """As the environment draws it."""
        return self.env.draw(state)
