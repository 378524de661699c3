"""The settings of imitation, checked before anything is compiled."""

from dataclasses import dataclass

from throughtime.core import ConfigError
from throughtime.gradients import Clipping


@dataclass(frozen=True)
class InstructConfig:
    """Imitation of the environment's expert in the states that the learner itself comes to."""

    num_envs: int = 64
    """Environments stepped together (B)."""
    rollout_length: int = 64
    """Steps of each environment between updates (T)."""
    bptt_length: int | None = None
    """Steps that gradients flow back through; divides rollout_length. Default: all of it."""
    epochs: int = 1
    """Passes over each rollout."""
    minibatches: int = 4
    """Gradient steps a pass; divides the number of sequences, num_envs · rollout_length / bptt_length."""
    learning_rate: float = 2e-3
    """Adam's, at the start."""
    anneal: bool = True
    """Lowers the learning rate linearly to zero over the run."""
    expert_decay: float = 0.98
    """In iteration i = 0, 1, … the expert acts in this share to the power of i of the steps, the learner in the others;
    0 for the learner alone after the first iteration, 1 for the expert alone (behavioural cloning)."""
    discount: float = 0.99
    """γ, of the value."""
    gae_lambda: float = 0.95
    """λ of the value's targets."""
    value_weight: float = 0.1
    """Weight of the value loss; the value serves reports, and whoever trains on."""
    gradient_clip: float | None = 1.0
    """Threshold of gradient clipping; none to turn it off. For adaptive clipping a ratio, 0.01 to 0.16."""
    gradient_clip_by: Clipping = "norm"
    """By global norm (keeps the direction), value by value, layer by layer, or adaptively (relative to each weight)."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""

    def __post_init__(self):
        if not 0 <= self.expert_decay <= 1:
            raise ConfigError(f"expert_decay = {self.expert_decay}", "It is a share.", "Set it from 0 to 1.")

    @property
    def target_kl(self) -> None:
        """No update is stopped early."""

    @property
    def exploring_starts(self) -> float:
        """None: who acts is drawn step by step already."""
        return 0.0

    @property
    def normalise_returns(self) -> bool:
        """Rewards stay as they are: nothing but the value learns from them."""
        return False
