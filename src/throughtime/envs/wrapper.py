"""What an environment around another one hands on as it is."""

from dataclasses import dataclass, replace
from typing import Any, Generic

from throughtime.envs.base import Environment, Space, State


@dataclass(frozen=True)
class Wrapper(Environment[State, Any], Generic[State]):
    """An environment that shows `env` in another way: same actions, rewards, ends and discount.

    What depends on the state or on the observation, and the ceilings, are the subclass's own.

    Args:
        env: what is wrapped.
    """

    env: Environment

    @property
    def name(self) -> str:
        """The environment's own: the registry knows no other."""
        return self.env.name

    @property
    def default_params(self) -> Any:
        """The environment's."""
        return self.env.default_params

    @property
    def action_space(self) -> Space:
        """The environment's."""
        return self.env.action_space

    @property
    def action_mask(self) -> bool:
        """The environment's: a subclass that shows something else keeps the mask at the end."""
        return self.env.action_mask

    @property
    def action_labels(self) -> tuple[str, ...]:
        """The environment's."""
        return self.env.action_labels

    @property
    def discount(self) -> float:
        """The environment's."""
        return self.env.discount

    @property
    def scored(self) -> "Wrapper[State]":
        """The environment's, wrapped likewise."""
        return replace(self, env=self.env.scored)

    @property
    def max_episode_steps(self) -> int | None:
        """The environment's."""
        return self.env.max_episode_steps
