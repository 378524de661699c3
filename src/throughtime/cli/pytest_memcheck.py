"""`pytest --memcheck MODULE:NAME`: each law as a test of its own, in anyone's CI.

pytest loads this file at every start, so nothing is imported here before the option is used.
"""
# pyright: reportMissingImports=false

from collections.abc import Iterator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("throughtime")
    group.addoption(
        "--memcheck",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="check a policy with memory (throughtime's memcheck): each law is a test; may be given several times",
    )
    group.addoption(
        "--memcheck-observation-shape",
        nargs="*",
        type=int,
        default=None,
        metavar="N",
        help="shape of one observation, where the policy does not tell",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds a test for each law of each object named."""
    for target in config.getoption("--memcheck") or ():
        items.extend(_Target.from_parent(session, name=f"memcheck {target}", target=target).collect())


class _Target(pytest.Collector):
    """One object under test; the check runs once, with the first of its laws."""

    def __init__(self, target: str, **kwargs: Any):
        super().__init__(**kwargs)
        self._target = target
        self._object: Any = None
        self._findings: dict[str, Any] | None = None

    def collect(self) -> Iterator["_Law"]:
        from throughtime.cli._load import load_object
        from throughtime.core import ConfigError
        from throughtime.proof.memcheck import LAWS, group_of

        try:
            self._object = load_object(self._target)
        except ConfigError as error:
            raise pytest.UsageError(f"--memcheck {self._target}: {error}") from error
        for law in LAWS[group_of(self._object)]:
            yield _Law.from_parent(self, name=law.id)

    def finding(self, law: str) -> Any:
        from throughtime.proof.memcheck import memcheck_any

        if self._findings is None:
            shape = self.config.getoption("--memcheck-observation-shape")
            report = memcheck_any(self._object, observation_shape=None if shape is None else tuple(shape))
            self._findings = {finding.law.id: finding for finding in report.findings}
        return self._findings[law]


class _Law(pytest.Item):
    """One law."""

    def runtest(self) -> None:
        from throughtime.proof.memcheck import explain

        assert isinstance(self.parent, _Target)
        finding = self.parent.finding(self.name)
        if finding.status == "not checked":
            pytest.skip(finding.note)
        if finding.status == "broken":
            pytest.fail(explain(finding), pytrace=False)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, f"{self.parent.name if self.parent else ''} {self.name}"
