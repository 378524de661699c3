"""Recurrent twin delayed deep deterministic policy gradient (TD3; Fujimoto, van Hoof & Meger 2018, arXiv 1802.09477)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.agents.continuous import Continuous
from throughtime.agents.continuous_config import TD3Config
from throughtime.agents.continuous_network import TwinCritic
from throughtime.agents.continuous_update import Update
from throughtime.agents.network import NetworkConfig
from throughtime.envs import Environment
from throughtime.rl import ClippedGaussian, deterministic_policy_loss, smoothed_actions


class DelayedUpdate(Update):
    """TD3's gradient step: a deterministic actor, delayed, and a smoothed target policy.

    Args:
        config: the settings.
    """

    target_policy = True

    def __init__(self, config: TD3Config):
        super().__init__(config)
        self.delayed = config

    def successor_actions(
        self, distribution: ClippedGaussian, noise: Float[Array, "L N A"]
    ) -> tuple[Float[Array, "L N A"], Float[Array, "L N"]]:
        """The target policy's, smoothed by clipped noise."""
        config = self.delayed
        actions = smoothed_actions(distribution.mode(), noise, std=config.target_noise, limit=config.target_noise_clip)
        return actions, jnp.zeros(actions.shape[:-1])

    def policy_loss(
        self,
        distribution: ClippedGaussian,
        twins: TwinCritic,
        critic_features: Float[Array, "L N H"],
        noise: Float[Array, "L N A"],
        temperature: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, "L N"]]:
        """By the first critic's value of the deterministic action."""
        del noise, temperature
        actions = distribution.mode()
        return deterministic_policy_loss(twins.values(critic_features, actions)), jnp.zeros(actions.shape[:-1])


class TD3(Continuous):
    """Recurrent TD3 on one environment: pure functions of a `ContinuousState`.

    Args:
        env: the environment; its actions are continuous.
        config: the algorithm.
        network: encoder and memory of both sides.

    Raises:
        ConfigError: discrete actions, or sizes that do not fit together.
    """

    def __init__(self, env: Environment, config: TD3Config, network: NetworkConfig):
        super().__init__(env, config, network, DelayedUpdate(config), config.exploration_noise)
