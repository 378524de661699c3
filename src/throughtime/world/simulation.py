"""A world model as an environment: any agent of the library trains in it as it would in the real one ("dreaming").

An episode begins with an observation of the model's own, goes on as the model imagines, ends by a draw of its
continuation, and is truncated at a horizon. Rewards are the model's expected ones. The real environment gives spaces,
labels and discount, and takes no step.

Reference: Ha & Schmidhuber 2018, "World models" (arXiv 1803.10122), section 4: learning inside of a dream.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, real_numbers
from throughtime.envs import Box, Environment, Space
from throughtime.world.model import LearnedModel


class DreamState(NamedTuple):
    """One episode in the model."""

    model: Any  # the model's state, leaves without a batch
    time: Int[Array, ""]  # steps since the reset


class DreamParams(NamedTuple):
    """There are none: the model says everything."""


class Simulation(Environment[DreamState, DreamParams]):
    """An environment whose steps a world model imagines; a subclass says where its parts come from."""

    @property
    @abstractmethod
    def model(self) -> LearnedModel:
        """What imagines."""

    @property
    @abstractmethod
    def real(self) -> Environment:
        """The environment that it was learned from."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """After so many an episode is truncated."""

    @property
    def name(self) -> str:
        """That it is a dream of the real one."""
        return f"a dream of {self.real.name}"

    @property
    def default_params(self) -> DreamParams:
        """None."""
        return DreamParams()

    @property
    def observation_space(self) -> Box:
        """The real one's."""
        return self.real.observation_space

    @property
    def action_space(self) -> Space:
        """The real one's."""
        return self.real.action_space

    @property
    def observation_labels(self) -> tuple[str, ...]:
        """The real one's."""
        return self.real.observation_labels

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The real one's."""
        return self.real.action_labels

    @property
    def discount(self) -> float:
        """The real one's."""
        return self.real.discount

    @property
    def required_lag(self) -> int | None:
        """The real one's."""
        return self.real.required_lag

    @property
    def max_episode_steps(self) -> int:
        """The horizon."""
        return self.steps

    def reset_env(self, key: PRNGKeyArray, params: DreamParams) -> tuple[Array, DreamState]:
        """An imagined first moment."""
        del params
        key_begin, key_see = jax.random.split(key)
        state = self.model.begin(1, key_begin)
        return self._seen(state, key_see), DreamState(_row(state), jnp.zeros((), jnp.int32))

    def step_env(
        self, key: PRNGKeyArray, state: DreamState, action: Array, params: DreamParams
    ) -> tuple[Array, DreamState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One imagined step; it terminates with probability 1 − c."""
        del params
        key_imagine, key_see, key_end = jax.random.split(key, 3)
        before = jax.tree.map(lambda x: x[None], state.model)
        after, reward, continuation = self.model.imagine(before, action[None], key_imagine)
        terminated = jax.random.uniform(key_end) >= continuation[0]
        return self._seen(after, key_see), DreamState(_row(after), state.time + 1), reward[0], terminated, {}

    def is_truncated(self, state: DreamState, params: DreamParams) -> Bool[Array, ""]:
        """At the horizon."""
        del params
        return state.time >= self.steps

    def hidden_state(self, state: DreamState) -> Float[Array, " N"]:
        """The model's own state, as numbers."""
        leaves = jax.tree.leaves(state.model)
        return jnp.concatenate([real_numbers(leaf[None])[0] for leaf in leaves])

    def _seen(self, state: Any, key: PRNGKeyArray) -> Array:
        return self.model.decode(state, key)[0].reshape(self.real.observation_space.shape)


@dataclass(frozen=True, eq=False)
class Dream(Simulation):
    """A world model in memory as an environment; compared by identity.

    Args:
        learned: the model, which imagines.
        environment: what it was learned from.
        horizon: steps after which an episode is truncated; 0 for the real one's longest.

    Raises:
        ConfigError: another action space than the model's, observations of another size, or no horizon.
    """

    learned: LearnedModel
    environment: Environment
    horizon: int = 0

    def __post_init__(self):
        self.model.check_environment(self.real)
        check_horizon(self.real, self.horizon)

    @property
    def model(self) -> LearnedModel:
        """What imagines."""
        return self.learned

    @property
    def real(self) -> Environment:
        """What it was learned from."""
        return self.environment

    # `eq=False` alone would leave `Environment`'s own, which compares no fields: all dreams would be equal, and what
    # was compiled for one would serve another, with the first one's weights.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def steps(self) -> int:
        """The horizon."""
        return self.horizon or self.real.max_episode_steps or 0


def check_horizon(real: Environment, horizon: int) -> None:
    """Refuses episodes without an end.

    Raises:
        ConfigError: a horizon below 0, or 0 where the real environment has no longest episode.
    """
    if horizon < 0 or (horizon == 0 and real.max_episode_steps is None):
        raise ConfigError(
            f"horizon = {horizon}",
            "An imagined episode has to end somewhere." if horizon == 0 else "It counts steps.",
            "Give a horizon of 1 or more steps.",
        )


def _row(state: Any) -> Any:
    return jax.tree.map(lambda x: x[0], state)
