"""All evidence on one agent: does it use its memory, how far back, and for what it is worth."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from throughtime.agents import Microscope
from throughtime.core import ConfigError, RunFolderError
from throughtime.envs import Environment
from throughtime.proof.evidence._intervals import over_seeds
from throughtime.proof.evidence.ablations import LEAST_EPISODES, Ablations, ablate
from throughtime.proof.evidence.discrepancy import lambda_discrepancy
from throughtime.proof.evidence.evidence import Evidence, GradientHorizon, Score
from throughtime.proof.evidence.intervention import MemoryHorizon, memory_horizon
from throughtime.proof.evidence.parity import Parity, replay_parity
from throughtime.proof.evidence.recording import Recording, record
from throughtime.proof.evidence.saliency import saliency
from throughtime.proof.evidence.share import memory_share
from throughtime.proof.evidence.verdict import Reach, evidence_verdict
from throughtime.proof.twins import Comparison, Entry, is_comparison, load_comparison, memory_label, twins_of
from throughtime.runs import Run, load_run
from throughtime.runs.config import EVALUATION_SEED
from throughtime.runs.evaluation import step_limit

RECORDED = 2**16
"""Recordings hold at most so many steps (episodes · longest episode), and at most 128 episodes."""

Stage = Callable[[str], None]
"""Called with what is measured next."""


class _Looked(NamedTuple):
    """What was measured of one seed."""

    parity: Parity
    recording: Recording
    ablations: Ablations | None
    horizon: MemoryHorizon


def prove(
    subject: Run | Comparison | str | os.PathLike[str],
    *,
    env: Environment | None = None,
    episodes: int = 512,
    seed: int | None = None,
    stage: Stage | None = None,
) -> Evidence:
    """Measures whether, how far back and for what an agent uses its memory. Trains nothing.

    Twins are used where they are there: those of a comparison, those beside a run in one, those in a run's `twins/`.

    Args:
        subject: a run, a comparison, or the folder of one.
        env: the environment, where the run was trained on one that has no name in the registry.
        episodes: of each ablation, at least 16; twins are scored on the `evaluation_episodes` of their config.
        seed: of all episodes; by default one that no training uses.
        stage: called with what is measured next.

    Raises:
        ConfigError: too few episodes, episodes that need not end, a world model, or an environment that cannot be
            built.
        RunFolderError: no run folder, or none of its runs has a checkpoint.
        CheckpointError: a damaged checkpoint, or none.
    """
    if episodes < LEAST_EPISODES:
        raise ConfigError(
            f"episodes = {episodes}", "An interval over so few says nothing.", f"Give {LEAST_EPISODES} or more."
        )
    tell = stage or (lambda words: None)
    tell("loading")
    subject = load_subject(subject, env=env)
    if isinstance(subject, Run):
        # A single run is the agent that is asked about, whatever it was trained for.
        agent, twins = Entry("memory", memory_label(subject.config), (subject,)), twins_of(subject)
    else:
        agent, twins = _split(subject)
    twins = of_equal_budget(twins)
    first = agent.runs[0]
    if first.config.algo == "world-model":
        raise ConfigError(
            f"{first.path} holds a world model, not a policy.",
            "It acts at random, whatever its memory knows.",
            "Measure the model with `throughtime world RUN`, or prove a policy that was trained in it.",
        )
    task = first.env.scored
    limit = step_limit(task)
    tell("scoring the agent and its twins")
    returns = {entry.role: [run.evaluate().returns for run in entry.runs] for entry in (agent, *twins)}
    paired = {entry.role: _paired(entry, agent, returns[entry.role]) for entry in twins}
    looks = []
    for run in agent.runs:
        words = f", seed {run.config.seed}" if len(agent.runs) > 1 else ""
        looks.append(_look(run, limit, episodes, _seed(run, seed), lambda what, words=words: tell(what + words)))
    tell("gradients and values")
    horizon = looks[0].horizon
    ablations = None if any(look.ablations is None for look in looks) else [look.ablations for look in looks]
    parity = max((look.parity for look in looks), key=lambda p: (not p.holds, p.error))
    reach = Reach.of([look.horizon for look in looks], task.required_lag)
    share = memory_share(
        returns[agent.role],
        paired.get("memoryless"),
        paired.get("state"),
        known_memoryless=task.memoryless_return,
        known_ceiling=task.optimal_return,
    )
    discount = task.discount if task.discount < 1.0 else first.config.agent.discount
    # A memoryless policy that draws its actions: the twin, or the agent with its memory taken away.
    alone = next((twin.runs[0] for twin in twins if twin.role == "memoryless"), first)
    wandering = record(
        alone.policy,
        task,
        episodes=max(min(512, 2 * RECORDED // limit), 32),
        seed=_seed(first, seed),
        deterministic=False,
        alone=True,
    )
    return Evidence(
        environment=task.name,
        label=agent.label,
        folder=None if first.path is None else str(first.path),
        seeds=tuple(run.config.seed for run in agent.runs),
        steps=first.steps,
        episodes=episodes,
        verdict=evidence_verdict(ablations, reach, parity, share),
        share=share,
        scores=tuple(_score(entry, returns[entry.role]) for entry in (agent, *twins)),
        optimal_return=task.optimal_return,
        memoryless_return=task.memoryless_return,
        reach=reach,
        ablations=ablations,
        horizon=horizon,
        gradient=_gradient_horizon(first) if ablations is not None else None,
        saliency=saliency(first.policy, looks[0].recording, horizon),
        observation_labels=tuple(task.observation_labels),
        parity=parity,
        discrepancy=lambda_discrepancy(wandering, discount),
        discrepancy_policy="the memoryless twin" if alone is not first else "the agent without its memory",
        reads_previous=first.policy.reads_previous_action or first.policy.reads_previous_reward,
    )


def _look(run: Run, limit: int, episodes: int, seed: int, tell: Stage) -> _Looked:
    policy, env = run.policy, run.env.scored
    tell("recomputing what it acted")
    parity = replay_parity(policy, run.env, seed=seed)
    tell("changing what it saw")
    recording = record(policy, env, episodes=max(min(128, RECORDED // limit), LEAST_EPISODES), seed=seed)
    horizon = memory_horizon(policy, recording)
    ablations = None
    if jax.tree.leaves(policy.network.initial_state(1).actor):
        tell("tampering with its state")
        ablations = ablate(policy, env, recording.scale, episodes=episodes, seed=seed)
    return _Looked(parity, recording, ablations, horizon)


def load_subject(
    subject: Run | Comparison | str | os.PathLike[str], *, env: Environment | None = None
) -> Run | Comparison:
    """A run or a comparison from its folder; what is loaded already is returned as it is.

    Args:
        subject: a run, a comparison, or the folder of one (or a checkpoint).
        env: the environment, where a run was trained on one that has no name in the registry.

    Raises:
        ConfigError: an environment that cannot be built.
        RunFolderError: no run folder, or none of its runs has a checkpoint.
        CheckpointError: a damaged checkpoint, or none.
    """
    if isinstance(subject, Run | Comparison):
        return subject
    path = Path(subject)
    try:
        return load_comparison(path) if is_comparison(path) else load_run(path, env=env)
    except ConfigError as error:
        if "environment" not in error.what:
            raise
        raise ConfigError(
            f"The environment of {path} cannot be built.",
            error.what,
            "Where it is one of your own, give it: tt.prove(path, env=...). " + error.mend,
        ) from error


def _split(comparison: Comparison) -> tuple[Entry, tuple[Entry, ...]]:
    """The agent over its seeds, and its twins."""
    agent = next((entry for entry in comparison.entries if entry.role == "memory"), None)
    if agent is None:
        raise RunFolderError(
            f"{comparison.path} holds no run of the agent itself.",
            "There are only twins in it.",
            f"Go on with `throughtime resume {comparison.path}`, or name one run.",
        )
    return agent, tuple(entry for entry in comparison.entries if entry.role != "memory")


def of_equal_budget(twins: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Those whose trainings are finished: a twin that did not have the same budget is no twin."""
    return tuple(twin for twin in twins if all(run.finished for run in twin.runs))


def _paired(twin: Entry, agent: Entry, returns: list[np.ndarray]) -> list[np.ndarray]:
    """A twin's returns in the order of the agent's seeds; where it lacks one of them, all together."""
    by_seed = {run.config.seed: episodes for run, episodes in zip(twin.runs, returns, strict=True)}
    seeds = [run.config.seed for run in agent.runs]
    return [by_seed[seed] for seed in seeds] if by_seed.keys() >= set(seeds) else [np.concatenate(returns)]


def _seed(run: Run, seed: int | None) -> int:
    return EVALUATION_SEED + run.config.seed if seed is None else seed


def _score(entry: Entry, returns: list[np.ndarray]) -> Score:
    # Episodes of one training are no independent witnesses of how another one would turn out.
    if len(returns) > 1:
        interval = over_seeds(np.array([[r.mean()] for r in returns]))
    else:
        interval = over_seeds(returns[0][None])
    mean = float(np.mean([r.mean() for r in returns]))
    return Score(entry.role, entry.label, mean, interval, sum(len(r) for r in returns), len(returns))


def _gradient_horizon(run: Run) -> GradientHorizon:
    """Of the actor: as the run's last look through the microscope has it, or as it is now."""
    if run.flow:
        networks: dict[str, Any] = run.flow[-1]["networks"]
    else:
        agent = run.config.build(run.env)
        flows = Microscope(agent, sequences=16, max_sources=32, jacobian_rows=0).measure(run.state)
        networks = {name: flow.record() for name, flow in flows.items()}
    record = networks.get("network") or networks["actor"]
    return GradientHorizon(
        record["horizon"], record["horizon_interval"], bool(record["censored"]), tuple(record["log10_ratios"])
    )
