"""The settings of recurrent SAC and TD3, checked before anything is compiled."""

import math
from dataclasses import dataclass
from typing import Literal

from throughtime.agents.network import NetworkConfig
from throughtime.core import require
from throughtime.gradients import Clipping, check_clipping
from throughtime.rl import SequenceReplay


@dataclass(frozen=True)
class ContinuousConfig:
    """What SAC and TD3 have in common: acting into a replay, and learning from sequences of it."""

    num_envs: int = 8
    """Environments stepped together (B)."""
    rollout_length: int = 8
    """Steps of each environment between updates; stored sequences begin so many steps apart."""
    updates: int = 8
    """Gradient steps after each rollout: num_envs · rollout_length / updates environment steps for each."""
    batch_size: int = 32
    """Sequences of each gradient step."""
    bptt_length: int = 16
    """Steps of a sequence that are learned from, and that gradients flow back through."""
    burn_in: int = 0
    """Steps before those that only bring the memory up to date: no gradient flows through them."""
    start: Literal["stored", "zero"] = "stored"
    """The memory's state at the beginning of a sequence: as it was when acting, or an episode's initial one."""
    replay_steps: int = 100_000
    """Environment steps that the replay keeps, of all environments together (rounded up to whole rollouts)."""
    learning_starts: int = 1_000
    """Environment steps of uniformly random actions before anything is learned."""
    noise_correlation: float = 0.0
    """φ: how far the noise on one step's action goes on in the next one's (Ornstein-Uhlenbeck); 0 for white noise."""
    actor_learning_rate: float = 3e-4
    """Adam's, of the actor."""
    critic_learning_rate: float = 3e-4
    """Adam's, of the critics."""
    discount: float = 0.99
    """γ."""
    polyak: float = 0.005
    """τ: how far the target networks move towards the learned ones at each of their updates."""
    policy_delay: int = 1
    """The actor and the target networks are updated at every so many gradient steps of the critics."""
    reward_scale: float = 1.0
    """Rewards are multiplied by this in learning (returns are reported as they are)."""
    head: tuple[int, ...] = (64,)
    """Widths of the layers between each memory and its outputs; their activation is the encoder's."""
    gradient_clip: float | None = None
    """Threshold of gradient clipping, of actor and critics apart; none to turn it off."""
    gradient_clip_by: Clipping = "norm"
    """By global norm (keeps the direction), value by value, layer by layer, or adaptively (relative to each weight)."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""


@dataclass(frozen=True)
class SACConfig(ContinuousConfig):
    """Recurrent soft actor-critic."""

    temperature: float = 0.2
    """α at the start: what a nat of entropy is worth, in scaled rewards."""
    adapt_temperature: bool = True
    """Moves α so that the policy's entropy stays near target_entropy."""
    temperature_learning_rate: float = 3e-4
    """Adam's, of log α."""
    target_entropy: float | None = None
    """H̄ in nats, of actions in units where the range is [-1, 1]; default: −(numbers of an action)."""


@dataclass(frozen=True)
class TD3Config(ContinuousConfig):
    """Recurrent twin delayed deep deterministic policy gradient."""

    policy_delay: int = 2
    """The actor and the target networks are updated at every so many gradient steps of the critics."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions in training, in units where the range is [-1, 1]."""
    target_noise: float = 0.2
    """Standard deviation of the noise that smooths the target policy."""
    target_noise_clip: float = 0.5
    """That noise is clipped to ± this."""


def check(config: ContinuousConfig, network: NetworkConfig) -> None:
    """Refuses sizes and ranges that cannot work.

    Raises:
        ConfigError: what is wrong, why, and how to mend it.
    """
    counts = ["num_envs", "rollout_length", "updates", "batch_size", "bptt_length", "replay_steps", "policy_delay"]
    for name in (*counts, "max_skipped_updates"):
        require(getattr(config, name) >= 1, f"{name} = {getattr(config, name)}", "It has to be at least 1.")
    for name in ("burn_in", "learning_starts"):
        require(getattr(config, name) >= 0, f"{name} = {getattr(config, name)}", "It must not be negative.")
    for settings in (config, network):
        for name, value in vars(settings).items():
            require(not isinstance(value, float) or math.isfinite(value), f"{name} = {value}", "It has to be finite.")
    positive = ["actor_learning_rate", "critic_learning_rate", "reward_scale", "polyak"]
    if isinstance(config, SACConfig):
        positive += ["temperature", "temperature_learning_rate"]
    if isinstance(config, TD3Config):
        positive += ["exploration_noise", "target_noise", "target_noise_clip"]
    for name in positive:
        require(getattr(config, name) > 0, f"{name} = {getattr(config, name)}", "It has to be positive.")
    for name in ("discount", "polyak"):
        value = getattr(config, name)
        require(0 <= value <= 1, f"{name} = {value}", "It has to lie between 0 and 1.")
    require(
        0 <= config.noise_correlation < 1,
        f"noise_correlation = {config.noise_correlation}",
        "0 is white noise, and with 1 it would never change.",
        "Take at least 0 and less than 1: with φ it pushes one way for about 1 / (1 − φ) steps.",
    )
    require(
        config.start in ("stored", "zero"),
        f"start = {config.start!r}",
        "A sequence begins with the stored state or with zero, an episode's initial one.",
        "Write stored or zero.",
    )
    require(
        config.gradient_clip is None or config.gradient_clip > 0,
        f"gradient_clip = {config.gradient_clip}",
        "It has to be positive; leave it out for none.",
    )
    check_clipping(config.gradient_clip_by)
    _ = replay_of(config)
    for name, widths in (("encoder", network.encoder), ("head", config.head)):
        require(all(width >= 1 for width in widths), f"{name} = {list(widths)}", "Each width has to be at least 1.")
    require(
        network.activation in ("tanh", "relu"),
        f"activation = {network.activation!r}",
        "The encoder knows tanh and relu.",
    )


def replay_of(config: ContinuousConfig) -> SequenceReplay:
    """The replay of these sizes: uniform, a sequence for each rollout.

    Raises:
        ConfigError: no sequence would ever be whole.
    """
    length, period = config.burn_in + config.bptt_length, config.rollout_length
    capacity = -(-config.replay_steps // (config.num_envs * period)) * period
    require(
        length <= capacity,
        f"replay_steps = {config.replay_steps} is too few.",
        f"A sequence has burn_in + bptt_length = {length} steps, and there are {config.num_envs} environments.",
        f"Raise replay_steps to {-(-length // period) * period * config.num_envs} or more.",
    )
    return SequenceReplay(capacity, period, length, exponent=0.0, correction=0.0)
