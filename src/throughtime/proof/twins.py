"""An agent beside its twins, trained alike: without a memory, with a short window only, or seeing the hidden state."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from throughtime.core import ConfigError, RunFolderError
from throughtime.envs import Revealed
from throughtime.runs import Progress, Run, RunConfig, RunFolder, load_run, resume, train, with_memory
from throughtime.runs.atomic import atomic_write
from throughtime.runs.folder import EVIDENCE_FILE
from throughtime.runs.toml import from_toml, to_toml

CONFIG_FILE = "comparison.toml"

Role = Literal["memory", "memoryless", "window", "state"]
ROLES: tuple[Role, ...] = ("memory", "memoryless", "window")
"""Those that `train --twins` trains."""
_NAMES = {"elman": "Elman", "jordan": "Jordan", "mingru": "minGRU", "minlstm": "minLSTM"}
TWINS_FOLDER = "twins"
"""Where the twins of a single run lie, in its folder."""


@dataclass(frozen=True)
class ComparisonConfig:
    """Which agents are trained beside each other."""

    run: RunConfig
    """The agent with memory; its twins differ in the memory alone."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds, the same for each."""
    roles: tuple[Role, ...] = ROLES
    """memory: as configured; memoryless: without one; window: a TDNN; state: without one, but it sees all."""
    window: int = 8
    """Inputs that the TDNN sees, the present one included."""

    def config(self, role: Role, seed: int) -> RunConfig:
        """The settings of one training."""
        network, env = self.run.network, self.run.env
        if role in ("memoryless", "state"):
            # One's own last action or reward is a step of memory too.
            network = replace(with_memory(network, "none"), previous_action=False, previous_reward=False)
        elif role == "window":
            network = with_memory(network, "tdnn", taps=self.window)
        if role == "state":
            env = replace(env, reveal=True)
        return replace(self.run, env=env, network=network, seed=seed)

    def label(self, role: Role) -> str:
        """What people call it: "GRU", "no memory", "TDNN, window 8"."""
        if role == "memoryless":
            return "no memory"
        if role == "window":
            return f"TDNN, window {self.window}"
        if role == "state":
            return "sees the state"
        return memory_label(self.run)


class Entry(NamedTuple):
    """One agent over its seeds."""

    role: Role
    label: str
    runs: tuple[Run, ...]


class Comparison(NamedTuple):
    """The agents side by side; `interrupted` where a signal ended it early."""

    config: ComparisonConfig
    path: Path
    entries: tuple[Entry, ...]
    interrupted: int | None


ProgressCallback = Callable[[str, int, Progress], None]
"""Called with label, seed and progress after each chunk of a training."""


def memory_label(config: RunConfig) -> str:
    """A memory as people write it."""
    if config.env.reveal:
        return "sees the state"
    name, taps = config.network.memory, config.network.memory_options.get("taps")
    if name == "none":
        return "no memory"
    return memory_name(name) + (f", window {taps}" if name == "tdnn" and taps is not None else "")


def memory_name(memory: str) -> str:
    """The name of a recurrence as people write it: "GRU" for "gru"."""
    return _NAMES.get(memory, memory.upper())


def memory_owner(config: RunConfig) -> str:
    """Whose memory it is, for a sentence: "the GRU", "a policy without memory"."""
    if config.env.reveal:
        return "a policy that sees the state"
    if config.network.memory == "none":
        return "a policy without memory"
    kind = " network" * (config.network.memory in ("elman", "jordan"))
    return f"the {memory_label(config).replace(', window', ' of window')}{kind}"


def compare(
    config: ComparisonConfig,
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Comparison:
    """Trains an agent and its twins, one after another, each in a run folder `out/ROLE/seed-N`.

    Args:
        config: what to train.
        out: the folder to create.
        overwrite: replaces an older comparison in `out`; only what throughtime wrote is deleted.
        progress: called after each chunk.

    Raises:
        ConfigError: impossible settings, before anything is trained.
        RunFolderError: `out` exists or cannot be written.
    """
    if not config.seeds:
        raise ConfigError("seeds is empty.", "Nothing would be trained.", "Give at least one seed.")
    config = replace(config, run=replace(config.run, env=config.run.env.pinned()))
    out = Path(out)
    if is_comparison(out) and overwrite:
        old = [file.parent for file in out.glob("*/seed-*/config.toml")]
        for path in old:
            RunFolder.open(path).close()  # raises where another process is at work, before anything is deleted
        for path in old:
            RunFolder.create(path, overwrite=True).close()
        for name in ("report.html", EVIDENCE_FILE):
            (out / name).unlink(missing_ok=True)
    else:
        refuse_existing(out)
    _write(out, config)
    return resume_comparison(out, progress=progress)


def train_twins(path: str | os.PathLike[str], *, progress: ProgressCallback | None = None) -> Comparison:
    """Trains the twins that a run or a comparison lacks: memoryless, short window, and one that sees the state.

    The last one only where the environment gives its hidden state.

    Args:
        path: a comparison's folder, to which they are added, or a run's, in whose `twins/` they go.
        progress: called after each chunk.

    Raises:
        RunFolderError: no such folder, or a `twins/` of other settings in it.
    """
    path = Path(path)
    if is_comparison(path):
        config = _read(path)
        missing = tuple(role for role in possible_twins(config.run) if role not in config.roles)
        if missing:
            _write(path, replace(config, roles=config.roles + missing))
        return resume_comparison(path, progress=progress)
    run = load_run(path).config
    config = ComparisonConfig(run, (run.seed,), possible_twins(run))
    out = path / TWINS_FOLDER
    if not is_comparison(out):
        return compare(config, out, progress=progress)
    if _read(out) != config:
        raise RunFolderError(
            f"{out} holds the twins of other settings.", "They would be no twins of this run.", f"Move {out} away."
        )
    return resume_comparison(out, progress=progress)


def possible_twins(config: RunConfig) -> tuple[Role, ...]:
    """All twins of a run; the one that sees the hidden state only where the environment gives one."""
    try:
        _ = Revealed(config.env.build()).observation_space
    except ConfigError:
        return ("memoryless", "window")
    return ("memoryless", "window", "state")


def twins_of(run: Run) -> tuple[Entry, ...]:
    """The twins of a single run, where they lie: beside it in a comparison, or in its own `twins/`.

    Of those in a comparison, the ones with the run's own seed; without the run itself. None are trained.
    """
    if run.path is None:
        return ()
    path = run.path.resolve()
    for out in (path / TWINS_FOLDER, path.parent.parent):
        if is_comparison(out):
            config = _read(out)
            if replace(config.run, seed=run.config.seed) != run.config or run.config.seed not in config.seeds:
                continue
            entries = []
            for role in config.roles:
                twin = out / role / f"seed-{run.config.seed}"
                if role != "memory" and _begun(twin):
                    entries.append(Entry(role, config.label(role), (load_run(twin),)))
            return tuple(entries)
    return ()


def refuse_existing(out: Path) -> None:
    """Refuses a folder that is in use already.

    Raises:
        RunFolderError: says by what.
    """
    if is_comparison(out):
        raise RunFolderError(
            f"{out} holds a training with twins or several seeds already.",
            "A new one would overwrite it.",
            f"Choose another --out, go on with `throughtime resume {out}`, or pass --overwrite.",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out} exists already.", "It is not empty.", "Choose another --out.")


def is_comparison(path: str | os.PathLike[str]) -> bool:
    """Whether `compare` made this folder."""
    return (Path(path) / CONFIG_FILE).is_file()


def resume_comparison(out: str | os.PathLike[str], *, progress: ProgressCallback | None = None) -> Comparison:
    """Trains what is missing: finished runs are loaded, interrupted ones go on, the others start.

    Args:
        out: a folder that `compare` made.
        progress: called after each chunk.
    """
    out = Path(out)
    config = _read(out)
    entries, interrupted = [], None
    for role in config.roles:
        runs, label = [], config.label(role)
        for seed in config.seeds:
            report = None if progress is None else lambda p, s=seed, name=label: progress(name, s, p)
            run = _finish(out / role / f"seed-{seed}", config.config(role, seed), report)
            runs.append(run)
            interrupted = run.interrupted
            if interrupted is not None:
                break
        entries.append(Entry(role, label, tuple(runs)))
        if interrupted is not None:
            break
    return Comparison(config, out, tuple(entries), interrupted)


def load_comparison(out: str | os.PathLike[str]) -> Comparison:
    """What is there of a comparison, without training anything; parts that were never begun are left out.

    Args:
        out: a folder that `compare` made.

    Raises:
        RunFolderError: none of its runs has a checkpoint.
    """
    out = Path(out)
    config = _read(out)
    entries = []
    for role in config.roles:
        paths = [out / role / f"seed-{seed}" for seed in config.seeds]
        runs = tuple(load_run(path) for path in paths if _begun(path))
        if runs:
            entries.append(Entry(role, config.label(role), runs))
    if not entries:
        raise RunFolderError(f"No run in {out} has a checkpoint.", "", f"Go on with `throughtime resume {out}`.")
    return Comparison(config, out, tuple(entries), None)


def _write(out: Path, config: ComparisonConfig) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(out / CONFIG_FILE) as file:
            file.write(to_toml(config).encode())
    except OSError as error:
        raise RunFolderError(
            f"{out} cannot be written.", f"{error.strerror or error}.", "Choose another --out."
        ) from error


def _read(out: Path) -> ComparisonConfig:
    try:
        return from_toml((out / CONFIG_FILE).read_text(encoding="utf-8"), ComparisonConfig)
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{out / CONFIG_FILE} cannot be read.", f"{error}.") from error


def _begun(path: Path) -> bool:
    return any(path.glob("checkpoints/step-*"))


def _finish(path: Path, config: RunConfig, progress: Callable[[Progress], None] | None) -> Run:
    """One run, wherever it stands: finished, interrupted, or not begun."""
    if not _begun(path):
        return train(config, path, overwrite=path.exists(), progress=progress)
    run = load_run(path)
    return run if run.finished else resume(path, progress=progress)
