"""The settings of recurrent PPO, checked before anything is compiled."""

import math
from dataclasses import dataclass
from typing import Any

from throughtime.agents.network import NetworkConfig
from throughtime.core import require
from throughtime.envs import Box, Space
from throughtime.gradients import Clipping, check_clipping


@dataclass(frozen=True)
class PPOConfig:
    """Recurrent PPO."""

    num_envs: int = 64
    """Environments stepped together (B)."""
    rollout_length: int = 128
    """Steps of each environment between updates (T)."""
    bptt_length: int | None = None
    """Steps that gradients flow back through; divides rollout_length. Default: all of it."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 4
    """Gradient steps a pass; divides the number of sequences, num_envs · rollout_length / bptt_length."""
    learning_rate: float = 1e-3
    """Adam's, at the start."""
    anneal: bool = True
    """Lowers the learning rate linearly to zero over the run."""
    discount: float = 0.99
    """γ."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    clip: float = 0.2
    """ε: the policy ratio is clipped to 1 ± ε."""
    value_clip: float | None = None
    """Clips the value's change per update to ± this; default: off."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    entropy_weight: float = 0.01
    """Weight of the entropy bonus."""
    exploring_starts: float = 0.0
    """Share of episodes whose first action is drawn from all that are allowed, each as likely, in training alone
    (exploring starts: Sutton & Barto 2018, section 5.3, who draw the state too). For what has to be fetched first and
    pays only those who have learned to use it. There is no importance weight: each action counts as often as it was
    tried, so that one that has become improbable can come back. At a share of 1 logits move with advantages, as by
    the natural gradient; below it what the policy does anyway counts for more, and what is only a little better may
    not win. Returns in training, and the value of a first observation, are of acting so."""
    gradient_clip: float | None = 0.5
    """Threshold of gradient clipping; none to turn it off. For adaptive clipping a ratio, 0.01 to 0.16."""
    gradient_clip_by: Clipping = "norm"
    """By global norm (keeps the direction), value by value, layer by layer, or adaptively (relative to each weight)."""
    max_skipped_updates: int = 10
    """Updates with a NaN or infinite gradient are skipped; so many of them in a row stop the run."""
    target_kl: float | None = None
    """Stops an iteration's updates once the approximate KL exceeds 1.5 times this; default: off."""
    normalise_returns: bool = False
    """Divides rewards by the running standard deviation of the discounted return."""


def check(config: PPOConfig, network: NetworkConfig, actions: Space) -> None:
    """Refuses sizes and ranges that cannot work, and settings that would do nothing.

    Raises:
        ConfigError: what is wrong, why, and how to mend it.
    """
    check_on_policy(config, network, actions)
    require(config.clip > 0, f"clip = {config.clip}", "It has to be positive.")
    for name in ("value_clip", "target_kl"):
        value = getattr(config, name)
        require(value is None or value > 0, f"{name} = {value}", "It has to be positive; leave it out for none.")
    share = config.exploring_starts
    require(0.0 <= share <= 1.0, f"exploring_starts = {share}", "It is a share of the episodes, from 0.0 to 1.0.")
    require(
        not share or not isinstance(actions, Box),
        f"exploring_starts = {share} for continuous actions.",
        "It draws from all actions alike, and there are infinitely many.",
        "Leave it out; network.initial_log_std says how widely they explore.",
    )
    require(
        not share or config.target_kl is None,
        f"exploring_starts = {share} with target_kl = {config.target_kl}.",
        "The divergence is estimated from the policy's own draws, and these are not.",
        "Leave one of them out; a smaller clip keeps steps small, too.",
    )
    require(config.entropy_weight >= 0, f"entropy_weight = {config.entropy_weight}", "It must not be negative.")


def check_on_policy(config: Any, network: NetworkConfig, actions: Space) -> None:
    """What `check` asks of every algorithm that learns from its last rollout.

    Raises:
        ConfigError: what is wrong, why, and how to mend it.
    """
    for name in ("num_envs", "rollout_length", "epochs", "minibatches", "max_skipped_updates"):
        require(getattr(config, name) >= 1, f"{name} = {getattr(config, name)}", "It has to be at least 1.")
    T = config.rollout_length
    k = T if config.bptt_length is None else config.bptt_length
    require(k >= 1, f"bptt_length = {k}", "It has to be at least 1.")
    require(
        k <= T,
        f"bptt_length = {k} is longer than rollout_length = {T}.",
        "Gradients cannot flow back further than the rollout that was recorded.",
        f"Raise rollout_length to {k}, or lower bptt_length to {T} or less.",
    )
    require(
        T % k == 0,
        f"rollout_length = {T} is not divisible by bptt_length = {k}.",
        "Each rollout is cut into whole sequences.",
        f"Take a bptt_length that divides {T}: {_divisors(T)}.",
    )
    sequences = T // k * config.num_envs
    require(
        sequences % config.minibatches == 0,
        f"{sequences} sequences cannot be dealt into {config.minibatches} equal minibatches.",
        f"There are num_envs · rollout_length / bptt_length = {config.num_envs} · {T} / {k} sequences.",
        f"Take a number of minibatches that divides {sequences}: {_divisors(sequences)}.",
    )
    for name, low, high in (("discount", 0.0, 1.0), ("gae_lambda", 0.0, 1.0)):
        value = getattr(config, name)
        require(low <= value <= high, f"{name} = {value}", f"It has to lie between {low} and {high}.")
    require(config.learning_rate > 0, f"learning_rate = {config.learning_rate}", "It has to be positive.")
    require(
        config.gradient_clip is None or config.gradient_clip > 0,
        f"gradient_clip = {config.gradient_clip}",
        "It has to be positive; leave it out for none.",
    )
    for settings in (config, network):
        for name, value in vars(settings).items():
            require(not isinstance(value, float) or math.isfinite(value), f"{name} = {value}", "It has to be finite.")
    require(config.value_weight >= 0, f"value_weight = {config.value_weight}", "It must not be negative.")
    check_clipping(config.gradient_clip_by)
    require(
        all(width >= 1 for width in network.encoder),
        f"encoder = {list(network.encoder)}",
        "Each width has to be at least 1.",
    )
    require(
        network.activation in ("tanh", "relu"),
        f"activation = {network.activation!r}",
        "The encoder knows tanh and relu.",
    )
    require(
        isinstance(actions, Box) or network.initial_log_std == NetworkConfig.initial_log_std,
        f"initial_log_std = {network.initial_log_std} for discrete actions",
        "It is the width of a normal distribution; these actions have probabilities instead.",
        "Leave it out.",
    )


def _divisors(n: int) -> str:
    return ", ".join(str(d) for d in range(1, n + 1) if n % d == 0)
