"""What the numbers say about memory, and no more than they say."""

from collections.abc import Sequence
from dataclasses import dataclass

from throughtime.reports.data import Ceilings, Role, Row
from throughtime.reports.numbers import formatter


@dataclass(frozen=True)
class Verdict:
    """A headline, and the sentences that carry it."""

    headline: str
    sentences: tuple[str, ...]


def verdict(rows: Sequence[Row], ceilings: Ceilings) -> Verdict:
    """Compares the best policy with memory to the best one without, and both to the ceilings.

    "Memory helps" needs intervals that do not touch and a return above the memoryless ceiling: to beat a
    badly trained twin is no evidence of memory. A policy above its own ceiling is called out.

    Args:
        rows: the evaluated policies.
        ceilings: of the task.
    """
    memory, twin, window = (_best(rows, role) for role in ("memory", "memoryless", "window"))
    show = formatter([*(v for row in rows for v in (row.mean_return, *row.interval)), *vars(ceilings).values()])
    behaviour = _best(rows, "behaviour")
    if memory is None and behaviour is not None:
        return Verdict(
            "A world model was learned here, not a policy",
            (
                f"The return, {show(behaviour.mean_return)}, is that of the most probable of the random actions it was "
                "learned from, and says nothing about the model.",
                "How good it is: throughtime world RUN. To train in it: throughtime train world:RUN.",
            ),
        )
    if memory is None:
        return Verdict("No policy with memory was evaluated", (_ceiling_sentence(ceilings, show),))

    returns = f"With memory ({memory.label}) the mean return is {show(memory.mean_return)}"
    if twin is not None:
        returns += f", without ({twin.label}) {show(twin.mean_return)}"
    if window is not None:
        returns += f", with a short window ({window.label}) {show(window.mean_return)}"
    sentences = [returns + ".", _ceiling_sentence(ceilings, show)]
    lo, hi = memory.interval
    ceiling = ceilings.memoryless_return
    above_ceiling = ceiling is not None and lo > ceiling + _cut_off(ceiling)
    if twin is None and ceiling is None:
        headline = "Whether memory helps is not shown"
        sentences.append("There is neither a policy without memory to compare with, nor a known ceiling.")
    elif twin is not None and hi < twin.interval[0]:
        headline = "Memory did worse than no memory"
        sentences.append("The 95% intervals are apart, on the wrong side.")
    elif twin is not None and not lo > twin.interval[1]:
        headline = "No benefit from memory is shown"
        sentences.append("The 95% intervals overlap: these episodes do not tell the two apart.")
    elif ceiling is None:
        headline = "With memory it did better"
        sentences.append("The 95% intervals are apart. How well the best policy without memory would do is not known.")
    elif above_ceiling:
        headline = "Memory helps"
        sentences.append("No policy without memory can reach that: the memory is used.")
        if twin is not None and twin.interval[1] < ceiling:
            sentences.append("(The twin itself stayed below its ceiling; the proof is the ceiling.)")
    else:
        headline = "That memory helps is not shown"
        sentences.append("It is not above the memoryless ceiling: a better policy without memory would do as well.")
    sentences += _impossible(rows, ceilings)
    if all(row.seeds == 1 for row in rows):
        sentences.append("One training seed each: how another seed would fare is not known.")
    return Verdict(headline, tuple(sentence for sentence in sentences if sentence))


def _best(rows: Sequence[Row], role: Role) -> Row | None:
    return max((row for row in rows if row.role == role), key=lambda row: row.mean_return, default=None)


def _ceiling_sentence(ceilings: Ceilings, show) -> str:
    memoryless, optimum = ceilings.memoryless_return, ceilings.optimal_return
    if memoryless is not None and optimum is not None:
        return f"The memoryless ceiling is {show(memoryless)} and the optimum {show(optimum)}."
    if memoryless is not None:
        return f"The memoryless ceiling is {show(memoryless)}; the optimum is not known."
    if optimum is not None:
        return f"The optimum is {show(optimum)}; the memoryless ceiling is not known."
    return ""


def _impossible(rows: Sequence[Row], ceilings: Ceilings) -> list[str]:
    said = []
    for row in rows:
        if row.role == "state":  # it may do what no policy that sees less can
            continue
        own = ceilings.memoryless_return if row.role == "memoryless" else ceilings.optimal_return
        # Generous, for this accuses: a wider interval than the table's.
        if own is None:
            continue
        lo, hi = row.interval
        if lo - (hi - lo) / 2 > own + _cut_off(own):
            name = "memoryless ceiling" if row.role == "memoryless" else "optimum"
            said.append(
                f"{row.label} is above the {name}, which should not be possible: does the observation leak "
                "what it should hide, or is the ceiling wrong?"
            )
    return said


def _cut_off(value: float) -> float:
    """What a time limit may cut off of a return beside a ceiling that knows of no limit: a hundredth of it."""
    return 0.01 * max(1.0, abs(value))
