"""The report as a person sees it: opened in headless Chromium."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from chromium import Chromium, faults, find
from report_samples import cartpole_episode, maze_report, pendulum_report

from throughtime.reports import render

WIDE, NARROW = 1100, 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium(find()) as browser:
        yield browser


REPORTS = {
    "one-seed": maze_report(seeds=1),
    "three-seeds": maze_report(seeds=3),
    "continuous-actions": pendulum_report(),
    "500-steps": replace(maze_report(seeds=2), episode=cartpole_episode()),
}


@cache
def page_of(name: str) -> str:
    return render(REPORTS[name])


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", list(REPORTS))
def test_figures_are_drawn_and_nothing_is_asked_for(browser: Chromium, tmp_path: Path, name: str, width: int):
    path = tmp_path / "report.html"
    path.write_text(page_of(name))
    page = browser.visit(path, width)
    assert len(page.figures) == 3
    assert faults(page) == []


def test_it_fits_on_paper(browser: Chromium, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text(page_of("continuous-actions"))
    assert faults(browser.visit(path, 720, media="print")) == []  # A4 between 1 cm margins


@dataclass(frozen=True)
class Fault:
    """A report spoilt on purpose: `old` becomes `new`, and the check has to say `found`."""

    old: str
    new: str
    found: str


POLICY = '<meta http-equiv="Content-Security-Policy"'
IMAGE = '<img src="http://127.0.0.1:9/tracker.png" alt="">'
FAULTS = {
    "external image": Fault(POLICY, f"{IMAGE}<meta ", "request: http://127.0.0.1:9/tracker.png"),
    "external image that the policy stops": Fault("</main>", f"{IMAGE}</main>", "console: "),
    "external font": Fault(
        POLICY,
        "<style>@font-face{font-family:f;src:url(http://127.0.0.1:9/f.woff)}h1{font-family:f}</style><meta ",
        "request: http://127.0.0.1:9/f.woff",
    ),
    "console error": Fault(POLICY, "<script>console.error('broken')</script><meta ", "console: broken"),
    "exception": Fault(POLICY, "<script>throw new Error('broken')</script><meta ", "console: Uncaught"),
    "empty figure": Fault("</main>", '<figure><svg viewBox="0 0 900 300"></svg></figure></main>', "empty: figure 3"),
    "figure without size": Fault(".narrow, .key {", ".wide, .narrow, .key {", "size: figure 0"),
    "both drawings at once": Fault(".narrow, .key {", ".key {", "size: figure 0"),
    "cut text": Fault("</title>", '</title><text x="915" y="80">cut off</text>', "cut: 'cut off'"),
    "overlapping texts": Fault(
        "</title><g>",
        '</title><text x="90" y="80">one</text><text x="95" y="82">two</text><g>',
        "overlap: 'one / two'",
    ),
    "a page too wide": Fault("</main>", '<div style="width:3000px">wide</div></main>', "sideways: "),
}


@pytest.mark.parametrize("name", list(FAULTS))
def test_the_check_sees_the_fault(browser: Chromium, tmp_path: Path, name: str):
    fault = FAULTS[name]
    page = page_of("one-seed")
    assert fault.old in page
    path = tmp_path / "spoilt.html"
    path.write_text(page.replace(fault.old, fault.new))
    assert any(said.startswith(fault.found) for said in faults(browser.visit(path, WIDE)))


def test_without_chromium_ci_fails_and_a_laptop_skips(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Chromium is missing"):
        find()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        find()
