"""When a decoder that is being trained reads its own predictions instead of the truth."""

import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.core import ConfigError


@dataclass(frozen=True)
class ScheduledSampling:
    """The probability that a step reads the decoder's own prediction, from 0 at the start to `final` at the end.

    The three shapes are those of the paper, which speaks of the probability ε = 1 − p of reading the truth.

    Reference: Bengio et al. 2015, "Scheduled sampling for sequence prediction with recurrent neural networks", arXiv
    1506.03099, section 2.4.
    """

    final: float = 0.25
    """p at the end of the training, in [0, 1]; 0 is teacher forcing."""
    shape: Literal["linear", "exponential", "sigmoid"] = "linear"
    """How p rises: evenly; fast at first; or slowly, fast and slowly again."""
    rate: float = 5.0
    """How bent the exponential and the sigmoid are, above 0."""

    def __post_init__(self):
        if not 0 <= self.final <= 1:
            raise ConfigError(f"final is {self.final}", "It is a probability.", "Set it in [0, 1].")
        if self.shape not in ("linear", "exponential", "sigmoid"):
            raise ConfigError(
                f"shape is {self.shape!r}, which is not one of its values", "", "Known: exponential, linear, sigmoid."
            )
        if not 0 < self.rate < math.inf:
            raise ConfigError(f"rate is {self.rate}", "A curve needs a rate above 0.", "Try 5.")

    def __call__(self, progress: Float[Array, ""] | float) -> Float[Array, ""]:
        """P after this share of the training, in [0, 1]."""
        u = jnp.clip(jnp.asarray(progress, jnp.float32), 0.0, 1.0)
        if self.shape == "exponential":
            u = (1.0 - jnp.exp(-self.rate * u)) / (1.0 - math.exp(-self.rate))
        elif self.shape == "sigmoid":  # a logistic curve, written with tanh, scaled to rise from 0 to 1
            u = 0.5 + 0.5 * jnp.tanh(self.rate * (u - 0.5)) / math.tanh(0.5 * self.rate)
        return self.final * u
