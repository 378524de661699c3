"""What the evidence says, in plain words and no stronger than it is.

The verdict is one of these, the first that applies:

- `broken`: acting and recomputing from the stored sequences disagree. Nothing else that is measured can be trusted.
- `none`: the policy has no state.
- `harmful`: it does significantly better with its state reset, frozen or swapped than with the state it made.
- `uses`: getting another episode's state costs it return: what its state holds of *this* episode matters.
- `clock`: a state that is reset at every step costs return, another episode's state does not: what matters is how far
  the episode has gone, or that the state is not the initial one, but nothing of what was seen.
- `ignores`: neither costs it anything.

"Costs" and "better" mean: the 99% interval of the paired difference, on the same episodes, lies beyond zero; of several
training seeds, in more than half of them. (Whether *another* seed would is another question: two seeds that both lose
half of their return by quite different amounts both use their memory.)
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from throughtime.proof.evidence.ablations import Ablations
from throughtime.proof.evidence.intervention import MemoryHorizon
from throughtime.proof.evidence.parity import Parity
from throughtime.proof.evidence.share import Share

Kind = Literal["uses", "ignores", "clock", "harmful", "broken", "none"]
NORMAL_99 = 2.576


@dataclass(frozen=True)
class Verdict:
    """In words, and what they rest on."""

    kind: Kind
    headline: str
    sentences: tuple[str, ...]

    @property
    def uses_memory(self) -> bool | None:
        """Whether what the agent does depends on what its memory holds; None where the memory is broken."""
        return None if self.kind == "broken" else self.kind in ("uses", "harmful")


class Reach(NamedTuple):
    """The horizon over all seeds, and what the task needs."""

    lag: int
    low: int
    high: int
    required: int | None

    @classmethod
    def of(cls, horizons: list[MemoryHorizon], required: int | None) -> "Reach":
        """The median over seeds (the lower one of two), and the range; for one seed, the interval over episodes."""
        lags = sorted(h.lag for h in horizons)
        low, high = lags[0], lags[-1]
        if len(horizons) == 1 and horizons[0].interval is not None:
            low, high = horizons[0].interval
        return cls(lags[(len(lags) - 1) // 2], low, high, required)


def evidence_verdict(
    ablations: list[Ablations] | None,
    reach: Reach,
    parity: Parity,
    share: Share | None,
) -> Verdict:
    """Weighs the evidence.

    Args:
        ablations: one for each training seed; None where the policy has no state.
        reach: of its memory.
        parity: the worst of all seeds.
        share: of memory, where there is a floor and a ceiling.
    """
    if not parity.holds:
        return Verdict(
            "broken",
            "Its memory is broken",
            (
                f"What it did when acting and what its stored sequences recompute to differ by {parity.error:.2g} "
                f"(rounding explains {parity.tolerance:g}).",
                "Acting carries another state from step to step than training sees: it is not carried, or reset at "
                "the wrong step, or never reset. Nothing else that is measured here can be trusted.",
            ),
        )
    way = _way(share)
    reaches, needs = _reach(reach)
    if ablations is None:
        head = "It has no memory"
        said = "The policy has no state: each action is made of the present input alone."
        return Verdict("none", _join(head, *way), (said, *_need_sentence(reach, none=True)))
    swap, reset, frozen = (_loss(ablations, of) for of in ("swapped", "reset", "frozen"))
    harm = min((swap, reset, frozen), key=lambda loss: loss[2])
    if harm[2] < 0:
        worst = ("another episode's state", "its state reset at every step", "its state frozen")[
            (swap, reset, frozen).index(harm)
        ]
        return Verdict(
            "harmful",
            _join("Its memory does harm", reaches + needs, *way),
            (
                f"With {worst} it gets {-harm[0]:.3g} more than with the state it made.",
                "Was it trained with a state that was not carried, or reset at the wrong step?",
            ),
        )
    if swap[1] > 0:
        said = [
            f"Given another episode's state it loses {swap[0]:.3g} of {_intact(ablations):.3g}; "
            f"with its state reset at every step {_amount(reset)}.",
            *_dissent(ablations),
            *_reach_sentences(reach),
        ]
        return Verdict("uses", _join("Uses its memory: yes", reaches + needs, *way), tuple(said))
    if reset[1] > 0:
        return Verdict(
            "clock",
            _join("Uses its memory: only as a clock", reaches + needs, *way),
            (
                f"With its state reset at every step it loses {reset[0]:.3g}, with another episode's state nothing "
                "that shows.",
                "What its state holds of this very episode does not matter; how far the episode has gone may.",
                *_need_sentence(reach),
            ),
        )
    return Verdict(
        "ignores",
        _join("Uses its memory: no", reaches + needs, *way),
        (
            "Reset at every step, or taken from another episode, its state costs it nothing that shows.",
            *_dissent(ablations),
            *(["What it saw does move its later actions, but not its return."] if reach.lag else []),
            *_need_sentence(reach),
        ),
    )


def _loss(ablations: list[Ablations], of: str) -> tuple[float, float, float]:
    """Mean paired loss, and bounds: the lower one is above 0 where more than half of the seeds show a loss.

    The upper one is below 0 where more than half show a gain.
    """
    means, lows, highs = (sorted(values) for values in zip(*(_of_seed(a, of) for a in ablations), strict=True))
    n = len(means)
    return float(np.mean(means)), lows[(n - 1) // 2], highs[n // 2]


def _of_seed(ablations: Ablations, of: str) -> tuple[float, float, float]:
    """One seed's mean paired loss and its 99% interval over episodes."""
    a = ablations
    ablated = {"swapped": a.swapped, "frozen": a.frozen, "reset": a.reset_every[a.periods.index(1)]}[of]
    differences: Float[np.ndarray, " N"] = a.intact.astype(float) - ablated.astype(float)
    half = NORMAL_99 * float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    mean = float(differences.mean())
    # What is below a thousandth of the return's own size is no loss, however many episodes show it.
    dust = 1e-3 * max(abs(_intact([a])), 1e-6)
    return mean, mean - half - dust, mean + half + dust


def _dissent(ablations: list[Ablations]) -> list[str]:
    """How many seeds show what another episode's state costs, where they do not agree."""
    shown = sum(_of_seed(a, "swapped")[1] > 0 for a in ablations)
    return [f"{shown} of {len(ablations)} training seeds show that loss."] if 0 < shown < len(ablations) else []


def _intact(ablations: list[Ablations]) -> float:
    return float(np.mean([a.intact.mean() for a in ablations]))


def _amount(loss: tuple[float, float, float]) -> str:
    return f"{loss[0]:.3g}" if loss[1] > 0 else "nothing that shows"


def _reach(reach: Reach) -> tuple[str, str]:
    spread = f" ({reach.low} to {reach.high})" if reach.low != reach.high else ""
    needs = "" if reach.required is None else f", needs {reach.required}"
    return f"reaches back {reach.lag} step{'' if reach.lag == 1 else 's'}{spread}", needs


def _way(share: Share | None) -> list[str]:
    if share is None or share.value is None:
        return []
    floor = "memoryless" if share.floor_from == "known" else "its memoryless twin"
    ceiling = "optimal" if share.ceiling_from == "known" else "a twin that sees the state"
    percent = f"{100 * share.value:.0f}%".replace("-", "−")
    return [f"{percent} of the way from {floor} to {ceiling}"]


def _reach_sentences(reach: Reach) -> list[str]:
    if reach.lag == 0:
        return ["No single observation of the past moves its later actions: what it uses is spread over many."]
    return _need_sentence(reach)


def _need_sentence(reach: Reach, *, none: bool = False) -> list[str]:
    if reach.required is None or reach.required <= (0 if none else reach.lag):
        return []
    return [f"That is short of the {reach.required} step{'' if reach.required == 1 else 's'} that the task needs."]


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
