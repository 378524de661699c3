"""The algorithms by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from throughtime.agents.agent import Agent, AlgorithmConfig
from throughtime.agents.continuous_config import SACConfig, TD3Config
from throughtime.agents.instruct import Instruct
from throughtime.agents.instruct_config import InstructConfig
from throughtime.agents.model_learner import ModelLearner
from throughtime.agents.model_learner_config import WorldModelAgentConfig
from throughtime.agents.network import NetworkConfig
from throughtime.agents.planning import PlanningAgent
from throughtime.agents.planning_config import PlanningConfig
from throughtime.agents.ppo import PPO
from throughtime.agents.ppo_config import PPOConfig
from throughtime.agents.r2d2 import R2D2
from throughtime.agents.r2d2_config import DRQNConfig, R2D2Config
from throughtime.agents.rudder_ppo import RudderPPO, RudderPPOConfig
from throughtime.agents.sac import SAC
from throughtime.agents.td3 import TD3
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import Environment


class Algorithm(NamedTuple):
    """What is known of an algorithm before an agent is built."""

    title: str  # as people write it
    config: type[Any]  # of its settings, an `AlgorithmConfig`
    build: Callable[[Environment, Any, NetworkConfig], Agent]
    summary: str
    network: NetworkConfig = NetworkConfig()  # where none was tuned


SEPARATE = NetworkConfig(separate_critic=True, activation="relu")

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm("recurrent PPO", PPOConfig, PPO, "on policy, clipped policy gradients; any actions"),
    "rudder-ppo": Algorithm(
        "RUDDER-PPO", RudderPPOConfig, RudderPPO, "recurrent PPO on redistributed rewards, for rewards that come late"
    ),
    "r2d2": Algorithm("R2D2", R2D2Config, R2D2, "recurrent Q-learning, prioritised sequences; discrete actions"),
    "drqn": Algorithm("DRQN", DRQNConfig, R2D2, "recurrent Q-learning, uniform replay, zero states; discrete actions"),
    "sac": Algorithm(
        "SAC", SACConfig, SAC, "recurrent soft actor-critic, replay of sequences; continuous actions", SEPARATE
    ),
    "td3": Algorithm(
        "TD3", TD3Config, TD3, "recurrent, deterministic actor, replay of sequences; continuous actions", SEPARATE
    ),
    "planner": Algorithm(
        "planning in a world model",
        PlanningConfig,
        PlanningAgent,
        "learns a world model from a replay of sequences and plans every action in it; any one action",
        NetworkConfig(hidden_size=32),
    ),
    "world-model": Algorithm(
        "world model", WorldModelAgentConfig, ModelLearner, "learns to predict from random actions; any actions"
    ),
    "instruct": Algorithm(
        "imitation", InstructConfig, Instruct, "imitation of the environment's expert, in the learner's own states"
    ),
}
"""Every algorithm; a run's config has one table of settings for each (`table_of`)."""


def algorithm(name: str) -> Algorithm:
    """An algorithm by name.

    Raises:
        ConfigError: there is none of that name (with a suggestion).
    """
    if name not in ALGORITHMS:
        raise ConfigError(f"There is no algorithm {name!r}.", "", did_you_mean(name, ALGORITHMS))
    return ALGORITHMS[name]


def table_of(name: str) -> str:
    """The name of an algorithm's settings in a config: `rudder_ppo` of rudder-ppo."""
    return name.replace("-", "_")


def algorithm_of(config: AlgorithmConfig) -> str:
    """The name of the algorithm that these are the settings of."""
    return next(name for name, known in ALGORITHMS.items() if known.config is type(config))


def build(env: Environment, config: AlgorithmConfig, network: NetworkConfig) -> Agent:
    """The agent of these settings.

    Args:
        env: the environment.
        config: the algorithm's settings; their type says which one.
        network: the policy's network.

    Raises:
        ConfigError: settings that cannot work, together or in this environment.
    """
    return ALGORITHMS[algorithm_of(config)].build(env, config, network)
