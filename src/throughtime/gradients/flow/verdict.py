"""What the numbers say about learning over long lags, in words, and what can be done about it."""

import math
from dataclasses import dataclass

from throughtime.gradients.flow.gates import cells
from throughtime.gradients.flow.horizon import Horizon
from throughtime.memory import GRU, LRU, LSTM, TDNN, Elman, Jordan, Memory, Memoryless, MinGRU, MinLSTM

EXPLODES = 10.0  # times the norm at lag 0, at the longest lag measured


@dataclass(frozen=True)
class FlowVerdict:
    """A headline, and the sentences that carry it."""

    headline: str
    sentences: tuple[str, ...]


def flow_verdict(
    memory: Memory, horizon: Horizon, required_lag: int | None = None, *, bptt_length: int | None = None
) -> FlowVerdict:
    """Whether gradients explode, vanish or reach, compared with what a task needs.

    They are *not finite* where one is infinite or NaN. Else they *explode* where the growth per step is above 1 (its
    interval too) and the norm at the longest lag more than ten times that at lag 0; else they *vanish* where they fall
    below 1% of lag 0 for good within the data; else they *reach* as far as was measured.

    Args:
        memory: what was measured: it decides which remedies apply.
        horizon: what was measured of it.
        required_lag: how far an optimal solution of the task has to look back, in steps, or None.
        bptt_length: the length that training cuts its sequences to, or None where it does not.
    """
    lag, growth, end = horizon.lag, horizon.growth, float(horizon.log_ratios[-1])
    needs = "" if required_lag is None else f", the task needs {required_lag}"
    changes = () if growth is None else (f"From one lag to the next the norm changes by a factor of {growth:.3g}.",)
    if horizon.not_finite_from is not None:
        return _not_finite(horizon, needs)
    if not horizon.measured:
        return FlowVerdict(
            "No gradient over time was measured",
            ("There is no lag of 1 or more: the loss has no gradient here, or no episode is longer than a step.",),
        )
    surely = growth if horizon.growth_interval is None else horizon.growth_interval[0]
    if surely is not None and surely > 1 and end > math.log(EXPLODES):
        return FlowVerdict(
            f"Gradients explode: growth {growth:.3g} per step",
            (
                f"At lag {horizon.measured} the gradient is 10^{end / math.log(10):.1f} times that of lag 0: "
                "a loss changes far more with the state of long ago than with the latest.",
                "Remedies: clip gradients by their global norm, which keeps their direction; a spectral radius "
                "of at most 1 for the recurrent matrix; a lower learning rate; shorter sequences for BPTT.",
            ),
        )
    if required_lag is not None and bptt_length is not None and bptt_length <= required_lag:
        return FlowVerdict(
            f"Gradients are cut after {bptt_length} steps{needs}",
            (
                f"Training cuts its sequences every {bptt_length} steps: nothing further back is credited, "
                "however well gradients flow.",
                *changes,
                f"Remedy: a bptt_length above {required_lag}.",
            ),
        )
    if horizon.censored:
        unknown = required_lag is not None and required_lag > lag
        return FlowVerdict(
            f"Gradients reach back {_steps(lag)} or more{needs}",
            (
                f"Up to the longest lag measured, {lag}, the gradient stays above 1% of lag 0's.",
                *changes,
                *((f"Whether they reach {required_lag} is not measured: the sequences are too short.",) * unknown),
            ),
        )
    spread = "" if horizon.interval is None else "; 95% interval over the batch: {} to {}".format(*horizon.interval)
    falls = f"Beyond lag {lag} the gradient stays below 1% of lag 0's (measured up to lag {horizon.measured}{spread})."
    if required_lag is not None and required_lag <= lag:
        unsure = horizon.interval is not None and horizon.interval[0] < required_lag
        close = (f"That is close: the interval holds lags below {required_lag}.",) * unsure
        return FlowVerdict(f"Gradients reach back {_steps(lag)}{needs}", (falls, *changes, *close))
    remedies = _against_vanishing(memory, required_lag)
    return FlowVerdict(f"Gradients vanish at lag {lag}{needs}", (falls, *changes, remedies))


def _not_finite(horizon: Horizon, needs: str) -> FlowVerdict:
    first, lag = horizon.not_finite_from, horizon.lag
    where = f" from lag {first} on" if first else ""
    before = f"At the lags before it is finite, and at least 1% of lag 0's up to lag {lag}."
    return FlowVerdict(
        f"Gradients are not finite{where}{needs}",
        (
            f"At lag {first} the gradient of one loss or more is infinite or NaN, and the gradient of the weights with "
            "it: no update can be made of it.",
            *((before,) if first else ()),
            "Look for a root, a logarithm or a division at 0 in a step of the memory, or for numbers that overflow.",
        ),
    )


def _steps(lag: int) -> str:
    return f"{lag} step{'s' * (lag != 1)}"


def _against_vanishing(memory: Memory, required_lag: int | None) -> str:
    """The remedies for the kind of memory that stands lowest."""
    _, cell = next(cells(memory))
    far = "the longest lag" if required_lag is None else str(required_lag)
    if isinstance(cell, Elman | Jordan):
        return (
            "Remedies: a gated memory (gru, lstm), whose state carries gradients past the weights; an orthogonal "
            "recurrent matrix or, with relu, the identity; inputs that repeat what matters sooner."
        )
    if isinstance(cell, LSTM | MinLSTM):
        return f"Remedies: chrono of about {far}, so that forget gates keep for that long; or a higher forget_bias."
    if isinstance(cell, GRU | MinGRU):
        return f"Remedies: chrono of about {far}, so that update gates keep for that long."
    if isinstance(cell, LRU):
        return "Remedies: r_min and r_max nearer to 1, and a smaller max_phase."
    if isinstance(cell, TDNN):
        return (
            f"A TDNN sees the present and {_steps(cell.delay)} back, exactly. Remedies: more taps, a larger "
            "dilation, or a recurrent memory."
        )
    if isinstance(cell, Memoryless):
        return "There is no memory, and so nothing to learn over time. Remedy: any memory."
    return "Remedy: a memory whose state is carried on additively (gru, lstm), with gates that start open."
