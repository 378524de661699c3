"""From trained runs to the data of a report."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jax
import numpy as np

from throughtime.agents import RudderPPO
from throughtime.core import ConfigError
from throughtime.core.version import __version__
from throughtime.envs import Discrete, Environment, entry_of
from throughtime.proof import Comparison, Entry
from throughtime.proof.evidence.evidence import FORMAT as EVIDENCE_FORMAT
from throughtime.proof.twins import memory_label
from throughtime.reports.credit import credit_found
from throughtime.reports.data import Ceilings, CreditFound, Curve, Episode, FlowHistory, Report, Role, Row
from throughtime.reports.numbers import mean_over_seeds
from throughtime.runs import Run, to_toml
from throughtime.runs.folder import EVIDENCE_FILE

CURVE_POINTS = 100


def comparison_report(comparison: Comparison, command: str, *, evidence: Mapping[str, Any] | None = None) -> Report:
    """The report on an agent and its twins.

    Args:
        comparison: what was trained.
        command: the command line that makes it again.
        evidence: as `Evidence.record` gives it; by default what `prove` left in the folder.
    """
    evidence = evidence or left_evidence(comparison.entries, comparison.path)
    return _report(comparison.entries, command, to_toml(comparison.config), evidence)


def runs_report(runs: Sequence[Run], command: str, *, evidence: Mapping[str, Any] | None = None) -> Report:
    """The report on finished runs of one environment; runs that differ in their seed alone are taken together.

    Args:
        runs: at least one.
        command: the command line that makes it again.
        evidence: as `Evidence.record` gives it; by default what `prove` left in the first run's folder.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(to_toml(replace(run.config, seed=0)), []).append(run)
    labels = [memory_label(group[0].config) for group in groups.values()]
    entries = []
    for number, (label, group) in enumerate(zip(labels, groups.values(), strict=True)):
        network = group[0].config.network
        role: Role = "window" if network.memory == "tdnn" else "memory"
        # A policy that reads its own last action or reward has one step of memory.
        if network.memory == "none" and not (network.previous_action or network.previous_reward):
            role = "memoryless"
        if group[0].config.env.reveal:
            role = "state"
        if labels.count(label) > 1:
            label += f" ({labels[:number].count(label) + 1})"
        entries.append(Entry(role, label, tuple(group)))
    evidence = evidence or left_evidence(entries, runs[0].path)
    return _report(entries, command, to_toml(runs[0].config), evidence)


def _report(entries: Sequence[Entry], command: str, config_toml: str, evidence: Mapping[str, Any] | None) -> Report:
    rows, curves = [], []
    for entry in entries:
        scores = [run.evaluate() for run in entry.runs]
        if len(scores) == 1:
            mean, interval = scores[0].mean, scores[0].interval
        else:  # episodes of one training are no independent witnesses of how another one would turn out
            mean, *interval = (float(x[0]) for x in mean_over_seeds(np.array([[score.mean] for score in scores])))
        rows.append(
            Row(
                label=entry.label,
                role=_role(entry),
                mean_return=mean,
                interval=(interval[0], interval[1]),
                episodes=sum(len(score.returns) for score in scores),
                seeds=len(entry.runs),
                parameters=entry.runs[0].parameters,
                env_steps=entry.runs[0].steps,
                steps_per_second=float(np.mean([run.steps_per_second for run in entry.runs])),
                seconds=float(np.mean([run.seconds for run in entry.runs])),
            )
        )
        if all(run.metrics for run in entry.runs):
            curves.append(_curve(entry))
    shown = _shown(entries)
    env = shown.runs[0].env
    return Report(
        title=f"{shown.label} on {env.name}",
        task_description=_describe(env),
        command=command,
        config_toml=config_toml,
        environment=_facts(),
        rows=rows,
        curves=curves,
        ceilings=Ceilings(env.optimal_return, env.memoryless_return),
        episode=_episode(shown),
        flows=_flows(shown),
        evidence=evidence,
        credit=_credit(shown),
        notes=["Actions are the most probable ones, not drawn.", *_unfinished(entries)],
    )


def _role(entry: Entry) -> Role:
    """Its role in the report: of a world model's run it is what acted."""
    return "behaviour" if entry.runs[0].config.algo == "world-model" else entry.role


def _shown(entries: Sequence[Entry]) -> Entry:
    return next((entry for entry in entries if entry.role == "memory"), entries[0])


def left_evidence(entries: Sequence[Entry], folder: Path | None) -> Mapping[str, Any] | None:
    """What `prove` left in the folder, where it is about these very policies; else None.

    Args:
        entries: of the report.
        folder: of the comparison or of the first run.
    """
    entry = _shown(entries)
    try:
        record = json.loads((folder / EVIDENCE_FILE).read_text(encoding="utf-8")) if folder else None
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != EVIDENCE_FORMAT:
        return None
    about = (record["seeds"], record["steps"], record["label"])
    return record if about == ([run.config.seed for run in entry.runs], entry.runs[0].steps, entry.label) else None


def _unfinished(entries: Sequence[Entry]) -> list[str]:
    """A sentence for each run whose budget is not spent."""
    return [
        f"{entry.label}, seed {run.config.seed}, is unfinished: {run.steps:,} of "
        f"{run.config.iterations * run.config.steps_per_iteration:,} steps."
        for entry in entries
        for run in entry.runs
        if not run.finished
    ]


def _curve(entry: Entry) -> Curve:
    return Curve(entry.label, _role(entry), *stretches([run.metrics for run in entry.runs]))


def stretches(metrics: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[np.ndarray, np.ndarray]:
    """Steps `[N]` and mean returns `[S, N]` of the episodes that ended in each of a hundred stretches of training.

    Args:
        metrics: the rows of S trainings.
    """
    length = min(len(rows) for rows in metrics)
    width = -(-length // CURVE_POINTS)
    steps, returns = [], []
    for begin in range(0, length, width):
        stretch = [rows[begin : min(begin + width, length)] for rows in metrics]
        steps.append(stretch[0][-1]["step"])
        returns.append([_mean_return(part) for part in stretch])
    return np.asarray(steps), np.asarray(returns).T


def _mean_return(rows: Sequence[Mapping[str, Any]]) -> float:
    episodes = sum(row["episodes"] for row in rows)
    if not episodes:
        return float("nan")
    return sum(row["episodes"] * row["episode_return"] for row in rows if row["episodes"]) / episodes


def _episode(entry: Entry) -> Episode:
    run = entry.runs[0]
    record = run.record_episode()
    T = len(record.rewards)
    discrete = isinstance(run.env.action_space, Discrete)
    return Episode(
        title=f"{entry.label}, seed {run.config.seed}",
        observations=record.observations.reshape(T, -1),
        observation_labels=run.env.observation_labels,
        actions=record.actions,
        action_labels=run.env.action_labels if discrete else None,
        action_probabilities=record.probabilities,
        rewards=record.rewards,
        values=record.values,
        hidden=record.hidden,
        hidden_label=f"memory state of the {entry.label}",
    )


def _flows(entry: Entry) -> list[FlowHistory]:
    """Of the first seed, network by network."""
    looks, label = entry.runs[0].flow, f"{entry.label}, seed {entry.runs[0].config.seed}"
    names = list(looks[-1]["networks"]) if looks else []
    return [
        FlowHistory(
            label if len(names) == 1 else f"{label}, {name}",
            [look["step"] for look in looks],
            [look["networks"][name] for look in looks],
        )
        for name in names
    ]


def _credit(entry: Entry) -> CreditFound | None:
    """Of the first seed, where its agent redistributes rewards."""
    run = entry.runs[0]
    agent = run.config.build(run.env)
    if not isinstance(agent, RudderPPO):
        return None
    return credit_found(agent, run.state, f"{entry.label}, seed {run.config.seed}")


def _describe(env: Environment) -> str:
    try:
        text = entry_of(env.name).description
    except ConfigError:  # one of the user's own
        text = f"The environment {env.name}."
    if env.required_lag:
        text += f" An optimal policy has to look back {env.required_lag} step{'s' if env.required_lag > 1 else ''}."
    return text


def _facts() -> dict[str, str]:
    return {
        "throughtime": __version__,
        "JAX": jax.__version__,
        "Python": platform.python_version(),
        "device": f"{jax.devices()[0].platform}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
    }
