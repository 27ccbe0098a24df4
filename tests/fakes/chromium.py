"""Headless Chromium over its debugging pipe: opens a page, and tells what it logged, asked for and looks like."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
WITHIN = 120.0  # s: for any answer of a browser


def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Visit:
    """What opening a page did.

    logged        errors and warnings of the console, exceptions, and what the browser itself reports
    requested     URLs, data: excepted
    scroll_width  px that the page needs, of `width` that there are
    """

    width: int
    logged: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    scroll_width: int = 0
    height: int = 0
    png: bytes = b""
    evaluated: Any = None


class Browser:
    """A running Chromium; commands go in by file descriptor 3 and answers come out by 4, each ended by a zero byte."""

    def __init__(self, into: int, out: int):
        self._into, self._out = into, out
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(self._into, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found["error"]
                return found["result"]
            self.events.append(found)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + WITHIN
        while b"\0" not in self._rest:
            assert time.monotonic() < deadline, "Chromium says nothing"
            part = os.read(self._out, 1 << 20)
            assert part, "Chromium ended"
            self._rest += part
        one, self._rest = self._rest.split(b"\0", 1)
        return json.loads(one)

    def visit(self, page: Path, width: int, dark: bool = False, script: str = "null") -> Visit:
        """Open a file in a window of that width and look at it; `script` is evaluated in it at the end."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable", session)
        shape = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", session, **shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        self.call("Page.navigate", session, url=page.resolve().as_uri())
        self.wait_for("Page.loadEventFired")
        value = self.call("Runtime.evaluate", session, expression=script, returnByValue=True)["result"].get("value")
        sizes = self.call("Page.getLayoutMetrics", session)["cssContentSize"]
        shot = self.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)
        found = Visit(width, scroll_width=round(sizes["width"]), height=round(sizes["height"]), evaluated=value)
        found.png = b64decode(shot["data"])
        for event in self.events:
            _note(found, event.get("method", ""), event.get("params", {}))
        self.call("Target.closeTarget", targetId=target)
        return found


def _note(found: Visit, method: str, params: dict[str, Any]) -> None:
    if method == "Network.requestWillBeSent":
        if not params["request"]["url"].startswith("data:"):
            found.requested.append(params["request"]["url"])
    elif method == "Runtime.exceptionThrown":
        found.logged.append(str(params["exceptionDetails"]))
    elif method == "Log.entryAdded":
        found.logged.append(params["entry"]["text"])
    elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
        found.logged.append(str(params["args"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it with all its processes' pipes."""
    there = chromium()
    assert there is not None
    read_commands, write_commands = os.pipe()
    read_results, write_results = os.pipe()

    def as_3_and_4() -> None:
        commands, results = os.dup(read_commands), os.dup(write_results)
        os.dup2(commands, 3)
        os.dup2(results, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                   "--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={profile}")  # fmt: skip
        process = subprocess.Popen(
            [there, *options, "about:blank"],
            preexec_fn=as_3_and_4, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_commands)
        os.close(write_results)
        try:
            yield Browser(write_commands, read_results)
        finally:
            os.close(write_commands)
            process.kill()
            process.wait()
            os.close(read_results)
