"""All evidence on one agent, as data: for people, for programs and for figures."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from throughtime.proof.evidence._intervals import over_seeds
from throughtime.proof.evidence.ablations import Ablations
from throughtime.proof.evidence.discrepancy import Discrepancy
from throughtime.proof.evidence.intervention import MemoryHorizon
from throughtime.proof.evidence.parity import Parity
from throughtime.proof.evidence.saliency import Saliency
from throughtime.proof.evidence.share import Share
from throughtime.proof.evidence.verdict import Reach, Verdict
from throughtime.proof.twins import Role

FORMAT = 1
"""Of `evidence.json`; figures are drawn of this one alone."""


class Score(NamedTuple):
    """One policy on fresh episodes."""

    role: Role
    label: str
    mean: float
    interval: tuple[float, float]  # over seeds where there are several, else over episodes
    episodes: int
    seeds: int


class GradientHorizon(NamedTuple):
    """How far back the training's loss reaches, by the gradient microscope."""

    lag: int
    interval: tuple[int, int] | None
    censored: bool
    log10_ratios: tuple[float | None, ...]  # by lag


@dataclass(frozen=True, eq=False)
class Evidence:
    """What `prove` measured. With several training seeds, `horizon`, `gradient` and `saliency` are of the first.

    Args:
        environment: its name.
        label: what the agent is called ("GRU").
        folder: of the (first) run, or None.
        seeds: of the trainings.
        steps: environment steps of each.
        episodes: of each ablation and seed.
        verdict: in plain words.
        share: memory's share of the way to the ceiling; None where there is no floor or no ceiling.
        scores: of the agent, then of its twins.
        optimal_return: as the environment knows it, or None.
        memoryless_return: the same.
        reach: the memory horizon over all seeds, beside what the task needs.
        ablations: one for each seed; None where the policy has no state.
        horizon: by intervention.
        gradient: by gradient; None where the policy has no state.
        saliency: of one episode.
        observation_labels: of its observations.
        parity: the worst of all seeds.
        discrepancy: λ-discrepancy of the environment, or None where observations do not repeat.
        discrepancy_policy: whose episodes it is estimated from.
        reads_previous: whether the policy reads its previous action or reward: a step of memory that no ablation of the
            state takes away.
    """

    environment: str
    label: str
    folder: str | None
    seeds: tuple[int, ...]
    steps: int
    episodes: int
    verdict: Verdict
    share: Share | None
    scores: tuple[Score, ...]
    optimal_return: float | None
    memoryless_return: float | None
    reach: Reach
    ablations: list[Ablations] | None
    horizon: MemoryHorizon
    gradient: GradientHorizon | None
    saliency: Saliency
    observation_labels: tuple[str, ...]
    parity: Parity
    discrepancy: Discrepancy | None
    discrepancy_policy: str
    reads_previous: bool

    def __str__(self) -> str:
        return self.verdict.headline

    def record(self) -> dict[str, Any]:
        """All of it as JSON takes it: what `evidence.json` holds and `throughtime prove --json` prints."""
        h, s = self.horizon, self.saliency
        return {
            "format": FORMAT,
            "environment": self.environment,
            "label": self.label,
            "seeds": list(self.seeds),
            "steps": self.steps,
            "episodes": self.episodes,
            "verdict": {
                "kind": self.verdict.kind,
                "uses_memory": self.verdict.uses_memory,
                "headline": self.verdict.headline,
                "sentences": list(self.verdict.sentences),
            },
            "share": None if self.share is None else _listed(self.share._asdict()),
            "scores": [_listed(score._asdict()) for score in self.scores],
            "optimal_return": self.optimal_return,
            "memoryless_return": self.memoryless_return,
            "reach": self.reach._asdict(),
            "ablations": self._ablations(),
            "horizon": {
                "lag": h.lag,
                "interval": None if h.interval is None else list(h.interval),
                "measured": h.measured,
                "threshold": h.threshold,
                "noise_floor": h.noise_floor,
                "decision_steps": h.decision_steps.tolist(),
                "sources": h.sources.tolist(),
                "kl": _numbers(h.curve),
                "kl_at_decisions": _numbers(h.decision_curve),
                "flips": None if h.flips is None else _numbers(h.flips),
            },
            "gradient_horizon": None if self.gradient is None else _listed(self.gradient._asdict()),
            "saliency": {
                "shown": s.shown,
                "sources": s.sources.tolist(),
                "effects": _numbers(s.effects),
                "shares": [_numbers(row[: t + 1]) for t, row in enumerate(s.shares)],
                "observations": [_numbers(row) for row in s.observations],
                "observation_labels": list(self.observation_labels),
                "actions": s.actions.tolist(),
            },
            "replay_parity": {**self.parity._asdict(), "holds": self.parity.holds},
            "lambda_discrepancy": None
            if self.discrepancy is None
            else _listed(self.discrepancy._asdict())
            | {"shown": self.discrepancy.shown, "policy": self.discrepancy_policy},
            "reads_previous": self.reads_previous,
        }

    def _ablations(self) -> dict[str, Any] | None:
        """Mean returns with their intervals: over seeds where there are several, else over episodes."""
        if self.ablations is None:
            return None
        first = self.ablations[0]

        def mean(pick: Any) -> dict[str, Any]:
            values = np.stack([pick(a) for a in self.ablations or ()])
            return {"mean": float(values.mean()), "interval": list(over_seeds(values))}

        return {
            "intact": mean(lambda a: a.intact),
            "reset_every": [{"k": k, **mean(lambda a, i=i: a.reset_every[i])} for i, k in enumerate(first.periods)],
            "frozen": mean(lambda a: a.frozen),
            "swapped": mean(lambda a: a.swapped),
            "noise": [{"size": size, **mean(lambda a, i=i: a.noise[i])} for i, size in enumerate(first.noise_sizes)],
        }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Floats to five significant digits, None where they are not finite."""
    return [float(f"{v:.5g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _listed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
