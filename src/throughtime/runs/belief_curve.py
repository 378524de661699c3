"""How a belief forms: a training gone through again, its memory probed on the way."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from throughtime.core import ConfigError, named_arrays
from throughtime.envs import HostEnvironment
from throughtime.runs.belief import Row, Source, probe_belief, untrained_policy
from throughtime.runs.config import EVALUATION_SEED
from throughtime.runs.run import Run
from throughtime.runs.train import MAX_CHUNK, compile_chunk

CONTROLS: tuple[Source, ...] = ("memory", "untrained", "observation")


class Point(NamedTuple):
    """What linear probes read at one time of the training, on episodes of the policy as it then was."""

    step: int  # environment steps
    rows: tuple[Row, ...]  # of `CONTROLS`


@dataclass(frozen=True, eq=False)
class BeliefCurve:
    """Probes from the first policy to the last."""

    points: tuple[Point, ...]
    repeated: bool
    """Whether the training, gone through again, ended in the run's very policy."""

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        rows = [
            {"step": point.step, "rows": [row._asdict() | {"state_r2_mean": row.mean_r2} for row in point.rows]}
            for point in self.points
        ]
        return {"repeated": self.repeated, "points": rows}


def belief_curve(run: Run, looks: int = 8, *, rows: int = 32, steps: int | None = None) -> BeliefCurve:
    """Trains again as the run was trained, and probes on the way: a training follows from its config alone.

    Nothing is written. The policy of each look plays episodes of its own, so that the controls move too: compare the
    lines at the same step.

    Args:
        run: a training from start to end; its settings, seed and steps are used, and its last policy to compare.
        looks: how many, evenly spaced, after the one before the first update.
        rows: of `probe_belief`.
        steps: of `probe_belief`.

    Raises:
        ConfigError: no looks, no training, or a Python environment, which cannot be gone through again.
    """
    done, config = int(run.state.iteration), run.config
    if looks < 1 or done < 1:
        raise ConfigError(f"{looks} looks at {done} iterations.", "There is nothing to draw.", "Ask for 1 or more.")
    if isinstance(run.env, HostEnvironment):
        raise ConfigError(
            f"{run.env.name} is a Python environment.",
            "A training on it cannot be gone through again, step for step.",
            "Leave the curve out.",
        )
    agent = config.build(run.env)
    state = eqx.filter_jit(agent.init)(jnp.uint32(config.seed))
    chunk, now, points = compile_chunk(agent, state), 0, []
    for until in sorted({round(i * done / looks) for i in range(looks + 1)}):
        while now < until:
            counts = map(jnp.int32, (min(MAX_CHUNK, until - now), config.iterations, 0))
            state, _, completed, fault = chunk(state, *counts)
            now += int(completed)
            if int(fault.kind):
                return BeliefCurve(tuple(points), False)
        untrained = untrained_policy(state.policy, agent, config.seed)
        probe = probe_belief(
            state.policy,
            run.env,
            untrained,
            rows=rows,
            steps=steps,
            seed=EVALUATION_SEED + 2 * config.seed,  # as `Run.belief`
            models=("linear",),
            sources=CONTROLS,
        )
        points.append(Point(now * config.steps_per_iteration, probe.rows))
    return BeliefCurve(tuple(points), _same(state.policy, run.policy))


def _same(one: Any, other: Any) -> bool:
    a, b = (jax.device_get(named_arrays(policy)) for policy in (one, other))
    return all(np.array_equal(a[name], b[name]) for name in a)
