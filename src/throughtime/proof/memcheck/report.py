"""What memcheck says in the end: for people as a table, for programs as plain data."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from throughtime.proof.memcheck.law import Finding, Findings

_STYLE = {"held": "green", "broken": "bold red", "not checked": "yellow"}


@dataclass(frozen=True)
class Report:
    """The findings of one call of `memcheck`; printing it gives the table.

    Args:
        groups: "policy", "environment", "rollout", as far as they were checked.
    """

    groups: Mapping[str, Findings]

    @property
    def findings(self) -> Findings:
        """Those of all groups."""
        return Findings(finding for group in self.groups.values() for finding in group)

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The laws that do not hold."""
        return self.findings.broken

    @property
    def passed(self) -> bool:
        """Whether nothing is broken, and in each group something held."""
        return bool(self.groups) and all(group.passed for group in self.groups.values())

    def count(self, status: str) -> int:
        """How many laws have this status."""
        return sum(finding.status == status for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line."""
        counts = [f"{self.count(status)} {status}" for status in _STYLE if self.count(status)]
        return ", ".join(counts)

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "passed": self.passed,
            "held": self.count("held"),
            "broken": self.count("broken"),
            "not_checked": self.count("not checked"),
            "groups": {name: [finding.json() for finding in group] for name, group in self.groups.items()},
        }

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [_table(self.findings)]
        parts += [_explained(finding) for finding in self.broken]
        parts.append(Text(f"\n{self.summary}", style="bold"))
        return Group(*parts)

    def __str__(self) -> str:
        text = io.StringIO()
        Console(file=text, width=110, highlight=False).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def explain(finding: Finding) -> str:
    """A broken law in full, as plain text."""
    law = finding.law
    where = f"\n  where     {finding.where}" if finding.where else ""
    return (
        f"{law.id}: {law.statement}\n"
        f"  expected  {finding.expected}\n  got       {finding.got}{where}\n"
        f"{law.explanation}\nUsual cause: {law.usual_cause}"
    )


def _table(findings: Findings) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("law", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("what it says, or why")
    for finding in findings:
        style = _STYLE[finding.status]
        said = finding.law.statement if finding.status != "not checked" else finding.note
        text = Text(said, style="" if finding.status != "not checked" else "dim")
        if finding.status == "held" and finding.note:
            text.append(f" ({finding.note})", style="dim")
        table.add_row(Text(finding.law.id, style=style), Text(finding.status, style=style), text)
    return table


def _explained(finding: Finding) -> RenderableType:
    head = Text.assemble("\n", (finding.law.id, "bold red"), "  ", (finding.law.statement, "bold"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column()
    for name in ("expected", "got", "where"):
        if getattr(finding, name):
            facts.add_row(name, Text(getattr(finding, name)))
    facts.add_row("why it matters", Text(finding.law.explanation))
    facts.add_row("usual cause", Text(finding.law.usual_cause))
    return Group(head, Padding(facts, (0, 0, 0, 2)))
