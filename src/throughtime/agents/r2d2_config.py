"""The settings of R2D2 and DRQN, checked before anything is compiled."""

import math
from dataclasses import dataclass
from typing import Literal

from throughtime.agents.network import NetworkConfig
from throughtime.agents.sized_replay import sized_replay
from throughtime.core import require
from throughtime.gradients import Clipping, check_clipping
from throughtime.rl import SequenceReplay


@dataclass(frozen=True)
class R2D2Config:
    """R2D2: recurrent Q-learning from a prioritised replay of sequences."""

    num_envs: int = 16
    """Environments stepped together (B)."""
    rollout_length: int = 40
    """Steps of each environment in one iteration, between updates (T)."""
    updates: int = 4
    """Gradient steps an iteration."""
    batch_size: int = 32
    """Sequences a gradient step (N)."""
    replay_steps: int = 200_000
    """Environment steps that are kept, of all environments together; rounded down to whole pieces."""
    learning_starts: int = 5_000
    """Environment steps before the first update."""
    period: int = 40
    """Steps from the beginning of one stored sequence to that of the next; divides rollout_length."""
    burn_in: int = 40
    """Steps at a sequence's head that only bring the memory up to date: no loss and no gradient (l)."""
    bptt_length: int = 80
    """Steps after them that are learned from, and that gradients flow back through (m)."""
    start: Literal["stored", "zero"] = "stored"
    """Where the memory of a drawn sequence starts: the state stored in acting, or an initial one."""
    refresh: bool = False
    """Replaces stored states by those that today's weights reach by burn-in."""
    n_step: int = 5
    """Steps of reward before the bootstrap (n)."""
    discount: float = 0.997
    """γ."""
    double: bool = True
    """Double Q-learning: the online network chooses the next action, the target network values it."""
    dueling: bool = True
    """A stream for the state's value, and one for the advantages."""
    head_size: int = 64
    """Units of the layer between memory and Q-values, in each stream; 0 for none."""
    rescale: bool = True
    """Learns h(Q), with h(x) = sign(x)(√(|x| + 1) − 1) + 0.001 x, so that large returns need no clipping."""
    target_period: int = 100
    """Updates from one copy of the network into the target network to the next."""
    priority_exponent: float = 0.9
    """α: sequences are drawn with probability ∝ priority^α; 0 draws all alike."""
    importance_exponent: float = 0.6
    """β of the importance weights that correct for it; 0 for none."""
    priority_mixture: float = 0.9
    """η: a sequence's priority is η max |δ| + (1 − η) mean |δ|."""
    exploration: Literal["ladder", "anneal"] = "ladder"
    """A fixed ε for each environment, from epsilon downwards; or one for all, lowered linearly."""
    epsilon: float = 0.4
    """ladder: ε of environment i is epsilon^(1 + epsilon_exponent · i / (B − 1))."""
    epsilon_exponent: float = 7.0
    """ladder: how far the environments' ε lie apart."""
    epsilon_start: float = 1.0
    """anneal: ε at the first step."""
    epsilon_end: float = 0.05
    """anneal: ε after epsilon_fraction of the run."""
    epsilon_fraction: float = 0.2
    """anneal: share of the run in which ε falls."""
    learning_rate: float = 5e-4
    """Adam's, at the start."""
    anneal: bool = False
    """Lowers the learning rate linearly to zero over the run."""
    adam_epsilon: float = 1e-5
    """Adam's ε."""
    gradient_clip: float | None = 10.0
    """Threshold of gradient clipping; none to turn it off. For adaptive clipping a ratio, 0.01 to 0.16."""
    gradient_clip_by: Clipping = "norm"
    """By global norm (keeps the direction), value by value, layer by layer, or adaptively (relative to each weight)."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""
    temperature: float = 0.1
    """τ of softmax(Q / τ), by which a trained policy draws actions where it is asked to draw them."""

    @property
    def length(self) -> int:
        """Steps of a drawn sequence: burn-in, what is learned from, and one to bootstrap from."""
        return self.burn_in + self.bptt_length + 1

    @property
    def replay(self) -> SequenceReplay:
        """The replay of these sizes.

        Raises:
            ConfigError: sizes that do not fit together.
        """
        return sized_replay(
            self, "burn_in + bptt_length + 1", exponent=self.priority_exponent, correction=self.importance_exponent
        )


@dataclass(frozen=True)
class DRQNConfig(R2D2Config):
    """DRQN: R2D2's agent with uniform replay, sequences from random steps, zero states and an annealed ε."""

    rollout_length: int = 4
    updates: int = 1
    period: int = 1
    burn_in: int = 0
    bptt_length: int = 10
    start: Literal["stored", "zero"] = "zero"
    n_step: int = 1
    discount: float = 0.99
    double: bool = False
    dueling: bool = False
    head_size: int = 0
    rescale: bool = False
    priority_exponent: float = 0.0
    importance_exponent: float = 0.0
    exploration: Literal["ladder", "anneal"] = "anneal"


def check(config: R2D2Config, network: NetworkConfig) -> None:
    """Refuses sizes and ranges that cannot work.

    Raises:
        ConfigError: what is wrong, why, and how to mend it.
    """
    for settings in (config, network):
        for name, value in vars(settings).items():
            require(not isinstance(value, float) or math.isfinite(value), f"{name} = {value}", "It has to be finite.")
    counted = ("num_envs", "rollout_length", "updates", "batch_size", "period", "bptt_length", "n_step")
    for name in (*counted, "target_period", "max_skipped_updates"):
        require(getattr(config, name) >= 1, f"{name} = {getattr(config, name)}", "It has to be at least 1.")
    for name in ("burn_in", "head_size", "learning_starts", "epsilon_exponent"):
        require(getattr(config, name) >= 0, f"{name} = {getattr(config, name)}", "It must not be negative.")
    T, period = config.rollout_length, config.period
    require(
        T % period == 0,
        f"rollout_length = {T} is not divisible by period = {period}.",
        "Whole pieces are stored.",
        f"Take a rollout_length that is a multiple of {period}.",
    )
    shares = ("discount", "priority_mixture", "epsilon", "epsilon_start", "epsilon_end", "epsilon_fraction")
    for name in (*shares, "priority_exponent", "importance_exponent"):
        value = getattr(config, name)
        require(0.0 <= value <= 1.0, f"{name} = {value}", "It has to lie between 0.0 and 1.0.")
    for name in ("learning_rate", "adam_epsilon", "temperature"):
        require(getattr(config, name) > 0, f"{name} = {getattr(config, name)}", "It has to be positive.")
    clip = config.gradient_clip
    require(clip is None or clip > 0, f"gradient_clip = {clip}", "It has to be positive; leave it out for none.")
    check_clipping(config.gradient_clip_by)
    require(
        not config.refresh or (config.start == "stored" and config.burn_in > 0 and config.burn_in % period == 0),
        f"refresh = true with start = {config.start!r}, burn_in = {config.burn_in}, period = {period}.",
        "What burn-in reaches replaces the state stored at that very step.",
        f'Take start = "stored" and a burn_in that is a multiple of {period}, or turn refresh off.',
    )
    _ = config.replay
