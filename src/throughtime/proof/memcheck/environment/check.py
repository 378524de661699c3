"""`check_environment`: every law of environments, one finding each."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from throughtime.proof.memcheck.environment import _returned as returned
from throughtime.proof.memcheck.environment import _seeds as seeds
from throughtime.proof.memcheck.environment import laws
from throughtime.proof.memcheck.environment._episodes import Episodes
from throughtime.proof.memcheck.environment._probe import FailedError, Probe, Trace, Worker
from throughtime.proof.memcheck.environment._values import row, same
from throughtime.proof.memcheck.environment.stateful import StatefulEnvironments
from throughtime.proof.memcheck.law import Finding, Findings

SECOND_RUN = 200  # steps repeated under the same seed


def check_environment(
    env: Any,
    *,
    steps: int = 1000,
    seed: int = 0,
    timeout: float = 10.0,
    time_limit: int | None = None,
    actions: Callable[[Any], Any] | None = None,
) -> Findings:
    """Checks a Gymnasium environment, or vector environment, against the laws of docs/memcheck.md.

    Nothing is imported for it: anything with `reset`, `step`, `action_space` and `observation_space` will do; a vector
    environment also has `num_envs` and `single_observation_space`. The environment is left wherever the last run ended.

    Args:
        env: the environment, or a function without arguments that makes one. With a function the check can tell what
            an earlier episode leaves behind from what no seed decides; else it tries to copy the environment.
        steps: how many steps of the environment are recorded.
        seed: of the main run.
        timeout: seconds that one call may take; 0 for no limit.
        time_limit: steps after which an episode is truncated; where None, what the environment's `spec` says, or the
            `max_episode_steps` of a throughtime environment.
        actions: makes an action of an observation; None draws from the action space, and from what is allowed where the
            environment tells of action masks (in the ways that docs/your-environment.md names).

    Returns:
        One finding for each of `ENVIRONMENT_LAWS`, in that order.
    """
    return _check(env, Worker(timeout), steps, seed, time_limit, actions)


def _check(
    env: Any, worker: Worker, steps: int, seed: int, time_limit: int | None, actions: Callable[[Any], Any] | None
) -> Findings:
    try:
        env, fresh_env = _instances(env, worker)
        probe = Probe(env, worker, actions)
    except FailedError as error:
        rest = [law.not_checked("there is no environment") for law in laws.ENVIRONMENT_LAWS[1:]]
        return Findings([laws.RUNS.broken("an environment", str(error), "making it"), *rest])
    trace = probe.run(steps, seed)
    traces, seeded = [trace], trace.first is not None
    if not seeded:  # perhaps only the seed is to blame
        trace = probe.run(steps, None)
    taken = [step.action for step in trace.steps]
    again, fresh, firsts, rows = Trace(failure="reset takes no seed"), None, [], []
    if seeded:
        again = probe.run(min(SECOND_RUN, len(taken)), seed, taken)
        if fresh_env is not None and seeds.first_difference(trace, again) is not None:
            fresh = probe.run(min(SECOND_RUN, len(taken)), seed, taken, fresh_env)
        firsts, rows = _first_observations(probe, trace)
        traces.append(again)
    decides, nothing_left = seeds.seed_laws(probe, trace, again, fresh)
    limit = _limit(env) if time_limit is None else time_limit

    def ignores_action(t: int, b: int) -> bool | None:
        return _ignores_action(probe, trace, seed, t, b) if decides.status == "held" else None

    # The longest episode of a throughtime environment may also be the task's own horizon.
    sure = time_limit is not None or not isinstance(env, StatefulEnvironments)
    episodes = Episodes(probe, trace, limit, firsts, ignores_action, sure)
    reward_kind, reward_finite = returned.rewards(probe, trace)
    found: list[Finding] = [
        returned.runs(traces),
        returned.in_space(probe, trace),
        returned.observations_finite(probe, trace),
        reward_kind,
        reward_finite,
        returned.flag_types(probe, trace),
        episodes.flags_apart(),
        episodes.episodes_end(),
        episodes.time_limit(),
        decides,
        nothing_left,
        seeds.episodes_differ(probe, trace, firsts, rows),
        returned.not_shared(trace),
        episodes.autoreset(),
        episodes.final_observation(),
        episodes.fake_step(),
    ]
    by_law = {finding.law: finding for finding in found}
    if not taken:
        for law in (laws.SEED, laws.NOTHING_LEFT):
            by_law[law] = law.not_checked("no step was made")
    if by_law[laws.AUTORESET].status == "broken":  # where things are said to be, they are not
        for law in (laws.ENDS, laws.TIME_LIMIT, laws.FINAL, laws.FAKE_STEP):
            by_law[law] = law.not_checked(f"{laws.AUTORESET.id} does not hold")
    return Findings(by_law[law] for law in laws.ENVIRONMENT_LAWS)


def _instances(env: Any, worker: Worker) -> tuple[Any, Any]:
    """The environment, and another that has not run yet, where one can be had."""
    if not hasattr(env, "step"):
        if not callable(env):
            raise FailedError(f"a {type(env).__name__} has no step")
        return worker.call("making it", env), worker.call("making it", env)
    try:
        return env, worker.call("copying it", copy.deepcopy, env)
    except FailedError:
        return env, None


def _limit(env: Any) -> int | None:
    """The time limit that the environment declares."""
    if isinstance(env, StatefulEnvironments):
        return env.env.max_episode_steps
    inner = getattr(env, "envs", None)
    for part in (env, *(inner[:1] if isinstance(inner, list | tuple) else ())):
        spec = getattr(part, "spec", None)
        limit = getattr(spec, "max_episode_steps", None)
        for declared in (limit, getattr(part, "max_episode_steps", None)):
            if isinstance(declared, int):
                return declared
    return None


def _first_observations(probe: Probe, trace: Trace) -> tuple[list[Any], list[list[Any]]]:
    """Row 0's first observation, and all rows', for many seeds."""
    firsts, rows = [], []
    for seed in range(1000, 1000 + seeds.SEEDS):
        first = probe.run(0, seed).first
        if first is None:
            return [], []
        rows.append([row(first, b) for b in range(probe.B)] if probe.vector else [first])
        firsts.append(rows[-1][0])
    return firsts, rows


def _ignores_action(probe: Probe, trace: Trace, seed: int, t: int, b: int) -> bool | None:
    """Whether the step after the end (t, row b) comes out the same whatever action it is given."""
    if probe.masked:  # another action might be a forbidden one
        return None
    taken = [step.action for step in trace.steps[: t + 2]]
    told = trace.steps[t + 1]
    for _ in range(3):
        try:
            other = probe.worker.call("action_space.sample", lambda: probe.env.action_space.sample())
        except FailedError:
            return None
        if same(_row_of_action(other, b), _row_of_action(taken[-1], b)):
            continue
        step = probe.run(t + 2, seed, [*taken[:-1], other]).steps[-1:]
        if not step or len(step) < 1:
            return None
        seen = step[0]
        pairs = ((told.observation, seen.observation),)
        equal = all(same(row(x, b), row(y, b)) if probe.vector else same(x, y) for x, y in pairs)
        if not equal or not np.array_equal(told.rewards[b], seen.rewards[b], equal_nan=True):
            return False
    return True


def _row_of_action(action: Any, b: int) -> Any:
    try:
        return row(action, b)
    except (TypeError, IndexError, KeyError):
        return action
