"""Laws of the values that an environment returns: in their spaces, finite, of the right kind, not shared."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from throughtime.proof.memcheck import environment_laws as laws
from throughtime.proof.memcheck.environment_probe import Probe, Trace
from throughtime.proof.memcheck.environment_values import contains, describe_mismatch, first_not_finite, row
from throughtime.proof.memcheck.law import Finding


def runs(traces: list[Trace]) -> Finding:
    """No run broke off."""
    for trace in traces:
        if trace.failure:
            return laws.RUNS.broken("what Gymnasium's API says", trace.failure, trace.failed_at)
    return laws.RUNS.held(f"{sum(len(trace.steps) for trace in traces)} steps")


def in_space(probe: Probe, trace: Trace) -> Finding:
    """Every finite observation, final ones included."""
    count = 0
    for where, observation, batched in _observations(probe, trace):
        space = probe.env.observation_space if batched else getattr(probe.env, "single_observation_space", None)
        space = probe.env.observation_space if space is None else space
        count += 1
        if first_not_finite(observation) is None and not _contains(space, observation):
            got = describe_mismatch(space, observation)
            return laws.IN_SPACE.broken(f"an observation in {space!r:.80}", got, where)
    return laws.IN_SPACE.held(f"{count} observations") if count else laws.IN_SPACE.not_checked("needs an observation")


def observations_finite(probe: Probe, trace: Trace) -> Finding:
    """No NaN, and no infinity, in any of them."""
    count = 0
    for where, observation, _ in _observations(probe, trace):
        count += 1
        if (found := first_not_finite(observation)) is not None:
            place, value = found
            return laws.OBS_FINITE.broken("a finite number", f"{value}{f' at {place}' if place else ''}", where)
    held = laws.OBS_FINITE.held(f"{count} observations")
    return held if count else laws.OBS_FINITE.not_checked("needs an observation")


def rewards(probe: Probe, trace: Trace) -> tuple[Finding, Finding]:
    """Their kind, and whether they are finite."""
    kind, finite = laws.REWARD_FLOAT, laws.REWARD_FINITE
    if not trace.steps:
        return kind.not_checked("needs a step"), finite.not_checked("needs a step")
    one = f"a floating-point array of shape ({probe.B},)" if probe.vector else "one real number"
    kinds = [(t, step) for t, step in enumerate(trace.steps) if not _is_reward(step.reward, probe)]
    bad = [(t, found) for t, step in enumerate(trace.steps) if (found := first_not_finite(step.reward))]
    kind_found = kind.broken(one, _describe(kinds[0][1].reward), f"step {kinds[0][0]}") if kinds else kind.held()
    if not bad:
        return kind_found, finite.held()
    t, (place, value) = bad[0]
    return kind_found, finite.broken("a finite number", f"{value}{f' at {place}' if place else ''}", f"step {t}")


def flag_types(probe: Probe, trace: Trace) -> Finding:
    """Booleans."""
    if not trace.steps:
        return laws.FLAG_TYPES.not_checked("needs a step")
    for t, step in enumerate(trace.steps):
        for name in ("terminated", "truncated"):
            flag = getattr(step, name)
            array = np.asarray(flag) if isinstance(flag, bool | np.bool_ | np.ndarray) else None
            if array is None or array.dtype != np.bool_ or array.shape != ((probe.B,) if probe.vector else ()):
                expected = f"a boolean array of shape ({probe.B},)" if probe.vector else "True or False"
                return laws.FLAG_TYPES.broken(expected, f"{name} is {_describe(flag)}", f"step {t}")
    return laws.FLAG_TYPES.held()


def not_shared(trace: Trace) -> Finding:
    """What the run saw change after it was returned."""
    if trace.changed:
        return laws.NOT_SHARED.broken("an observation that stays as it was returned", "another one", trace.changed)
    if not trace.steps:
        return laws.NOT_SHARED.not_checked("needs a step")
    return laws.NOT_SHARED.held()


def final_of(info: dict, b: int, vector: bool) -> Any:
    """The final observation that an info gives for row b; None where it gives none."""
    for name in ("final_obs", "final_observation", "terminal_observation"):
        if name not in info:
            continue
        value, mask = info[name], info.get("_" + name)
        if not vector:
            return value
        if mask is not None and not np.asarray(mask)[b]:
            return None
        if isinstance(value, dict):
            value = {k: v for k, v in value.items() if not str(k).startswith("_")}
        return row(value, b)
    return None


def _observations(probe: Probe, trace: Trace) -> Iterator[tuple[str, Any, bool]]:
    """Where, which, and whether it is batched as the environment's observation space is."""
    if trace.first is not None:
        yield "reset", trace.first, True
    for t, step in enumerate(trace.steps):
        yield f"step {t}", step.observation, True
        for b in np.flatnonzero(step.over):
            final = final_of(step.info, int(b), probe.vector)
            if final is not None:
                yield f"the final observation of step {t}, row {b}", final, False
        if step.reset_to is not None:
            yield f"the reset after step {t}", step.reset_to, True


def _contains(space: Any, observation: Any) -> bool:
    try:
        return contains(space, observation)
    except Exception:  # a space that cannot even judge it does not contain it
        return False


def _is_reward(reward: Any, probe: Probe) -> bool:
    if probe.vector:
        return isinstance(reward, np.ndarray) and reward.shape == (probe.B,) and reward.dtype.kind in "fiu"
    try:
        array = np.asarray(reward)
    except ValueError:
        return False
    return array.shape == () and array.dtype.kind in "fiu"


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"{type(value).__name__} {value!r:.60}"
