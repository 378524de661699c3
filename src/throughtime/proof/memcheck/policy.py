"""Checks a policy against the laws of memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from throughtime.core import ConfigError
from throughtime.proof.memcheck import policy_laws as laws
from throughtime.proof.memcheck._case import Case
from throughtime.proof.memcheck._check_batch import check_batch
from throughtime.proof.memcheck._check_form import check_form
from throughtime.proof.memcheck._check_memory import check_memory
from throughtime.proof.memcheck._check_resets import check_resets
from throughtime.proof.memcheck._check_time import check_time
from throughtime.proof.memcheck._gradients import check_gradient
from throughtime.proof.memcheck._observations import observation_source
from throughtime.proof.memcheck._probe import Probe, Settings, UnansweredError
from throughtime.proof.memcheck.law import Finding, Findings


def check_policy(
    policy: Any,
    env: Any = None,
    *,
    observation_shape: tuple[int, ...] | None = None,
    settings: Settings | None = None,
) -> Findings:
    """All laws of a policy, in the order of `POLICY_LAWS`.

    Args:
        policy: has `initial_state` and `step` or `sequence`; see `protocol`.
        env: says what observations look like, where the policy does not.
        observation_shape: says it over both of them.
        settings: sizes, seed, time limit, tolerance.

    Returns:
        One finding for each law. Whatever the policy does, a law is held, broken or not checked: its errors are
        findings.

    Raises:
        ConfigError: no policy, impossible settings, or nothing says what an observation is.
    """
    settings = settings or Settings()
    if settings.time < 6 or settings.time % 2 or settings.batch < 2:
        raise ConfigError(
            f"{settings.time} steps and {settings.batch} rows are no sizes to check with.",
            "Sequences are cut in two, and rows are compared with each other.",
            "Take an even number of 6 or more steps, and 2 or more rows.",
        )
    probe = Probe(policy, settings)
    if not callable(getattr(policy, "initial_state", None)) or not probe.paths:
        raise ConfigError(
            f"{policy!r} is no policy that memcheck knows."[:300],
            "It needs initial_state(batch), and step(state, obs, reset) or sequence(state, obs, resets).",
            "See docs/memcheck.md for a wrapper of 15 lines, and for the objects that are wrapped by themselves.",
        )
    draw = observation_source(policy, env, observation_shape)
    try:
        case = Case(probe, draw)
    except Exception as error:
        raise ConfigError(
            "Observations could not be drawn.", f"{type(error).__name__}: {error}", "observations(rng, T, B) is called."
        ) from error
    with _one_torch_thread():
        return _in_order(_findings(case), probe)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """PyTorch's threads wait for each other longer than small batches take to compute, above all beside other work."""
    torch = sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)


def _findings(case: Case) -> list[Finding]:
    try:
        case.fresh()
    except UnansweredError as error:
        done = {laws.ANSWERS.id, laws.SHAPES.id}
        return [law.not_checked(str(error)) for law in laws.POLICY_LAWS if law.id not in done]
    check_form(case)
    check_batch(case)
    check_memory(case)
    check_time(case)
    check_resets(case)
    check_gradient(case)
    return case.findings


def _in_order(findings: list[Finding], probe: Probe) -> Findings:
    """With the laws at the door, which every call is a check of."""
    by_law = {finding.law.id: finding for finding in findings}
    for law in (laws.ANSWERS, laws.SHAPES):
        by_law[law.id] = law.held()
        if law is laws.SHAPES and laws.ANSWERS.id in probe.problems and not probe.leaf_names:
            by_law[law.id] = law.not_checked("nothing was returned")
    return Findings((by_law | probe.problems)[law.id] for law in laws.POLICY_LAWS)
