"""What a training leaves behind."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from throughtime.agents import AgentState, Policy
from throughtime.envs import Environment
from throughtime.runs.belief import BeliefProbe, probe_belief, untrained_policy
from throughtime.runs.config import EVALUATION_SEED, RunConfig
from throughtime.runs.evaluation import EpisodeRecord, Evaluation, evaluate, record_episode


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

    def record_episode(self, *, seed: int | None = None) -> EpisodeRecord:
        """One fresh episode of the final policy, step by step."""
        seed = EVALUATION_SEED + self.config.seed if seed is None else seed
        return record_episode(self.policy, self.env, seed=seed)

    def belief(self, *, seed: int | None = None, **options: Any) -> BeliefProbe:
        """What the memory of the final policy knows, beside its controls.

        Args:
            seed: of the episodes; by default one that depends on the run's seed and that no training uses.
            **options: of `probe_belief`: rows, steps, deterministic, models, sources.
        """
        untrained = untrained_policy(self.policy, self.config.build(self.env), self.config.seed)
        seed = EVALUATION_SEED + 2 * self.config.seed if seed is None else seed  # the held-out episodes take seed + 1
        return probe_belief(self.policy, self.env, untrained, seed=seed, **options)
