"""What a run is made of: one frozen dataclass, the same in Python, on the command line and in config.toml."""

from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable

from throughtime.agents import NetworkConfig, PPOConfig
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import ENVIRONMENTS, Environment, Revealed, make, make_from_file, name_of
from throughtime.envs.pomdp_file import PREFIX
from throughtime.memory import MEMORIES
from throughtime.runs.toml import from_toml

EVALUATION_SEED = 1_000_003  # training seeds stay below, so that evaluation episodes are fresh


@dataclass(frozen=True)
class EnvConfig:
    """The environment."""

    name: str = "t-maze"
    """A name that `throughtime envs` lists, or one of the forms that it names, such as pomdp:FILE and gym:ID."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Its options, e.g. length for t-maze."""
    reveal: bool = False
    """Shows the hidden state beside the observation: what a policy could do if nothing were hidden."""

    def build(self) -> Environment:
        """The environment itself.

        Raises:
            ConfigError: an unknown name or option, an impossible value, or code that the user did not name.
        """
        env = make_from_file(self.name, **self.options)
        return Revealed(env) if self.reveal else env

    def pinned(self) -> "EnvConfig":
        """The same, found from anywhere: of `pomdp:FILE` the absolute path, and the checksum of the file as it is now.

        Raises:
            ConfigError: as `build`.
        """
        env = self.build()
        return self.of(env) if self.name.startswith(PREFIX) else self

    @classmethod
    def of(cls, env: Environment) -> "EnvConfig":
        """The name and options by which the registry builds `env` (the name alone where it does not know it)."""
        if isinstance(env, Revealed):
            return replace(cls.of(env.env), reveal=True)
        return cls(*name_of(env))


@dataclass(frozen=True)
class RunConfig:
    """All settings of one training."""

    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    total_steps: int = 1_000_000
    """Environment steps, rounded down to whole iterations (num_envs · rollout_length)."""
    seed: int = 0
    """Of weights, environments and actions."""
    evaluation_episodes: int = 1000
    """Fresh episodes that the final policy is scored on."""
    checkpoint_seconds: float = 60.0
    """Wall-clock seconds between checkpoints; one is always written at the end."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints stay."""
    flow_every: int | None = None
    """Iterations from one look through the gradient microscope to the next; default: none."""

    def __post_init__(self):
        for name, holds, why in (
            ("evaluation_episodes", self.evaluation_episodes >= 1, "A mean needs at least one episode."),
            ("keep_checkpoints", self.keep_checkpoints >= 1, "A run needs its newest to resume."),
            ("checkpoint_seconds", self.checkpoint_seconds >= 0, "It is a span of time."),
            ("flow_every", self.flow_every is None or self.flow_every >= 1, "It is a number of iterations."),
            ("seed", 0 <= self.seed < EVALUATION_SEED, f"Seeds from {EVALUATION_SEED} on are for evaluation."),
        ):
            if not holds:
                raise ConfigError(f"{name} = {getattr(self, name)}", why, "Give a number in range.")

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.ppo.num_envs * self.ppo.rollout_length

    @property
    def iterations(self) -> int:
        """Iterations of the whole run.

        Raises:
            ConfigError: a budget of less than one iteration.
        """
        count = self.total_steps // self.steps_per_iteration
        if count < 1:
            raise ConfigError(
                f"total_steps = {self.total_steps} is less than one iteration.",
                f"An iteration takes num_envs · rollout_length = {self.steps_per_iteration} steps.",
                "Raise total_steps, or lower ppo.num_envs or ppo.rollout_length.",
            )
        return count


def default_config(env: str = "t-maze") -> RunConfig:
    """The tuned settings for an environment, or the general ones where none were tuned.

    Args:
        env: a name that `make` knows. For `pomdp:FILE` the discount is the file's own.

    Raises:
        ConfigError: a file that is missing or wrong.
    """
    if env.startswith(PREFIX):
        config = from_toml(_defaults("pomdp").read_text(encoding="utf-8"), RunConfig)
        return replace(config, env=EnvConfig(env), ppo=replace(config.ppo, discount=make(env).discount))
    if env not in ENVIRONMENTS:
        return _general_config(env)
    file = _defaults(env)
    if not file.is_file():
        return RunConfig(env=EnvConfig(env))
    return from_toml(file.read_text(encoding="utf-8"), RunConfig)


def _defaults(name: str) -> Traversable:
    return resources.files("throughtime.runs").joinpath("defaults", f"{name}.toml")


def _general_config(env: str) -> RunConfig:
    """For environments of others: their scales are not known, and those in Python take their time."""
    return RunConfig(
        env=EnvConfig(env),
        network=NetworkConfig(normalise_observations=not env.startswith("minigrid:")),
        ppo=PPOConfig(normalise_returns=True),
        evaluation_episodes=100,
    )


def with_memory(network: NetworkConfig, memory: str, **options: int | float | bool | str) -> NetworkConfig:
    """The same network on another memory: options that the new one does not have are dropped.

    Args:
        network: the network.
        memory: the new memory's name.
        **options: its options, added to those that stay.

    Raises:
        ConfigError: no such memory.
    """
    if memory not in MEMORIES:
        raise ConfigError(f"There is no memory {memory!r}.", "", did_you_mean(memory, MEMORIES))
    kept = {k: v for k, v in network.memory_options.items() if k in MEMORIES[memory].options}
    return replace(network, memory=memory, memory_options={**kept, **options})
