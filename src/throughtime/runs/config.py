"""What a run is made of: one frozen dataclass, the same in Python, on the command line and in config.toml."""

from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from throughtime.agents import (
    ALGORITHMS,
    Agent,
    AlgorithmConfig,
    DRQNConfig,
    InstructConfig,
    NetworkConfig,
    PlanningConfig,
    PPOConfig,
    R2D2Config,
    RudderPPOConfig,
    SACConfig,
    TD3Config,
    WorldModelAgentConfig,
    algorithm,
    build,
    table_of,
)
from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import ENVIRONMENTS, Chunks, Environment, Revealed, make, make_from_file, name_of
from throughtime.envs.forms import added_form
from throughtime.envs.pomdp_file import PREFIX
from throughtime.memory import MEMORIES
from throughtime.runs.toml import from_toml

FAMILIES = (PREFIX, "minigrid:")  # whose environments share tuned settings
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
    chunk: int = 1
    """Actions decided at once, and carried out without a look in between (discrete actions, no Python environments)."""

    def build(self) -> Environment:
        """The environment itself.

        Raises:
            ConfigError: an unknown name or option, an impossible value, or code that the user did not name.
        """
        env = make_from_file(self.name, **self.options)
        env = Revealed(env) if self.reveal else env
        return env if self.chunk == 1 else Chunks(env, self.chunk)

    def pinned(self) -> "EnvConfig":
        """The same, found from anywhere: of `pomdp:FILE` and `world:RUN` the absolute path and the present checksum.

        Raises:
            ConfigError: as `build`.
        """
        env = self.build()
        return self.of(env) if self.name.startswith((PREFIX, "world:")) else self

    @classmethod
    def of(cls, env: Environment) -> "EnvConfig":
        """The name and options by which the registry builds `env` (the name alone where it does not know it)."""
        if isinstance(env, Revealed):
            return replace(cls.of(env.env), reveal=True)
        if isinstance(env, Chunks):
            return replace(cls.of(env.env), chunk=env.size)
        return cls(*name_of(env))


@dataclass(frozen=True)
class RunConfig:
    """All settings of one training.

    Of the tables of settings, one for each algorithm, a config has that of its own alone; it is there with its defaults
    where it is left out.
    """

    env: EnvConfig = field(default_factory=EnvConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig | None = None
    sac: SACConfig | None = None
    td3: TD3Config | None = None
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
    algo: str = "ppo"
    """The algorithm: the name of one of the tables."""
    r2d2: R2D2Config | None = None
    drqn: DRQNConfig | None = None
    world_model: WorldModelAgentConfig | None = None
    rudder_ppo: RudderPPOConfig | None = None
    instruct: InstructConfig | None = None
    planner: PlanningConfig | None = None

    def __post_init__(self):
        chosen = algorithm(self.algo)
        others = [name for name in ALGORITHMS if name != self.algo]
        foreign = [name for name in others if getattr(self, table_of(name)) is not None]
        if foreign:
            raise ConfigError(
                f"There are settings of {foreign[0]} beside algo = {self.algo!r}.",
                "Nothing would read them.",
                f"Leave out {table_of(foreign[0])}, or set algo = {foreign[0]!r}.",
            )
        if getattr(self, self.table) is None:
            object.__setattr__(self, self.table, chosen.config())
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
    def table(self) -> str:
        """The name of the table that holds the settings of the chosen algorithm."""
        return table_of(self.algo)

    @property
    def agent(self) -> AlgorithmConfig:
        """The settings of the chosen algorithm."""
        return getattr(self, self.table)

    def with_agent(self, **changes: Any) -> "RunConfig":
        """A copy with some settings of the chosen algorithm changed."""
        settings: Any = self.agent
        return replace(self, **{self.table: replace(settings, **changes)})

    def build(self, env: Environment | None = None) -> Agent:
        """The agent that these settings describe.

        Args:
            env: the environment itself, where it is not one that `env` can build by name.

        Raises:
            ConfigError: settings that cannot work, together or in this environment.
        """
        return build(env or self.env.build(), self.agent, self.network)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.agent.num_envs * self.agent.rollout_length

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
                f"Raise total_steps, or lower {self.table}.num_envs or {self.table}.rollout_length.",
            )
        return count


def default_config(env: str = "t-maze", algo: str = "ppo") -> RunConfig:
    """The tuned settings of an algorithm for an environment, or the general ones where none were tuned.

    Args:
        env: a name that `make` knows. For `pomdp:FILE` the discount is the file's own.
        algo: a name of `ALGORITHMS`.

    Raises:
        ConfigError: no such algorithm, or a file that is missing or wrong.
    """
    chosen = algorithm(algo)
    if added_form(env) is not None:  # a dream: what was tuned in dreams of the real environment, or else in itself
        dreamt: Any = make(env)
        real = name_of(dreamt.real)[0]
        file = _defaults(f"world/{real}", algo)
        tuned = from_toml(file.read_text(encoding="utf-8"), RunConfig) if file.is_file() else default_config(real, algo)
        return replace(tuned, env=EnvConfig(env))
    is_file = env.startswith(PREFIX)
    family = next((prefix for prefix in FAMILIES if env.startswith(prefix)), "")
    file = _defaults(family.removesuffix(":") or env, algo)
    if (env in ENVIRONMENTS or family) and file.is_file():
        config = replace(from_toml(file.read_text(encoding="utf-8"), RunConfig), env=EnvConfig(env))
    elif env in ENVIRONMENTS or is_file:
        config = RunConfig(env=EnvConfig(env), network=chosen.network, algo=algo)
    else:
        return _general_config(env, algo)
    return config.with_agent(discount=make(env).discount) if is_file else config


def _defaults(name: str, algo: str) -> Traversable:
    """The settings of PPO, whose files came first, lie in `defaults/`, those of the others in folders of their own."""
    folder = resources.files("throughtime.runs").joinpath("defaults")
    return (folder if algo == "ppo" else folder.joinpath(algo)).joinpath(f"{name}.toml")


def _general_config(env: str, algo: str) -> RunConfig:
    """For environments of others: their scales are not known, and those in Python take their time."""
    config = RunConfig(
        env=EnvConfig(env),
        network=replace(algorithm(algo).network, normalise_observations=True),
        evaluation_episodes=100,
        algo=algo,
    )
    return config.with_agent(normalise_returns=True) if algo == "ppo" else config


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
