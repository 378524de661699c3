"""`check_rollout`: every law of recorded rollouts, one finding each."""

from collections.abc import Callable
from typing import Any

from throughtime.proof.memcheck import rollout_flags as flags
from throughtime.proof.memcheck import rollout_laws as laws
from throughtime.proof.memcheck import rollout_loss
from throughtime.proof.memcheck.law import Finding, Findings, Law
from throughtime.proof.memcheck.rollout import Rollout
from throughtime.proof.memcheck.rollout_arrays import MissingError, arrays_of
from throughtime.proof.memcheck.rollout_policy import Replayer
from throughtime.proof.memcheck.rollout_replay import Replays
from throughtime.proof.memcheck.rollout_sequences import Pieces

# What a law builds on: where that is broken, it would only say the same once more.
BUILDS_ON: dict[Law, tuple[Law, ...]] = {
    laws.RESETS: (laws.NO_FAKE_STEPS,),
    laws.STATE_BEFORE: (laws.NO_FAKE_STEPS, laws.RESETS),
    laws.RESET_CLEARS: (laws.NO_FAKE_STEPS, laws.RESETS, laws.STATE_BEFORE),
    laws.LOG_PROBS: (laws.NO_FAKE_STEPS, laws.RESETS, laws.STATE_BEFORE, laws.RESET_CLEARS),
    laws.VALUES: (laws.NO_FAKE_STEPS, laws.RESETS, laws.STATE_BEFORE, laws.RESET_CLEARS),
    laws.BOOTSTRAP: (laws.NO_FAKE_STEPS, laws.RESETS, laws.STATE_BEFORE, laws.RESET_CLEARS, laws.VALUES),
    laws.ALIGNED: (laws.CONTIGUOUS,),
    laws.APART: (laws.RESETS, laws.CONTIGUOUS, laws.ALIGNED),
    laws.START_STATES: (laws.RESETS, laws.CONTIGUOUS, laws.ALIGNED, laws.APART),
    laws.NAN_PADDING: (laws.PADDING,),
}


def check_rollout(
    rollout: Rollout,
    policy: Any = None,
    *,
    log_prob: Callable[[Any, Any], Any] | None = None,
    value: Callable[[Any], Any] | None = None,
    loss: rollout_loss.Loss | None = None,
    tolerance: float = 1e-4,
) -> Findings:
    """Checks a recorded rollout against the laws of docs/memcheck.md.

    Args:
        rollout: what was recorded; lists and other libraries' arrays are made NumPy arrays.
        policy: the policy that acted, unchanged since: `initial_state(batch)` and `step(state, obs, reset) -> (state,
            out)` in NumPy arrays. Without it nothing is replayed.
        log_prob: the log-probabilities `[B]` of `actions` under the policy's output, `log_prob(out, actions)`; the
            policy's own function of that name where None.
        value: the values `[B]` in the policy's output, `value(out)`; the policy's own where None.
        loss: the training loss of `Sequences`, a number or any nesting of arrays (gradients, say); for padding.
        tolerance: the largest difference taken for rounding, relative to max(1, |expected|).

    Returns:
        One finding for each of `ROLLOUT_LAWS`, in that order; "not checked" where arrays are missing, the user's code
        raised, or a law it builds on is broken.
    """
    arrays, faults = arrays_of(rollout)
    shapes = flags.shapes(arrays, faults)
    if faults:
        skipped = (law.not_checked(f"{laws.SHAPES.id} does not hold") for law in laws.ROLLOUT_LAWS[1:])
        return Findings((shapes, *skipped))
    replayer = Replayer(policy, log_prob, value)
    replays = Replays(arrays, replayer, tolerance)
    pieces = _Lazy(lambda: Pieces(arrays, replayer, tolerance))
    checks: dict[Law, Callable[[], Finding]] = {
        laws.FINITE: lambda: flags.finite(arrays),
        laws.NO_FAKE_STEPS: lambda: flags.no_fake_steps(arrays),
        laws.RESETS: lambda: flags.resets(arrays),
        laws.STATE_BEFORE: replays.state_before,
        laws.RESET_CLEARS: replays.reset_clears,
        laws.LOG_PROBS: replays.log_probs,
        laws.VALUES: replays.values,
        laws.BOOTSTRAP: replays.bootstrap,
        laws.ADVANTAGES: lambda: flags.advantages(arrays, tolerance),
        laws.RETURNS: lambda: flags.returns(arrays, tolerance),
        laws.CONTIGUOUS: lambda: pieces().contiguous(),
        laws.ALIGNED: lambda: pieces().aligned(),
        laws.APART: lambda: pieces().apart(),
        laws.START_STATES: lambda: pieces().start_states(),
        laws.BURN_IN: lambda: rollout_loss.burn_in(arrays.sequences),
        laws.PADDING: lambda: rollout_loss.padding(arrays.sequences, loss, tolerance),
        laws.NAN_PADDING: lambda: rollout_loss.nan_padding(arrays.sequences, loss, tolerance),
    }
    found = {laws.SHAPES: shapes}
    for law in laws.ROLLOUT_LAWS[1:]:
        broken = [b for b in (laws.FINITE, *BUILDS_ON.get(law, ())) if b in found and found[b].status == "broken"]
        found[law] = _one(law, checks[law], broken)
    return Findings(found[law] for law in laws.ROLLOUT_LAWS)


def _one(law: Law, check: Callable[[], Finding], broken: list[Law]) -> Finding:
    if broken:
        return law.not_checked(f"{broken[0].id} does not hold")
    try:
        return check()
    except MissingError as missing:
        return law.not_checked(str(missing))


class _Lazy:
    """Makes its object at the first call; what that raises it raises each time."""

    def __init__(self, make: Callable[[], Any]):
        self._make, self._made = make, None

    def __call__(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made
