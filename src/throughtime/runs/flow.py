"""The gradient microscope inside a training: a look every N iterations, kept in `flow.jsonl`."""

import json
import time
from collections.abc import Mapping
from typing import Any

from throughtime.agents import Agent, AgentState
from throughtime.agents.flow import Microscope
from throughtime.runs.atomic import atomic_write
from throughtime.runs.folder import RunFolder
from throughtime.runs.metrics import MetricsWriter, read_metrics


class FlowLooks:
    """Looks at what the next iteration would learn from, every N iterations and once more at the end.

    The training state is only read: a training with looks equals one without, bit for bit. Each look is a line of
    `flow.jsonl`, `{"step": …, "iteration": …, "networks": {name: record}}` with records as `Flow.record` makes them,
    and its single figures are TensorBoard scalars `flow/NAME/…`.

    Args:
        agent: the algorithm.
        every: N, iterations from one look to the next.
        done: iterations done before this process began; looks taken from there on are dropped, and taken again.
        folder: the run folder, or None to keep the looks in memory alone.
        writer: for TensorBoard, or None.
    """

    def __init__(self, agent: Agent, every: int, done: int, folder: RunFolder | None, writer: MetricsWriter | None):
        self.every, self.folder, self._writer = every, folder, writer
        self._microscope, self._per_iteration = Microscope(agent), agent.steps_per_iteration
        self.rows: list[dict[str, Any]] = []
        if folder is not None and folder.flow_path.exists():
            self.rows = [row for row in read_metrics(folder.flow_path) if row["step"] < done * self._per_iteration]
            with atomic_write(folder.flow_path) as file:
                file.writelines(_line(row) for row in self.rows)

    def until_next(self, done: int) -> int:
        """Iterations until a look is due, at least 1."""
        return self.every - done % self.every

    def look(self, state: AgentState, done: int, *, last: bool = False) -> float:
        """Looks, where a look is due (or `last`, and none was taken here); the seconds it took."""
        step = done * self._per_iteration
        if (done % self.every and not last) or (self.rows and self.rows[-1]["step"] == step):
            return 0.0
        start = time.perf_counter()
        flows = self._microscope.measure(state)
        row = {"step": step, "iteration": done, "networks": {name: flow.record() for name, flow in flows.items()}}
        self.rows.append(row)
        if self.folder is not None:
            with open(self.folder.flow_path, "ab") as file:
                file.write(_line(row))
        if self._writer is not None:
            for name, record in row["networks"].items():
                self._writer.scalars(step, {f"flow/{name}/{key}": value for key, value in _scalars(record).items()})
        return time.perf_counter() - start


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def _scalars(record: Mapping[str, Any]) -> dict[str, int | float | None]:
    single = ("horizon", "growth_per_step", "jacobian_spectral_radius")
    scalars: dict[str, int | float | None] = {name: record[name] for name in single}
    scalars |= {f"spectral_radius/{name}": radius for name, radius in record["spectral_radius"].items()}
    for gate, shares in record["saturation"].items():
        scalars |= {f"saturation/{gate}/{way}": share for way, share in shares.items()}
    return scalars
