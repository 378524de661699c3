"""What the checks of one policy share: its observations, its plain runs, and which of these are of no use any more."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from throughtime.proof.memcheck._meter import Difference, Meter
from throughtime.proof.memcheck._observations import Draw
from throughtime.proof.memcheck._probe import Path, Probe, Run, UnansweredError, at
from throughtime.proof.memcheck.law import Finding, Law

UNFORESEEN = "what the policy gave could not be compared"


class NotChecked(NamedTuple):
    """A check that could not tell, and why."""

    why: str


class Held(NamedTuple):
    """A check that found nothing wrong, with a remark."""

    note: str


Outcome = Difference | NotChecked | Held | None  # None: nothing wrong
Check = Callable[[Path], Outcome]


class Case:
    """One policy under test.

    Args:
        probe: its guarded calls.
        draw: draws observations.
    """

    def __init__(self, probe: Probe, draw: Draw):
        self.probe, self._draw = probe, draw
        self.T, self.B = probe.settings.time, probe.settings.batch
        self.half = self.T // 2
        self.rng = np.random.default_rng(probe.settings.seed)
        self.obs, self.other = self.draw(), self.draw()  # [T, B, ...]
        self.findings: list[Finding] = []
        self._useless: dict[Path, str] = {}  # path -> the broken law
        self._runs: dict[Any, Any] = {}

    def draw(self, T: int | None = None, B: int | None = None) -> Any:
        """Fresh observations, `[T, B, ...]`."""
        return self._draw(self.rng, self.T if T is None else T, self.B if B is None else B)

    def kept(self, name: Any, make: Callable[[], Any]) -> Any:
        """A result that is computed when first asked for; a call that gave nothing is not tried again."""
        if name not in self._runs:
            try:
                self._runs[name] = make()
            except UnansweredError as error:
                self._runs[name] = error
        if isinstance(self._runs[name], UnansweredError):
            raise self._runs[name]
        return self._runs[name]

    def fresh(self, B: int | None = None) -> Any:
        """The initial state."""
        B = self.B if B is None else B
        return self.kept(("initial", B), lambda: self.probe.initial(B))

    def whole(self, path: Path) -> Run:
        """All of `obs` from a fresh state, without resets."""
        return self.kept(("whole", path), lambda: self.probe.run(path, self.fresh(), self.obs))

    def used(self, path: Path) -> Any:
        """A state that has read `other`."""
        return self.kept(("used", path), lambda: self.probe.run(path, self.fresh(), self.other).state)

    def second_half(self, path: Path) -> Run:
        """The second half of `obs` from a fresh state."""
        return self.kept(
            ("second half", path), lambda: self.probe.run(path, self.fresh(), at(self.obs, slice(self.half, None)))
        )

    @cached_property
    def meter(self) -> Meter:
        """What counts as a difference, measured on the first path that answers."""
        why = UnansweredError("no path answers")
        for path in sorted(self.probe.paths, key=lambda path: (path in self._useless, path == "sequence")):
            try:
                return Meter(self.probe, path, self.fresh(), self.obs, self.whole(path), np.random.default_rng(1))
            except UnansweredError as error:
                why = error
        raise why

    def resets(self, steps: Sequence[int], rows: Any = slice(None)) -> np.ndarray:
        """`[T, B]`: flags up at some steps of some rows."""
        flags = np.zeros((self.T, self.B), bool)
        for t in steps:
            flags[t, rows] = True
        return flags

    def give_up(self, path: Path, law: Law) -> None:
        """From now on checks do not use a path, for this law is broken on it."""
        self._useless.setdefault(path, law.id)

    def useless(self, path: Path) -> str | None:
        """The broken law for which a path is not used any more, or None."""
        return self._useless.get(path)

    def is_broken(self, law: Law) -> bool:
        """Whether a law was found broken, at the door or by a check so far."""
        return law.id in self.probe.problems or any(f.law is law and f.status == "broken" for f in self.findings)

    def settle(
        self, law: Law, check: Check, paths: Sequence[Path] = ("step", "sequence"), *, gives_up: bool = False
    ) -> None:
        """Runs a check on each path that can be used, and notes the law's finding.

        Args:
            law: the law.
            check: of one path: a difference (broken), None or a remark (held), or why it could not tell.
            paths: which the law speaks of.
            gives_up: whether a path that breaks the law is of no use to later checks.
        """
        broken: list[Difference] = []
        held: list[str] = []
        notes: list[str] = []
        for path in paths:
            if path not in self.probe.paths:
                notes.append(f"the policy has no {path}")
            elif path in self._useless:
                notes.append(f"{path}: depends on {self._useless[path]}, which is broken")
            else:
                outcome = self._outcome(check, path)
                if isinstance(outcome, Difference):
                    broken.append(outcome.on(path))
                    if gives_up:
                        self.give_up(path, law)
                elif isinstance(outcome, NotChecked):
                    notes.append(f"{path}: {outcome.why}" if len(paths) > 1 else outcome.why)
                else:
                    held.append(path)
                    notes += [outcome.note] if isinstance(outcome, Held) else []
        reasons = [note.partition(": ")[2] for note in notes]
        if len(notes) > 1 and len(set(reasons)) == 1 and reasons[0]:  # the same for step and for sequence
            notes = reasons[:1]
        if broken:
            where = "; also ".join(difference.where for difference in broken)
            self.findings.append(law.broken(broken[0].expected, broken[0].got, where))
        elif held:
            self.findings.append(law.held("; ".join(dict.fromkeys(notes))))
        else:
            self.findings.append(law.not_checked("; ".join(dict.fromkeys(notes))))

    @staticmethod
    def _outcome(check: Check, path: Path) -> Outcome:
        try:
            return check(path)
        except UnansweredError as error:
            return NotChecked(str(error))
        except Exception as error:  # results so odd that nothing foresaw them: the other checks still run
            return NotChecked(f"{UNFORESEEN}: {type(error).__name__}: {error}")
