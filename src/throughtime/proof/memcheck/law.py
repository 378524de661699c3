"""What memcheck says of one law: held, broken (expected, got, where), not checked (why)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Status = Literal["held", "broken", "not checked"]


@dataclass(frozen=True)
class Law:
    """One statement that correct state handling satisfies.

    Args:
        id: how people and CI name it, `group/what-holds`, such as `policy/step-is-sequence`.
        statement: one line.
        explanation: a paragraph: what the law says, and what goes wrong in training where it does not hold.
        usual_cause: what the code most often does where it is broken.
    """

    id: str
    statement: str
    explanation: str
    usual_cause: str

    def held(self, note: str = "") -> "Finding":
        """The law holds; `note` may say on what it was checked."""
        return Finding(self, "held", note=note)

    def broken(self, expected: str, got: str, where: str = "") -> "Finding":
        """The law does not hold: what was expected, what was got, and at which step, row or leaf."""
        return Finding(self, "broken", expected, got, where)

    def not_checked(self, why: str) -> "Finding":
        """The law could not be checked, and why: what is missing, or what the user's code raised."""
        return Finding(self, "not checked", note=why)


class Finding(NamedTuple):
    """One law's outcome."""

    law: Law
    status: Status
    expected: str = ""
    got: str = ""
    where: str = ""
    note: str = ""

    def json(self) -> dict[str, Any]:
        """As plain data; the explanation and the usual cause only where the law is broken."""
        outcome = {"law": self.law.id, "status": self.status, "statement": self.law.statement}
        if self.status == "broken":
            outcome |= {"expected": self.expected, "got": self.got, "where": self.where}
            outcome |= {"explanation": self.law.explanation, "usual_cause": self.law.usual_cause}
        return outcome | ({"note": self.note} if self.note else {})


class Findings(tuple[Finding, ...]):
    """The outcomes of one check, in the order of the laws."""

    __slots__ = ()

    def __new__(cls, findings: Iterable[Finding] = ()):
        """From any findings."""
        return super().__new__(cls, tuple(findings))

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Those that do not hold."""
        return tuple(f for f in self if f.status == "broken")

    @property
    def passed(self) -> bool:
        """Whether something was checked and nothing is broken."""
        return not self.broken and any(f.status == "held" for f in self)
