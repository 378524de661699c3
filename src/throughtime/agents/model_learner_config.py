"""The settings of learning a world model, checked before anything is compiled."""

from dataclasses import dataclass, fields
from typing import Literal

from throughtime.core import ConfigError, did_you_mean
from throughtime.world import BEHAVIOURS, WorldModelConfig


@dataclass(frozen=True)
class WorldModelAgentConfig(WorldModelConfig):
    """A world model, and how it learns."""

    num_envs: int = 100
    """Environments stepped together (B)."""
    rollout_length: int = 100
    """Steps of each environment in one iteration, from the start of an episode (T); also of a sequence learned from."""
    discount: float = 0.99
    """γ, for planners; learning knows none."""
    behaviour: Literal["uniform", "varied"] = "varied"
    """Random actions: uniform, or by probabilities that each episode draws for itself."""
    updates: int = 100
    """Gradient steps an iteration."""
    batch_size: int = 64
    """Sequences a gradient step."""
    replay_steps: int = 1_000_000
    """Environment steps that are kept; rounded down to whole iterations."""
    learning_rate: float = 3e-3
    """Adam's, at the start; lowered to zero along a cosine."""
    gradient_clip: float = 1.0
    """Threshold of clipping by global norm."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""

    def __post_init__(self):
        super().__post_init__()
        if self.behaviour not in BEHAVIOURS:
            raise ConfigError(f"behaviour = {self.behaviour!r}", "", did_you_mean(self.behaviour, BEHAVIOURS))
        for name in ("num_envs", "rollout_length", "updates", "batch_size", "max_skipped_updates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It has to be at least 1.")
        for name in ("learning_rate", "gradient_clip"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} = {getattr(self, name)}", "It has to be positive.")
        if not 0.0 <= self.discount <= 1.0:
            raise ConfigError(f"discount = {self.discount}", "It has to lie between 0.0 and 1.0.")
        if self.replay_steps < self.num_envs * self.rollout_length:
            raise ConfigError(
                f"replay_steps = {self.replay_steps} is less than one iteration.",
                f"An iteration has num_envs · rollout_length = {self.num_envs * self.rollout_length} steps.",
                "Raise replay_steps, or lower num_envs or rollout_length.",
            )

    @property
    def world_model(self) -> WorldModelConfig:
        """The model's settings alone."""
        return WorldModelConfig(**{f.name: getattr(self, f.name) for f in fields(WorldModelConfig)})
