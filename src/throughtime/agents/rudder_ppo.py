"""Recurrent PPO on redistributed rewards: RUDDER's return decomposition, learned beside the policy.

    rollout → complete episodes → the predictor learns from them → r'_t in the place of r_t → advantages → PPO

It is PPO but for the rewards that advantages are made of, and bit for bit PPO as long as the predictor is not within
its bound. Only episodes that begin within a rollout and terminate within it are decomposed: of one that was truncated
the return is not known, and neither is it of one that goes on. Those keep their rewards.

Reference: Arjona-Medina, Gillhofer, Widrich, Unterthiner, Brandstetter & Hochreiter 2019, "RUDDER: Return decomposition
for delayed rewards", NeurIPS, arXiv 1806.07857.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.agents.metrics import Metrics
from throughtime.agents.network import NetworkConfig
from throughtime.agents.ppo import PPO, TrainState
from throughtime.agents.ppo_config import PPOConfig
from throughtime.agents.rollout import Rollout
from throughtime.core import ConfigError
from throughtime.credit import (
    DecompositionConfig,
    DecompositionState,
    ReturnDecomposition,
    Status,
    action_features,
    action_width,
    complete_episodes,
    put_back,
)
from throughtime.credit.decomposition import ON
from throughtime.envs import Environment


@dataclass(frozen=True)
class RudderPPOConfig(PPOConfig):
    """Recurrent PPO on redistributed rewards."""

    episodes: int | None = None
    """Complete episodes of each rollout that are decomposed, at most; by default as many as there are where all have
    the greatest length. The others keep their rewards."""
    decomposition: DecompositionConfig = field(
        default_factory=lambda: DecompositionConfig(updates=10, capacity=512, keep="latest")
    )
    """How returns are decomposed."""


class Credit(NamedTuple):
    """What is known of where the rewards come from."""

    decomposition: DecompositionState
    key: PRNGKeyArray  # for the draws of lessons


class RudderPPO(PPO):
    """Recurrent PPO on redistributed rewards, on one environment.

    Args:
        env: one whose episodes have a greatest length, no longer than a rollout.
        config: the algorithm.
        network: the policy's network.

    Raises:
        ConfigError: sizes that do not fit together, or an environment without a longest episode.
    """

    config: RudderPPOConfig

    def __init__(self, env: Environment, config: RudderPPOConfig, network: NetworkConfig):
        super().__init__(env, config, network)
        longest, S = env.max_episode_steps, config.rollout_length
        if longest is None:
            raise ConfigError(
                f"{env.name} has no longest episode.",
                "A return is redistributed over a complete episode.",
                "Give it a time limit, or train with --algo ppo.",
            )
        if longest > S:
            raise ConfigError(
                f"rollout_length = {S} is shorter than an episode of {env.name}, {longest} steps.",
                "Only episodes that begin and end within a rollout are redistributed.",
                f"Take rollout_length = {longest} or more.",
            )
        if config.episodes is not None and config.episodes < 1:
            raise ConfigError(f"episodes = {config.episodes}", "Nothing would be decomposed.", "Give 1 or more.")
        self.longest = longest
        self.episodes = config.episodes or config.num_envs * (S // longest)
        features = math.prod(env.observation_space.shape)
        self.decomposition = ReturnDecomposition(
            config.decomposition, features, action_width(env.action_space), longest
        )

    def init(self, seed: int | Array) -> TrainState:
        """A fresh policy, fresh environments, and a predictor without lessons."""
        key_start, key = jax.random.split(jax.random.split(jax.random.key(seed), 4)[3])  # PPO has the other three
        return super().init(seed)._replace(credit=Credit(self.decomposition.start(key_start), key))

    def assign(self, state: TrainState, rollout: Rollout) -> tuple[Float[Array, "T B"], Credit]:
        """Learns from the rollout's complete episodes, and redistributes their rewards once that is good enough.

        Args:
            state: before the iteration.
            rollout: of the iteration.
        """
        credit: Credit = state.credit
        S, B = rollout.rewards.shape
        episodes, places = complete_episodes(
            rollout.observations.reshape(S, B, -1),
            rollout.successors.reshape(S, B, -1),
            action_features(self.env.action_space, state.policy.to_environment(rollout.actions)),
            rollout.rewards,
            rollout.resets,
            rollout.terminated,
            self.episodes,
            self.longest,
        )
        key, key_learn = jax.random.split(credit.key)
        learned = self.decomposition.learn(credit.decomposition, episodes, key_learn)
        moved = self.decomposition.rewards(learned, episodes)
        return put_back(rollout.rewards, episodes, places, moved), Credit(learned, key)

    def measured(self, metrics: Metrics, credit: Credit) -> Metrics:
        """The metrics of an iteration, with whether rewards were redistributed, and why (not)."""
        known = credit.decomposition
        return metrics._replace(
            redistributed=(self.decomposition.verdict(known) == ON).astype(jnp.int32),
            decomposition_error=self.decomposition.error(known),
            lessons=known.lessons.held,
        )

    def status(self, state: TrainState) -> Status:
        """Whether rewards are redistributed, in words."""
        return self.decomposition.status(state.credit.decomposition)
