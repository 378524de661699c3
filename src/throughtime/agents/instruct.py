"""Imitation of an expert that sees the whole state, in the states that the learner comes to: DAgger, compiled.

In every state of a rollout the environment's expert is asked what it would do; the policy learns to say the same by
cross-entropy, through its memory, from what it saw alone:

    L = −mean_t log π(a*_t | o_1 … o_t, a_1 … a_{t−1}) + w_V · ½ (V_t − target_t)²

Who acts is drawn step by step: the expert with probability βⁱ in iteration i, else the learner. Ross, Gordon & Bagnell
2011, "A reduction of imitation learning and structured prediction to no-regret online learning", arXiv 1011.0686,
algorithm 3.1, but for the data: theirs keeps all rollouts and fits a new policy to them in each iteration; here each
rollout serves a few gradient steps and is dropped, for environment and expert are compiled, and the next one costs
less than keeping it. States that a learner drifts to are so learned from as soon as it comes to them, which cloning
the expert's own episodes never does.

Everything but the loss is PPO's: rollout, sequences, stored states, preflight, guard.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from throughtime.agents.agent import Words
from throughtime.agents.metrics import metrics_of
from throughtime.agents.network import NetworkConfig
from throughtime.agents.ppo import PPO, TrainState
from throughtime.agents.ppo_config import check_on_policy
from throughtime.agents.preflight import FORWARD
from throughtime.agents.rollout import Rollout, Sequences
from throughtime.core import ConfigError
from throughtime.envs import Box, Environment, VectorEnvironment
from throughtime.rl import ActionDistribution, approximate_kl, value_loss


class InstructMetrics(NamedTuple):
    """Of one iteration. Losses are means over its gradient steps."""

    episodes: Array
    episode_return: Array  # of episodes that the expert helps in; NaN where none ended
    episode_length: Array
    imitation_loss: Array  # cross-entropy, in nats
    agreement: Array  # share of steps in which the most probable action is the expert's
    value_loss: Array
    entropy: Array
    gradient_norm: Array  # before clipping
    updates: Array
    skipped_updates: Array
    learning_rate: Array
    expert_share: Array  # of the steps that the expert acted in
    first_ratio_error: Array  # as PPO's: 0 up to rounding, or the state boundary is broken


class Instruct(PPO):
    """Imitation on one environment: pure functions of a `TrainState`.

    Args:
        env: the environment, one that has an `expert`.
        config: the algorithm.
        network: the policy's network.

    Raises:
        ConfigError: sizes that do not fit together, or an environment without an expert.
    """

    words = Words(
        forward=tuple(FORWARD.values()),
        replayed="log-probabilities or values",
        broken="The policy would learn from other inputs or memory states than it acts on.",
        calmer="Lower instruct.learning_rate, or set instruct.gradient_clip.",
    )

    def check_settings(self, env: Environment, config: Any, network: NetworkConfig) -> None:
        """Raises ConfigError where the settings cannot work, or nobody is there to be imitated."""
        check_on_policy(config, network, env.action_space)
        if isinstance(env.action_space, Box):
            raise ConfigError(f"{env.name} has continuous actions.", "Imitation is by cross-entropy, of discrete ones.")
        _, states = jax.eval_shape(VectorEnvironment(env, 1).reset, jax.random.key(0))
        if jax.eval_shape(jax.vmap(env.expert), states) is None:
            raise ConfigError(
                f"{env.name} has no expert to imitate.",
                "Imitation asks an expert that sees the whole state what it would do.",
                "Take another algorithm, such as ppo, or an environment with an expert, such as instructions.",
            )

    def expert_share(self, state: TrainState) -> Float[Array, ""]:
        """βⁱ."""
        config: Any = self.config
        return jnp.power(jnp.float32(config.expert_decay), state.iteration.astype(jnp.float32))

    def loss_of(
        self, distribution: ActionDistribution, values: Float[Array, "k N"], batch: Sequences
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Cross-entropy of the expert's actions, and the value's loss; a step's term depends on that step alone."""
        assert batch.wanted is not None
        imitation = -jnp.mean(distribution.log_prob(batch.wanted))
        critic_loss = value_loss(values, batch.values, batch.targets, None)
        log_ratio = jax.lax.stop_gradient(distribution.log_prob(batch.actions) - batch.log_probs)
        same = distribution.mode() == batch.wanted
        info = {
            "policy_loss": imitation,
            "value_loss": critic_loss,
            "entropy": jnp.mean(jax.lax.stop_gradient(distribution.entropy())),
            "approximate_kl": approximate_kl(log_ratio),
            "clip_fraction": jnp.mean(same, dtype=jnp.float32),
            "ratio_error": jnp.max(jnp.abs(jnp.expm1(log_ratio))),
        }
        return imitation + self.config.value_weight * critic_loss, info

    def metrics(
        self,
        state: TrainState,
        rollout: Rollout,
        losses: dict[str, Array],
        learning_rate: Float[Array, ""],
        credit: Any,
    ) -> InstructMetrics:
        """What an iteration measured."""
        del credit
        its = metrics_of(rollout, losses, learning_rate)._asdict()
        its |= {
            "imitation_loss": its["policy_loss"],
            "agreement": its["clip_fraction"],
            "expert_share": self.expert_share(state),
        }
        return InstructMetrics(**{name: its[name] for name in InstructMetrics._fields})
