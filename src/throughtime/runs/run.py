"""What a training leaves behind."""

import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from throughtime.agents import AgentState, Policy
from throughtime.core import ConfigError
from throughtime.envs import Environment
from throughtime.runs.belief import BeliefProbe, probe_belief, untrained_policy
from throughtime.runs.config import EVALUATION_SEED, RunConfig
from throughtime.runs.evaluation import Evaluation, evaluate
from throughtime.runs.recording import EpisodeRecord, record_episode, record_episodes


@dataclass(frozen=True, eq=False)
class Run:
    """A trained (or interrupted) run.

    Args:
        config: its settings.
        env: what it was trained on.
        state: all that training needs to go on.
        path: its folder, or None where nothing was kept.
        metrics: one row an iteration, oldest first.
        interrupted: the signal that ended it before its budget was spent, or None.
        flow: what the gradient microscope saw, one row a look (see `FlowLooks`), oldest first.
    """

    config: RunConfig
    env: Environment
    state: AgentState
    path: Path | None
    metrics: list[dict[str, Any]]
    interrupted: signal.Signals | None
    flow: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return (
            f"Run({self.env}, {self.config.network.memory}, seed {self.config.seed}, {self.steps:,} steps, {self.path})"
        )

    @property
    def policy(self) -> Policy:
        """The final policy."""
        return self.state.policy

    @property
    def steps(self) -> int:
        """Environment steps taken."""
        return int(self.state.iteration) * self.config.steps_per_iteration

    @property
    def finished(self) -> bool:
        """Whether its budget is spent."""
        return int(self.state.iteration) >= self.config.iterations

    @property
    def seconds(self) -> float:
        """Wall clock of training, compilation included."""
        return float(self.metrics[-1]["seconds"]) if self.metrics else 0.0

    @property
    def steps_per_second(self) -> float:
        """Environment steps a second, compilation left out."""
        return float(self.metrics[-1]["steps_per_second"]) if self.metrics else 0.0

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(self.policy.network, eqx.is_array)))

    def evaluate(
        self, episodes: int | None = None, *, seed: int | None = None, deterministic: bool = True
    ) -> Evaluation:
        """Scores the final policy on fresh episodes.

        Args:
            episodes: how many; the config's `evaluation_episodes` where None.
            seed: of the episodes; by default one that depends on the run's seed and that no training uses.
            deterministic: takes the most probable action; otherwise draws it.
        """
        return evaluate(
            self.policy,
            self.env,
            episodes=self.config.evaluation_episodes if episodes is None else episodes,
            seed=EVALUATION_SEED + self.config.seed if seed is None else seed,
            deterministic=deterministic,
        )

    def where(self, **options: int | float | bool | str) -> "Run":
        """The same policy in the same environment with some options changed, to evaluate or to watch it there.

        Args:
            **options: of the environment, such as `split="unseen"`; none changes nothing.

        Raises:
            ConfigError: an option that it does not have, or one that changes what is seen or done.
        """
        if not options:
            return self
        there = replace(self.config.env, options={**self.config.env.options, **options})
        env = there.build()
        if (env.observation_space.shape, env.action_space) != (
            self.env.observation_space.shape,
            self.env.action_space,
        ):
            changed = ", ".join(f"{name} = {value!r}" for name, value in options.items())
            raise ConfigError(
                f"The policy cannot act in {env.name} with {changed}.",
                "Its observations or actions have another size there.",
                "Change options that leave them as they are.",
            )
        return replace(self, config=replace(self.config, env=there), env=env)

    def record_episode(self, *, seed: int | None = None) -> EpisodeRecord:
        """One fresh episode of the final policy, step by step."""
        seed = EVALUATION_SEED + self.config.seed if seed is None else seed
        return record_episode(self.policy, self.env, seed=seed)

    def record_episodes(
        self, episodes: int = 1, *, seed: int | None = None, deterministic: bool = True
    ) -> list[EpisodeRecord]:
        """The very episodes that `evaluate` scores with the same arguments, step by step.

        Args:
            episodes: how many.
            seed: as of `evaluate`.
            deterministic: takes the most probable action; otherwise draws it.
        """
        seed = EVALUATION_SEED + self.config.seed if seed is None else seed
        return record_episodes(self.policy, self.env, episodes=episodes, seed=seed, deterministic=deterministic)

    def belief(self, *, seed: int | None = None, **options: Any) -> BeliefProbe:
        """What the memory of the final policy knows, beside its controls.

        Args:
            seed: of the episodes; by default one that depends on the run's seed and that no training uses.
            **options: of `probe_belief`: rows, steps, deterministic, models, sources.
        """
        untrained = untrained_policy(self.policy, self.config.build(self.env), self.config.seed)
        seed = EVALUATION_SEED + 2 * self.config.seed if seed is None else seed  # the held-out episodes take seed + 1
        return probe_belief(self.policy, self.env, untrained, seed=seed, **options)
