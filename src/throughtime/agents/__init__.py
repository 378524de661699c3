"""Floor 5: agents. They compose memory, environments, gradients and the functions of `rl`."""

from throughtime.agents.flow import Microscope as Microscope
from throughtime.agents.network import NetworkConfig as NetworkConfig
from throughtime.agents.policy import Policy as Policy
from throughtime.agents.policy import PolicyState as PolicyState
from throughtime.agents.ppo import PPO as PPO
from throughtime.agents.ppo import TrainState as TrainState
from throughtime.agents.ppo_config import PPOConfig as PPOConfig
