"""The library's face: train, evaluate, save, load and act in a few lines."""

import os
from dataclasses import fields, replace
from typing import Any, ClassVar

from throughtime import agents
from throughtime.agents import NetworkConfig, Policy
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import Environment
from throughtime.runs import EnvConfig, Progress, Run, RunConfig, default_config, load_run, train, with_memory
from throughtime.runs.toml import from_dict, to_dict
from throughtime.runs.train import ProgressCallback

__all__ = ["DRQN", "PPO", "R2D2", "SAC", "TD3", "Instruct", "Progress", "RudderPPO", "load"]


class Trainer:
    """An algorithm on an environment, with its tuned settings unless told otherwise: `tt.PPO` and the others."""

    algo: ClassVar[str]

    def __init__(self, env: Environment, memory: str | None = None, **settings: Any):
        self.env = env
        self.config = _configure(self.algo, type(self).__name__, env, memory, settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.env}, memory={self.config.network.memory!r})"

    def train(
        self,
        steps: int | None = None,
        *,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Run:
        """Trains a fresh policy.

        Args:
            steps: environment steps, rounded down to whole iterations; by default as tuned.
            seed: of weights, environments and actions.
            out: the run folder to create; None keeps nothing on disk.
            overwrite: replaces an older run in `out`.
            progress: called after each chunk of about half a second.

        Returns:
            The run: `run.policy`, `run.evaluate(episodes)`, `run.metrics`.
        """
        config = replace(self.config, seed=seed, total_steps=self.config.total_steps if steps is None else steps)
        return train(config, out, env=self.env, overwrite=overwrite, progress=progress)


class PPO(Trainer):
    """Recurrent PPO on an environment, with its tuned settings unless told otherwise.

        agent = tt.PPO(tt.make("t-maze", length=50), memory="gru", hidden_size=64)
        run = agent.train(steps=1_000_000, seed=0, out="runs/maze")

    Args:
        env: an environment; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `PPOConfig` or `NetworkConfig` by its name, such as `learning_rate`, `hidden_size`,
            `bptt_length`, `separate_critic`, `memory_options`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "ppo"


class RudderPPO(Trainer):
    """Recurrent PPO on redistributed rewards (RUDDER), for rewards that come long after what earned them.

        run = tt.RudderPPO(tt.make("key-to-door")).train(seed=0, out="runs/door")

    Args:
        env: an environment whose episodes are no longer than a rollout; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `RudderPPOConfig` or `NetworkConfig` by its name, such as `decomposition`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "rudder-ppo"


class R2D2(Trainer):
    """R2D2, recurrent Q-learning from a prioritised replay of sequences, on an environment of discrete actions.

        agent = tt.R2D2(tt.make("t-maze", length=50), memory="gru", burn_in=20)
        run = agent.train(steps=500_000, seed=0, out="runs/maze-r2d2")

    Args:
        env: an environment; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `R2D2Config` or `NetworkConfig` by its name, such as `n_step`, `burn_in`,
            `replay_steps`, `previous_action`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "r2d2"


class DRQN(Trainer):
    """DRQN: R2D2's agent with uniform replay, sequences from random steps, zero states and an annealed ε.

    Args:
        env: an environment; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `DRQNConfig` or `NetworkConfig` by its name.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "drqn"


class SAC(Trainer):
    """Recurrent soft actor-critic on an environment of continuous actions.

        run = tt.SAC(tt.make("pendulum-positions")).train(seed=0, out="runs/pendulum")

    Args:
        env: an environment; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `SACConfig` or `NetworkConfig` by its name, such as `updates`, `bptt_length`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "sac"


class TD3(Trainer):
    """Recurrent TD3 on an environment of continuous actions.

    Args:
        env: an environment; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `TD3Config` or `NetworkConfig` by its name, such as `exploration_noise`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), or settings that cannot work together.
    """

    algo = "td3"


class Instruct(Trainer):
    """Imitation of an environment's expert in the states that the learner comes to (DAgger).

        run = tt.Instruct(tt.make("instructions")).train(seed=0, out="runs/instructions")

    Args:
        env: an environment with an `expert`; the settings tuned for it are the defaults.
        memory: elman, jordan, lstm, gru, tdnn or none; by default as tuned.
        **settings: any field of `InstructConfig` or `NetworkConfig` by its name, such as `expert_decay`.

    Raises:
        ConfigError: an unknown setting (with a suggestion), an environment without an expert, or settings that cannot
            work together.
    """

    algo = "instruct"


def load(path: str | os.PathLike[str], *, env: Environment | None = None) -> Policy:
    """The final policy of a run. Runs no code from the files.

    Args:
        path: a run folder, or one checkpoint.
        env: the environment, where the run was trained on one that has no name in the registry.

    Returns:
        The policy: `state = policy.initial_state(batch_size)`, `state, action = policy.act(state, obs, reset)`.

    Raises:
        RunFolderError: no run folder.
        CheckpointError: a damaged or foreign checkpoint.
    """
    return load_run(path, env=env).policy


# What other libraries call it.
_ALIASES = {
    "gamma": "discount",
    "n_steps": "rollout_length",
    "num_steps": "rollout_length",
    "n_envs": "num_envs",
    "n_epochs": "epochs",
    "update_epochs": "epochs",
    "num_minibatches": "minibatches",
    "lr": "learning_rate",
    "ent_coef": "entropy_weight",
    "vf_coef": "value_weight",
    "clip_range": "clip",
    "clip_eps": "clip",
    "max_grad_norm": "gradient_clip",
    "lstm_hidden_size": "hidden_size",
    "policy": "memory",
}


def _configure(algo: str, face: str, env: Environment, memory: str | None, settings: dict[str, Any]) -> RunConfig:
    if not isinstance(env, Environment):
        raise ConfigError(
            f"{env!r} is no environment.",
            f"{face} takes the environment first.",
            f'Write tt.{face}(tt.make("t-maze")).',
        )
    config = replace(default_config(env.name, algo), env=EnvConfig.of(env))
    network = config.network if memory is None else with_memory(config.network, memory)
    own = {f.name for f in fields(agents.algorithm(algo).config)}
    others = {f.name for f in fields(NetworkConfig)}
    for name in settings:
        if name not in own | others:
            hint = f"Here it is called {_ALIASES[name]!r}." if name in _ALIASES else did_you_mean(name, own | others)
            raise ConfigError(f"{face} has no setting {name!r}.", "", hint)
    network = replace(network, **{k: v for k, v in settings.items() if k in others})
    config = replace(config, network=network).with_agent(**{k: v for k, v in settings.items() if k in own})
    config = from_dict(to_dict(config), RunConfig)  # checks the types
    config.build(env)  # and that they fit together
    return config
