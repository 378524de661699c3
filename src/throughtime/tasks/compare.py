"""The guide's table of TDNNs and RNNs, measured: echoes of growing lag, the same settings for every memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from throughtime.core import ConfigError
from throughtime.gradients.flow import Flow
from throughtime.tasks.base import TaskConfig
from throughtime.tasks.echo import Echo
from throughtime.tasks.flow import TaskMicroscope
from throughtime.tasks.train import Progress, step_milliseconds, train_task

LEARNED = 0.99
"""A lag counts as learned from this accuracy on."""
LONGER = 4
"""How many times as long as in training the sequences of the length test are."""


@dataclass(frozen=True)
class MemoryRow:
    """What was measured of one memory. Accuracies are means over the seeds."""

    memory: str
    label: str
    recurrent: bool
    window: int | None
    """Steps that its output depends on, the present one included; None where nothing limits them."""
    parameters: int
    state_numbers: int
    """Numbers that it carries from step to step, for each sequence."""
    accuracies: dict[int, float]
    """By lag."""
    longer_accuracies: dict[int, float]
    """By lag, on sequences four times as long as those trained on."""
    updates: dict[int, float]
    """Updates until the loss was below 1% of a guess's, or all of them; by lag."""
    milliseconds: float
    """Of one update at the longest lag, median of 20."""
    flow: Flow
    """Gradients before training, at the longest lag."""

    @property
    def learned_lag(self) -> int | None:
        """The longest lag up to which every one was learned."""
        learned = None
        for lag in sorted(self.accuracies):
            if self.accuracies[lag] < LEARNED:
                break
            learned = lag
        return learned

    @property
    def ratios(self) -> list[float]:
        """The gradient's norm at each lag, relative to lag 0."""
        return np.exp(self.flow.horizon.log_ratios).tolist()

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, as plain values."""
        return {
            "memory": self.memory,
            "recurrent": self.recurrent,
            "window": self.window,
            "parameters": self.parameters,
            "state_numbers": self.state_numbers,
            "accuracies": self.accuracies,
            "longer_accuracies": self.longer_accuracies,
            "updates": self.updates,
            "learned_lag": self.learned_lag,
            "milliseconds_per_update": self.milliseconds,
            "flow": self.flow.summary(),
        }


def compare_memories(
    lags: Sequence[int] = (1, 3, 7, 15, 31),
    memories: Sequence[str] = ("tdnn", "elman", "gru", "lstm"),
    *,
    taps: int = 8,
    hidden_size: int = 64,
    updates: int = 1500,
    seeds: Sequence[int] = (0,),
    progress: Callable[[str, int], Callable[[Progress], None]] | None = None,
) -> list[MemoryRow]:
    """Trains every memory on the echo of every lag, and measures what the table asks for.

    Args:
        lags: in steps.
        memories: names of `MEMORIES`; all with their default options but the TDNN's taps.
        taps: inputs that each output of the TDNN sees.
        hidden_size: units of each memory.
        updates: at most, of each training.
        seeds: of the trainings.
        progress: called with a label and the number of updates before each training, returns what `train_task` calls.

    Raises:
        ConfigError: no lags, memories or seeds, or impossible ones.
    """
    if not lags or not memories or not seeds or min(lags) < 1:
        raise ConfigError(
            f"lags {list(lags)}, memories {list(memories)}, seeds {list(seeds)}",
            "There is nothing to compare, or a lag of 0 steps.",
            "Give at least one of each, lags from 1 on.",
        )
    rows = []
    configs = {memory: _config(memory, taps, hidden_size, updates) for memory in memories}
    for memory, config in configs.items():
        accuracies, longer, spent, parameters = {}, {}, {}, 0
        for lag in sorted(lags):
            task, results = Echo(lag=lag), []
            for seed in seeds:
                show = None if progress is None else progress(f"{memory} · lag {lag}, seed {seed}", updates)
                results.append(train_task(task, config, seed=seed, progress=show))
            long = replace(task, steps=LONGER * (task.steps + lag) - lag)
            scores = [long.evaluate(r.model, (), jax.random.key(r.seed))["accuracy"] for r in results]
            accuracies[lag] = float(np.mean([r.score for r in results]))
            longer[lag] = float(np.mean(scores))
            spent[lag] = float(np.mean([r.curve[-1].update for r in results]))
            parameters = results[0].parameters
        task = Echo(lag=max(lags))
        model: Any = task.model((), config, jax.random.key(seeds[0]))
        state = model.memory.initial_state(1)
        numbers = sum(leaf.size for leaf in jax.tree.leaves(state))
        rows.append(
            MemoryRow(
                memory=memory,
                label=f"TDNN, {taps} taps" if memory == "tdnn" else memory,
                recurrent=memory not in ("tdnn", "none"),
                window={"tdnn": taps, "none": 1}.get(memory),
                parameters=parameters,
                state_numbers=numbers,
                accuracies=accuracies,
                longer_accuracies=longer,
                updates=spent,
                milliseconds=step_milliseconds(task, config),
                flow=TaskMicroscope(task, (), jacobian_rows=0).look(model, jax.random.key(seeds[0])),
            )
        )
    return rows


def _config(memory: str, taps: int, hidden_size: int, updates: int) -> TaskConfig:
    options = {"taps": taps} if memory == "tdnn" else {}
    tuned = Echo().defaults("gru")
    return replace(tuned, memory=memory, memory_options=dict(options), hidden_size=hidden_size, updates=updates)
