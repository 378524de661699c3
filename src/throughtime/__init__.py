"""Memory for deep-RL agents: recurrent networks trained through time, and proof that the memory works.

    import throughtime as tt

    agent = tt.PPO(tt.make("t-maze", length=50), memory="gru", hidden_size=64)
    run = agent.train(steps=1_000_000, seed=0, out="runs/maze")
    print(run.evaluate(episodes=1_000).mean)

Names are imported when they are first used, so that `import throughtime` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from throughtime.agents import DRQNConfig as DRQNConfig
    from throughtime.agents import NetworkConfig as NetworkConfig
    from throughtime.agents import Policy as Policy
    from throughtime.agents import PolicyState as PolicyState
    from throughtime.agents import PPOConfig as PPOConfig
    from throughtime.agents import R2D2Config as R2D2Config
    from throughtime.agents import RudderPPOConfig as RudderPPOConfig
    from throughtime.agents import SACConfig as SACConfig
    from throughtime.agents import TD3Config as TD3Config
    from throughtime.api import DRQN as DRQN
    from throughtime.api import PPO as PPO
    from throughtime.api import R2D2 as R2D2
    from throughtime.api import SAC as SAC
    from throughtime.api import TD3 as TD3
    from throughtime.api import RudderPPO as RudderPPO
    from throughtime.api import load as load
    from throughtime.core import CheckpointError as CheckpointError
    from throughtime.core import ConfigError as ConfigError
    from throughtime.core import EnvironmentStepError as EnvironmentStepError
    from throughtime.core import NonFiniteError as NonFiniteError
    from throughtime.core import PreflightError as PreflightError
    from throughtime.core import RunFolderError as RunFolderError
    from throughtime.core import ThroughtimeError as ThroughtimeError
    from throughtime.core.version import __version__ as __version__
    from throughtime.envs import ENVIRONMENTS as ENVIRONMENTS
    from throughtime.envs import Environment as Environment
    from throughtime.envs import make as make
    from throughtime.envs import to_gymnasium as to_gymnasium
    from throughtime.gradients import unfold as unfold
    from throughtime.insight import draw as draw
    from throughtime.memory import MEMORIES as MEMORIES
    from throughtime.memory import Memory as Memory
    from throughtime.memory import make_memory as make_memory
    from throughtime.proof import prove as prove
    from throughtime.proof.memcheck import memcheck as memcheck
    from throughtime.runs import Run as Run
    from throughtime.runs import RunConfig as RunConfig
    from throughtime.runs import evaluate as evaluate
    from throughtime.runs import load_run as load_run
    from throughtime.runs import resume as resume
    from throughtime.runs import train as train

_HOMES = {
    "agents": (
        "DRQNConfig",
        "NetworkConfig",
        "Policy",
        "PolicyState",
        "PPOConfig",
        "R2D2Config",
        "RudderPPOConfig",
        "SACConfig",
        "TD3Config",
    ),
    "api": ("DRQN", "PPO", "R2D2", "RudderPPO", "SAC", "TD3", "load"),
    "core": (
        "CheckpointError",
        "ConfigError",
        "EnvironmentStepError",
        "NonFiniteError",
        "PreflightError",
        "RunFolderError",
        "ThroughtimeError",
    ),
    "envs": ("ENVIRONMENTS", "Environment", "make", "to_gymnasium"),
    "gradients": ("unfold",),
    "insight": ("draw",),
    "memory": ("MEMORIES", "Memory", "make_memory"),
    "proof": ("prove",),
    "proof.memcheck": ("memcheck",),
    "runs": ("Run", "RunConfig", "evaluate", "load_run", "resume", "train"),
    "core.version": ("__version__",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'throughtime' has no attribute {name!r}")
    return getattr(import_module(f"throughtime.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
