"""Floor 5: agents. They compose memory, environments, gradients and the functions of `rl`."""

from throughtime.agents.agent import Agent as Agent
from throughtime.agents.agent import AgentState as AgentState
from throughtime.agents.agent import AlgorithmConfig as AlgorithmConfig
from throughtime.agents.agent import policy_key as policy_key
from throughtime.agents.continuous_config import SACConfig as SACConfig
from throughtime.agents.continuous_config import TD3Config as TD3Config
from throughtime.agents.flow import Microscope as Microscope
from throughtime.agents.model_learner_config import WorldModelAgentConfig as WorldModelAgentConfig
from throughtime.agents.network import NetworkConfig as NetworkConfig
from throughtime.agents.policy import Policy as Policy
from throughtime.agents.policy import PolicyState as PolicyState
from throughtime.agents.ppo import PPO as PPO
from throughtime.agents.ppo import TrainState as TrainState
from throughtime.agents.ppo_config import PPOConfig as PPOConfig
from throughtime.agents.r2d2 import R2D2 as R2D2
from throughtime.agents.r2d2_config import DRQNConfig as DRQNConfig
from throughtime.agents.r2d2_config import R2D2Config as R2D2Config
from throughtime.agents.registry import ALGORITHMS as ALGORITHMS
from throughtime.agents.registry import algorithm as algorithm
from throughtime.agents.registry import build as build
from throughtime.agents.registry import table_of as table_of
from throughtime.agents.sac import SAC as SAC
from throughtime.agents.td3 import TD3 as TD3
