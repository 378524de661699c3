"""Recurrent soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.agents.continuous import Continuous
from throughtime.agents.continuous_config import SACConfig
from throughtime.agents.continuous_network import TwinCritic, bounded_size
from throughtime.agents.continuous_update import Temperature, Update
from throughtime.agents.network import NetworkConfig
from throughtime.envs import Environment
from throughtime.rl import SquashedGaussian, soft_policy_loss, temperature_loss


class SoftUpdate(Update):
    """SAC's gradient step: a stochastic actor that is paid for its entropy.

    Args:
        config: the settings.
        size: A, numbers of one action.
    """

    target_policy = False

    def __init__(self, config: SACConfig, size: int):
        super().__init__(config)
        self.soft = config
        self.target_entropy = -float(size) if config.target_entropy is None else config.target_entropy

    def successor_actions(
        self, distribution: SquashedGaussian, noise: Float[Array, "L N A"]
    ) -> tuple[Float[Array, "L N A"], Float[Array, "L N"]]:
        """Drawn from the policy as it is."""
        return distribution.sample_with_log_prob(noise)

    def policy_loss(
        self,
        distribution: SquashedGaussian,
        twins: TwinCritic,
        critic_features: Float[Array, "L N H"],
        noise: Float[Array, "L N A"],
        temperature: Float[Array, ""],
    ) -> tuple[Float[Array, ""], Float[Array, "L N"]]:
        """By the reparametrised action, and the smaller critic."""
        actions, log_probs = distribution.sample_with_log_prob(noise)
        return soft_policy_loss(twins.values(critic_features, actions), log_probs, temperature), log_probs

    def fresh_temperature(self) -> Temperature:
        """As configured."""
        log_value = jnp.log(jnp.asarray(self.soft.temperature, jnp.float32))
        return Temperature(log_value, self.optimiser.init(log_value))

    def next_temperature(self, temperature: Temperature | None, log_probs: Float[Array, "L N"]) -> Temperature | None:
        """One step of Adam towards the target entropy; as it is where that is off."""
        if temperature is None or not self.soft.adapt_temperature:
            return temperature
        gradient = jax.grad(temperature_loss)(temperature.log_value, log_probs, self.target_entropy)
        return Temperature(
            *self._descend(temperature.log_value, gradient, temperature.optimiser, self.soft.temperature_learning_rate)
        )


class SAC(Continuous):
    """Recurrent SAC on one environment: pure functions of a `ContinuousState`.

    Args:
        env: the environment; its actions are continuous.
        config: the algorithm.
        network: encoder and memory of both sides.

    Raises:
        ConfigError: discrete actions, or sizes that do not fit together.
    """

    def __init__(self, env: Environment, config: SACConfig, network: NetworkConfig):
        super().__init__(env, config, network, SoftUpdate(config, bounded_size(env.action_space)))
