"""Opens a file in headless Chromium and tells what a person there would see, over the DevTools pipe.

The pipe (file descriptors 3 and 4 of the browser, JSON messages that end with a NUL byte) needs no port and
no library.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip

# What is drawn in each figure, which texts are cut off at its edge, and which lie over each other.
INSPECT = """(() => {
  const seen = box => box.width > 0 && box.height > 0;
  return [...document.querySelectorAll('figure')].map(figure => {
    const svgs = [...figure.querySelectorAll('svg')].filter(svg => seen(svg.getBoundingClientRect()));
    const frame = svgs.length ? svgs[0].getBoundingClientRect() : new DOMRect();
    const all = kind => svgs.flatMap(svg => [...svg.querySelectorAll(kind)]);
    const marks = all('path, image, use').filter(mark => {
      const box = mark.getBoundingClientRect();
      return !mark.closest('defs') && (box.width > 0 || box.height > 0);
    });
    const texts = all('text').map(text => ({text: text.textContent, box: text.getBoundingClientRect()}))
      .filter(text => seen(text.box));
    const cut = texts.filter(({box}) => box.left < frame.left - 1 || box.right > frame.right + 1
      || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
    const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.35 * Math.min(a.height, b.height);
    const overlaps = texts.flatMap((a, i) =>
      texts.slice(i + 1).filter(b => over(a.box, b.box)).map(b => a.text + ' / ' + b.text));
    return {
      drawings: svgs.length, width: frame.width, height: frame.height, marks: marks.length,
      texts: texts.length, cut: cut.map(text => text.text), overlaps,
    };
  });
})()"""


@dataclass(frozen=True)
class Page:
    """What became of a page.

    All requests but the one for the file itself, console messages, figures as `INSPECT` tells them, and by
    how many px the page is wider than its window.
    """

    requests: list[str]
    console: list[str]
    figures: list[dict[str, Any]]
    sideways: float
    screenshot: bytes


class Chromium:
    """A browser for as long as a `with` block lasts, in a new and empty profile."""

    def __init__(self, executable: str):
        self.executable = executable

    def __enter__(self) -> "Chromium":
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        # Above 9, so that none of the four is 3 or 4 itself when they are put into place in the child.
        (child_in, self._out), (self._in, child_out) = _high_pipe(), _high_pipe()
        null = os.open(os.devnull, os.O_RDWR)
        # posix_spawn: a fork would be of a process with threads (JAX warns of it).
        self._pid = os.posix_spawn(
            self.executable,
            [self.executable, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            {**os.environ, "HOME": self._profile},
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, child_in, 3),
                (os.POSIX_SPAWN_DUP2, child_out, 4),
            ],
            setpgroup=0,
        )
        for fd in (child_in, child_out, null):
            os.close(fd)
        self._buffer, self._count = b"", 0
        self._events: list[dict[str, Any]] = []
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def visit(
        self, path: Path, width: int = 1100, *, dark: bool = False, media: str = "screen", screenshot: bool = False
    ) -> Page:
        """Opens `path` in a new tab of `width` px, waits until it is loaded and painted, and looks at it."""
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]

        def call(method: str, **params: Any) -> dict[str, Any]:
            return self._call(method, params, session)

        def evaluate(script: str) -> Any:
            answer = call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
            assert "exceptionDetails" not in answer, answer
            return answer["result"].get("value")

        for domain in ("Page", "Runtime", "Network", "Log"):
            call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        self._events.clear()
        call("Page.navigate", url=path.as_uri())
        self._wait_for("Page.loadEventFired", session)
        evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        figures = evaluate(INSPECT)
        sideways = evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth")
        picture = b""
        if screenshot:
            answer = call("Page.captureScreenshot", captureBeyondViewport=True)
            picture = base64.b64decode(answer["data"])
        events = [event for event in self._events if event.get("sessionId") == session]
        self._call("Target.closeTarget", {"targetId": target})
        return Page(_requests(events, path), _console(events), figures, sideways, picture)

    def _call(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._events.append(answer)

    def _wait_for(self, method: str, session: str) -> None:
        deadline = time.monotonic() + 60
        while not any(e.get("method") == method and e.get("sessionId") == session for e in self._events):
            self._events.append(self._read(deadline))

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            assert chunk, "Chromium has ended or does not answer."
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def faults(page: Page) -> list[str]:
    """All that must not be: empty when the page is as it should be."""
    found = [f"request: {url}" for url in page.requests] + [f"console: {said}" for said in page.console]
    for index, figure in enumerate(page.figures):
        if figure["drawings"] != 1 or figure["width"] < 200 or figure["height"] < 60:
            found.append(f"size: figure {index} shows {figure['drawings']} drawings, {figure['width']} px wide")
        if figure["marks"] < 10 or figure["texts"] < 5:
            found.append(f"empty: figure {index} has {figure['marks']} marks, {figure['texts']} texts")
        found += [f"cut: {text!r}" for text in figure["cut"]] + [f"overlap: {pair!r}" for pair in figure["overlaps"]]
    if page.sideways > 0:
        found.append(f"sideways: the page is {page.sideways} px wider than its window")
    return found


def find() -> str:
    """The path of Chromium. Without one the test is skipped, but in CI (CI=true) it fails."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        "",
    )
    if not found and os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail("Chromium is missing, and CI has to open the report in it: install Debian's package `chromium`.")
    if not found:
        pytest.skip("Chromium is not installed; CI opens the report in it.")
    return found


def _high_pipe() -> list[int]:
    low = os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in low]
    for fd in low:
        os.close(fd)
    return high


def _requests(events: list[dict[str, Any]], path: Path) -> list[str]:
    urls = [e["params"]["request"]["url"] for e in events if e.get("method") == "Network.requestWillBeSent"]
    return [url for url in urls if url != path.as_uri() and not url.startswith("data:")]


def _console(events: list[dict[str, Any]]) -> list[str]:
    said = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            said.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif method == "Runtime.exceptionThrown":
            said.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            said.append(params["entry"]["text"])
    return said
