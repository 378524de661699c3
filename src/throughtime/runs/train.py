"""The training loop: compiled chunks of at most about half a second, with everything else between them."""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from throughtime.agents import Agent, AgentState
from throughtime.agents.agent import Metrics, Words
from throughtime.agents.preflight import FAULT_GRADIENT, FAULT_INPUT, FAULT_REPLAY, Fault
from throughtime.core import ConfigError, NonFiniteError, PreflightError
from throughtime.envs import Environment, HostEnvironment, raise_error_of, release
from throughtime.runs.checkpoint import (
    checkpoint_name,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from throughtime.runs.compilation import enable_compilation_cache
from throughtime.runs.config import RunConfig
from throughtime.runs.flow import FlowLooks
from throughtime.runs.folder import RunFolder
from throughtime.runs.metrics import MetricsWriter, read_metrics
from throughtime.runs.run import Run
from throughtime.runs.signals import SaveOnSignal
from throughtime.runs.toml import from_toml, to_toml

CHUNK_SECONDS = 0.5
MAX_CHUNK = 64  # iterations: room for the metrics of one chunk


class Progress(NamedTuple):
    """What a progress bar shows."""

    step: int  # environment steps so far
    total_steps: int
    seconds: float  # since this process began the run, compilation included
    steps_per_second: float  # of this process, compilation left out
    episode_return: float | None  # mean over the episodes that ended lately; None before the first


ProgressCallback = Callable[[Progress], None]


def check(config: RunConfig) -> None:
    """Refuses settings that cannot work, before anything is compiled or written.

    Raises:
        ConfigError: what is wrong, why, and how to mend it.
    """
    _ = config.iterations
    _build(config, None)


def train(
    config: RunConfig,
    out: str | os.PathLike[str] | None = None,
    *,
    env: Environment | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Run:
    """Trains from the start.

    Args:
        config: all settings.
        env: the environment itself, where it is not one that `config.env` can build by name.
        out: the run folder to create; None keeps nothing on disk.
        overwrite: replaces an older run in `out`.
        progress: called after each chunk.

    Returns:
        The run; `run.interrupted` tells whether a signal ended it early (saved, and ready for `resume`).

    Raises:
        ConfigError: impossible settings, before anything is compiled or written.
        RunFolderError: `out` exists, is locked or cannot be written.
        PreflightError: the agent does not replay what it acted.
        NonFiniteError: a NaN or infinity in rewards, observations or gradients; the last good checkpoint stays.
    """
    if env is None:
        config = replace(config, env=config.env.pinned())
    agent = _build(config, env)
    total = config.iterations
    enable_compilation_cache()
    if out is None:
        return _loop(agent, config, _init(agent, config), 0, total, None, None, progress)
    with RunFolder.create(out, overwrite=overwrite) as folder:
        folder.write_config(to_toml(config))
        with MetricsWriter(folder.path) as writer:
            return _loop(agent, config, _init(agent, config), 0, total, folder, writer, progress)


def resume(
    out: str | os.PathLike[str], *, env: Environment | None = None, progress: ProgressCallback | None = None
) -> Run:
    """Goes on from the newest checkpoint of a run folder; the result equals the uninterrupted run's, bit for bit.

    Python environments (`gym:ID` and the like) cannot be put back to where they stood: those begin new episodes.

    Args:
        out: the run folder.
        env: the environment, where the run was trained on one that has no name in the registry.
        progress: called after each chunk.

    Raises:
        RunFolderError: no run folder, or one that is locked.
        CheckpointError: none of its checkpoints can be loaded.
        ConfigError: its config.toml was changed in what training depends on.
    """
    with RunFolder.open(out) as folder:
        config = from_toml(folder.read_config(), RunConfig)
        agent = _build(config, env)
        enable_compilation_cache()
        state = None
        if any(folder.checkpoints.glob("step-*")):  # else it was stopped before its first save: the seed says it all
            path = _latest(folder)
            _check_same(config, read_checkpoint(path).metadata.config)
            state = load_checkpoint(path, _shapes(agent))
            if isinstance(agent.env, HostEnvironment):
                state = eqx.filter_jit(agent.with_new_episodes)(state)
        state = _init(agent, config) if state is None else state
        done = int(state.iteration)
        with MetricsWriter(folder.path, resume_step=done * agent.steps_per_iteration) as writer:
            return _loop(agent, config, state, done, config.iterations, folder, writer, progress)


def load_run(path: str | os.PathLike[str], *, env: Environment | None = None) -> Run:
    """A run as its newest checkpoint holds it. Runs no code from the files.

    Args:
        path: a run folder, or a single checkpoint file (which holds its own config; such a run has no metrics).
        env: the environment, where the run was trained on one that has no name in the registry.

    Raises:
        RunFolderError: no run folder.
        CheckpointError: a damaged checkpoint, or none.
    """
    path, folder = Path(path), None
    if path.suffix != ".safetensors":
        folder = RunFolder.open(path, lock=False)
        path = _latest(folder)
    config = from_toml(read_checkpoint(path).metadata.config, RunConfig)
    agent = _build(config, env)
    state = load_checkpoint(path, _shapes(agent))
    rows = [] if folder is None else read_metrics(folder.metrics_path)
    rows = [row for row in rows if row["step"] <= int(state.iteration) * agent.steps_per_iteration]
    looks = [] if folder is None or not folder.flow_path.exists() else read_metrics(folder.flow_path)
    looks = [look for look in looks if look["iteration"] <= int(state.iteration)]
    return Run(config, agent.env, state, None if folder is None else folder.path, rows, None, looks)


def _build(config: RunConfig, env: Environment | None) -> Agent:
    agent = config.build(env)
    if config.flow_every is not None and isinstance(agent.env, HostEnvironment):
        raise ConfigError(
            f"flow_every = {config.flow_every}, on {agent.env.name}.",
            "The gradient microscope acts out the next rollout beforehand; a Python environment cannot go back.",
            "Leave flow_every out, or train on an environment written in JAX.",
        )
    return agent


def _shapes(agent: Agent) -> AgentState:
    """What a training state looks like, without computing one (and without opening any environment)."""
    return eqx.filter_eval_shape(agent.init, jax.ShapeDtypeStruct((), jnp.uint32))


def _init(agent: Agent, config: RunConfig) -> AgentState:
    return eqx.filter_jit(agent.init)(jnp.uint32(config.seed))  # compiled: operation by operation it takes seconds


def compile_chunk(agent: Agent, state: AgentState) -> Any:
    """`Agent.run` compiled for this state's shapes: call it with (state, iterations, total, first)."""

    def run(state: AgentState, iterations: jax.Array, total: jax.Array, first: jax.Array):
        return agent.run(state, iterations, total, first, MAX_CHUNK)

    one = jnp.int32(1)
    return jax.jit(run, donate_argnums=0).lower(state, one, one, one).compile()


def _loop(
    agent: Agent,
    config: RunConfig,
    state: AgentState,
    done: int,
    total: int,
    folder: RunFolder | None,
    writer: MetricsWriter | None,
    progress: ProgressCallback | None,
) -> Run:
    """Chunks until the budget is spent or a signal comes; saves on the way and at the end."""
    began = time.perf_counter()
    rows = [] if folder is None or done == 0 else read_metrics(folder.metrics_path)
    seconds_before = rows[-1]["seconds"] if rows else 0.0
    per_iteration = agent.steps_per_iteration
    latest_return: float | None = None
    looks = None if config.flow_every is None else FlowLooks(agent, config.flow_every, done, folder, writer)
    with SaveOnSignal() as interrupt, _closing(agent.env, state.actors.environment):
        chunk = compile_chunk(agent, state)
        running = saved = time.perf_counter()
        first, count, stale = done, 1, False
        while done < total and interrupt.received is None:
            length = min(count, total - done)
            if looks is not None:
                running += looks.look(state, done)  # its time is not the training's
                length = min(length, looks.until_next(done))
            start = time.perf_counter()
            state, metrics, completed, fault = chunk(state, *map(jnp.int32, (length, total, first)))
            metrics, completed, fault = jax.device_get((metrics, completed, fault))
            now = time.perf_counter()
            done_before, done = done, done + int(completed)
            speed = (done - first) * per_iteration / (now - running)
            for i in range(int(completed)):
                row = _row(metrics, i) | {
                    "seconds": round(seconds_before + now - began, 3),
                    "steps_per_second": round(speed, 1),
                }
                step = (done_before + i + 1) * per_iteration
                latest_return = row["episode_return"] if row["episodes"] else latest_return
                rows.append({"step": step, **row})
                if writer is not None:
                    writer.write(step, row)
            stale = stale or completed > 0
            if fault.kind:
                if folder is not None and stale:  # the state is that from before the fault
                    _save(folder, state, config, done * per_iteration)
                raise_error_of(agent.env, state.actors.environment)
                _raise(fault, config, agent.words, done * per_iteration, agent.parameter_names(state))
            if progress is not None:
                progress(Progress(done * per_iteration, total * per_iteration, now - began, speed, latest_return))
            if now - start < CHUNK_SECONDS / 2:
                count = min(MAX_CHUNK, max(count + 1, int(count * CHUNK_SECONDS / 2 / (now - start))))
            elif now - start > CHUNK_SECONDS:
                count = max(1, count // 2)
            if folder is not None and now - saved > config.checkpoint_seconds:
                _save(folder, state, config, done * per_iteration)
                saved, stale = now, False
        if folder is not None and (stale or done == first):
            _save(folder, state, config, done * per_iteration)
        if looks is not None and done == total:
            looks.look(state, done, last=True)
    path, seen = None if folder is None else folder.path, [] if looks is None else looks.rows
    return Run(config, agent.env, state, path, rows, interrupt.received, seen)


@contextlib.contextmanager
def _closing(env: Environment, state: Any) -> Iterator[None]:
    """Gives Python environments back at the end, however it comes."""
    state = jax.device_get(state) if isinstance(env, HostEnvironment) else None  # before its arrays are donated
    try:
        yield
    finally:
        release(env, state)


def _check_same(config: RunConfig, trained: str) -> None:
    """Refuses to go on with other settings than those of the checkpoint, a larger budget apart."""
    free = {
        name: getattr(config, name)
        for name in ("total_steps", "evaluation_episodes", "checkpoint_seconds", "keep_checkpoints", "flow_every")
    }
    if replace(from_toml(trained, RunConfig), **free) != config:
        raise ConfigError(
            "config.toml is not the one that the checkpoint was trained with.",
            "Going on would train something else than the run says.",
            "Undo the change, or train anew with `throughtime train --config`.",
        )


def _latest(folder: RunFolder) -> Path:
    """The newest checkpoint that can be loaded; warns of newer ones that cannot."""
    latest = latest_checkpoint(folder.checkpoints)
    for error in latest.skipped:
        warnings.warn(f"{error}\nGoing on from {latest.path.name} instead.", RuntimeWarning, stacklevel=3)
    return latest.path


def _save(folder: RunFolder, state: AgentState, config: RunConfig, step: int) -> None:
    path = folder.checkpoints / checkpoint_name(step)
    save_checkpoint(path, state, config=to_toml(config), step=step)
    prune_checkpoints(folder.checkpoints, config.keep_checkpoints, newest=path)


def _row(metrics: Metrics, i: int) -> dict[str, Any]:
    measured = {name: values for name, values in metrics._asdict().items() if values is not None}
    row = {name: np.asarray(values)[i].item() for name, values in measured.items()}
    for name in ("episode_return", "episode_length"):
        row[name] = row[name] if row["episodes"] else None
    return row


def _raise(fault: Fault, config: RunConfig, words: Words, steps_done: int, parameters: list[str]) -> None:
    keep = "The last good checkpoint stays, where one was saved."
    if fault.kind == FAULT_INPUT:
        step = steps_done + int(fault.time) * config.agent.num_envs
        raise NonFiniteError(
            f"{config.env.name} gave a NaN or an infinite value: environment {int(fault.environment)}, "
            f"step {int(fault.time)} of the rollout (after {step} environment steps in all), "
            f"action {np.asarray(fault.action).tolist()}, reward {float(fault.reward)}.",
            "A reward or an observation that is not finite would spread through memory and weights.",
            f"Correct the environment's step at that point. {keep}",
        )
    if fault.kind == FAULT_REPLAY:
        raise PreflightError(
            f"The preflight failed: recomputed {words.replayed} differ from those of acting by "
            f"{float(fault.replay_error):.3g}.",
            words.broken,
            "The memory's unroll and step disagree, or its stored states are wrong. "
            "No update was made from that rollout.",
        )
    if fault.kind == FAULT_GRADIENT:
        iteration = int(fault.guard.first_iteration) + 1
        error = fault.guard.error(parameters, words.forward, f"iteration {iteration}")
        raise NonFiniteError(
            f"{error.what} {steps_done} environment steps were done.",
            error.why,
            f"{words.calmer} {keep}",
        )
