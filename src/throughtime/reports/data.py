"""What a report shows, as plain data: whoever has trained something fills these in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from throughtime.core import ConfigError

Role = Literal["memory", "memoryless", "window", "state", "behaviour"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Returns while training, of one policy over S seeds.

    Args:
        label: how the policy is called, everywhere in the report.
        role: "memory", "memoryless" (its twin without a state), "window" (sees the last few steps only), "state" (has
            no memory, and sees what is hidden) or "behaviour" (random, beside a world model).
        steps: `[N]`, environment steps so far, ascending.
        returns: `[S, N]`, mean return of the episodes that finished since the last point; NaN
            where none did.
    """

    label: str
    role: Role
    steps: np.ndarray
    returns: np.ndarray

    def __post_init__(self):
        if self.returns.ndim != 2 or self.returns.shape[1:] != self.steps.shape or not self.returns.size:
            raise ConfigError(
                f"Curve {self.label!r}: steps {self.steps.shape}, returns {self.returns.shape}.",
                mend="Give steps [N] and returns [S, N], S seeds and N points, neither zero.",
            )


@dataclass(frozen=True)
class Row:
    """The final policy of one training, evaluated on fresh episodes.

    Args:
        label: as in its `Curve`.
        role: as in its `Curve`.
        mean_return: mean return over all evaluation episodes (in the environment's own discount).
        interval: (lo, hi), the 95% interval of that mean: over training seeds where there are several, else over
            evaluation episodes.
        episodes: evaluation episodes, over all seeds.
        seeds: training seeds.
        parameters: trainable numbers.
        env_steps: environment steps of one training.
        steps_per_second: environment steps a second while training.
        seconds: wall clock of one training, compilation included.
    """

    label: str
    role: Role
    mean_return: float
    interval: tuple[float, float]
    episodes: int
    seeds: int
    parameters: int
    env_steps: int
    steps_per_second: float
    seconds: float


@dataclass(frozen=True)
class Ceilings:
    """What can be reached on the task, as the environment tells it; None where no one knows.

    Args:
        optimal_return: mean return of the best policy.
        memoryless_return: mean return of the best policy that sees the present observation only.
    """

    optimal_return: float | None = None
    memoryless_return: float | None = None


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode, T steps of it, step by step.

    Args:
        title: whose episode it is ("GRU, seed 0").
        observations: `[T, F]`.
        observation_labels: F names.
        actions: `[T]` integers where `action_labels` are given, else `[T, A]` (or `[T]`) real numbers.
        action_labels: A names of the discrete actions; None for continuous ones.
        action_probabilities: `[T, A]` of the discrete policy, or None.
        rewards: `[T]`.
        values: `[T]`, the critic's estimate before the action.
        hidden: `[T, H]`, the memory's state after the observation; None where there is no memory.
        hidden_label: what `hidden` is ("hidden state h of the GRU").
    """

    title: str
    observations: np.ndarray
    observation_labels: Sequence[str]
    actions: np.ndarray
    action_labels: Sequence[str] | None
    action_probabilities: np.ndarray | None
    rewards: np.ndarray
    values: np.ndarray
    hidden: np.ndarray | None = None
    hidden_label: str = "hidden state"

    def __post_init__(self):
        T = len(self.rewards)
        arrays = {
            name: getattr(self, name)
            for name in ("observations", "actions", "action_probabilities", "rewards", "values", "hidden")
        }
        lengths = {name: len(array) for name, array in arrays.items() if array is not None}
        if T == 0 or set(lengths.values()) != {T}:
            raise ConfigError(
                f"The episode {self.title!r} has arrays of lengths {lengths}.", mend="Give T ≥ 1 to each."
            )
        if self.observations.shape[1:] != (len(self.observation_labels),):
            raise ConfigError(
                f"{len(self.observation_labels)} labels for observations {self.observations.shape}.",
                mend="Give observations [T, F] and F labels.",
            )
        if self.action_labels is not None:
            A = len(self.action_labels)
            shape = None if self.action_probabilities is None else self.action_probabilities.shape
            known = self.actions.shape == (T,) and set(self.actions.tolist()) <= set(range(A))
            if not known or shape not in (None, (T, A)):
                raise ConfigError(
                    f"{A} action labels for actions {self.actions.shape} from {self.actions.min()} to "
                    f"{self.actions.max()}, probabilities {shape}.",
                    mend="Give actions [T] below A, probabilities [T, A], and A labels.",
                )


@dataclass(frozen=True)
class FlowHistory:
    """What the gradient microscope saw of one network while it trained.

    Args:
        label: whose gradients ("GRU, seed 0").
        steps: environment steps at each look, ascending, at least one.
        records: one each, as `Flow.record` returns them.
    """

    label: str
    steps: Sequence[int]
    records: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class CreditEpisode:
    """One episode before and after redistribution."""

    original: np.ndarray  # [L]
    redistributed: np.ndarray  # [L]
    action: tuple[int, str]  # the step that earned most, and what it is called
    events: Sequence[tuple[int, str]] = ()  # what else happened that the return hung on: step and name


@dataclass(frozen=True, eq=False)
class CreditFound:
    """What an agent's return decomposition came to.

    Args:
        said: whether rewards are redistributed, and why (not), in a sentence.
        episode: one that shows it; None where there is none.
        label: whose it is ("GRU, seed 0").
    """

    said: str
    episode: CreditEpisode | None = None
    label: str = ""


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    Args:
        title: the heading.
        task_description: one or two sentences: what is seen, what is hidden, what is rewarded.
        command: the command line that makes these numbers again.
        config_toml: the resolved config.
        environment: facts about where it ran: versions, CPUs, date.
        rows: the table, best first or as trained.
        curves: learning curves.
        ceilings: reference lines.
        episode: one episode step by step, or None.
        notes: sentences to add to the notes on measurement.
        flows: how gradients flowed while training, where that was looked at.
        credit: of an agent that redistributes rewards: whether it does, and an episode that shows it.
        evidence: that the agent uses its memory, as `Evidence.record` gives it, where that was measured.
    """

    title: str
    task_description: str
    command: str
    config_toml: str
    environment: Mapping[str, str]
    rows: Sequence[Row]
    curves: Sequence[Curve]
    ceilings: Ceilings = Ceilings()
    episode: Episode | None = None
    notes: Sequence[str] = field(default_factory=list)
    flows: Sequence[FlowHistory] = ()
    evidence: Mapping[str, Any] | None = None
    credit: CreditFound | None = None
