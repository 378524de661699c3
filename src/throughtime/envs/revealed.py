"""An environment whose hidden state is shown beside the observation: what a policy could do if nothing were hidden."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.envs.base import Box, mask_size
from throughtime.envs.drawing import Drawing
from throughtime.envs.instruction_layout import InstructionLayout
from throughtime.envs.wrapper import Wrapper


@dataclass(frozen=True)
class Revealed(Wrapper[Any]):
    """`env` with its `hidden_state` appended to the (flattened) observation, before the action mask where there is one.

    A hidden state of real numbers is appended as it is. A hidden class is appended one-hot where `env.tables()` tell
    how many there are, and else as one number.

    A memoryless policy here is the ceiling of a memory there. It may lie above what any memory can reach: a memory
    knows only what was seen (tiger: who sees the tiger never has to listen). `optimal_return` and
    `memoryless_return` are those of `env` and so do not hold here: they are None.

    Args:
        env: what is revealed.

    Raises:
        ConfigError: `env` is revealed already.
    """

    def __post_init__(self):
        if isinstance(self.env, Revealed):
            raise ConfigError(f"{self.env.name} is revealed already.", "", "Wrap the environment itself.")

    @property
    def observation_space(self) -> Box:
        """The observation's numbers, then the hidden state's; unbounded, for nothing bounds a hidden state."""
        shape = jax.eval_shape(lambda key: self.reset_env(key, self.default_params)[0], jax.random.key(0)).shape
        return Box(-float("inf"), float("inf"), shape)

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The environment's, then "hidden state 0", …; an action mask's are last."""
        labels = self.env.observation_labels
        hidden = [f"hidden state {i}" for i in range(self.observation_space.shape[0] - len(labels))]
        seen = len(labels) - mask_size(self.env)
        return (*labels[:seen], *hidden, *labels[seen:])

    @property
    def required_lag(self) -> int:
        """0: nothing has to be remembered."""
        return 0

    def reset_env(self, key: PRNGKeyArray, params: Any) -> tuple[Array, Any]:
        """A new episode."""
        obs, state = self.env.reset_env(key, params)
        return self._show(obs, state), state

    def step_env(
        self, key: PRNGKeyArray, state: Any, action: Array, params: Any
    ) -> tuple[Array, Any, Array, Array, dict[str, Any]]:
        """One step without reset."""
        obs, state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return self._show(obs, state), state, reward, terminated, info

    def is_truncated(self, state: Any, params: Any) -> Array:
        """As the environment says."""
        return self.env.is_truncated(state, params)

    def hidden_state(self, state: Any) -> Array:
        """The environment's; here it is seen."""
        return self.env.hidden_state(state)

    @property
    def instruction_layout(self) -> InstructionLayout | None:
        """The environment's, for what is appended comes last."""
        return self.env.instruction_layout

    def expert(self, state: Any) -> Array | None:
        """The environment's."""
        return self.env.expert(state)

    def draw(self, state: Any) -> Drawing | None:
        """As the environment draws it."""
        return self.env.draw(state)

    def _show(self, obs: Array, state: Any) -> Array:
        hidden, tables = self.env.hidden_state(state), self.env.tables()
        if hidden.ndim == 0 and jnp.issubdtype(hidden.dtype, jnp.integer) and tables is not None:
            hidden = jax.nn.one_hot(hidden, len(tables.initial))
        flat, hidden = obs.reshape(-1), hidden.astype(obs.dtype).reshape(-1)
        seen = len(flat) - mask_size(self.env)
        return jnp.concatenate([flat[:seen], hidden, flat[seen:]])
