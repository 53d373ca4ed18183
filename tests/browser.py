"""A real browser without a window: Chromium over its own protocol, with everything it asked for and complained about.

Tests that need it are skipped where no Chromium is installed, unless ``CXR_TEST_BROWSER`` names one: then it must be
there (CI sets it).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60
_FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--hide-scrollbars", "--remote-debugging-port=0", "--mute-audio"),
)


class Page:
    """A tab.

    Attributes:
        requests: Every address that the page asked for, its own included.
        complaints: Errors and warnings of the console, of security policy and of scripts.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._loaded = False
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, *, width: int, dark: bool = False) -> Page:
        """Show a file in a window so many CSS pixels wide, and wait until everything in it has loaded."""
        self.requests, self.complaints, self._loaded = [], [], False
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.absolute().as_uri())
        deadline = time.monotonic() + _SECONDS
        while not self._loaded:
            assert time.monotonic() < deadline, f"{path} does not load"
            self._receive()
        return self

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        return base64.b64decode(answer["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, answered."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=_SECONDS))
        given = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(given["request"]["url"])
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(given["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"].get("text")))
            case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
                self.complaints.append(given["entry"]["text"])
            case "Page.loadEventFired":
                self._loaded = True
        return message


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    """A tab of a Chromium of our own."""
    program = _program()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium refuses to run as root with its sandbox.
        more = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program, *_FLAGS, *more, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            # Figures in data: addresses make messages of megabytes.
            with connect(_address(Path(profile), process), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(timeout=_SECONDS)


def _program() -> str:
    named = os.environ.get("CXR_TEST_BROWSER")
    found = next(filter(None, map(shutil.which, [named] if named else _NAMES)), None)
    if found is None:
        assert not named, f"CXR_TEST_BROWSER names {named}, which is not installed"
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Of the tab that is open, once Chromium has told its port."""
    told = profile / "DevToolsActivePort"
    deadline = time.monotonic() + _SECONDS
    while not (told.is_file() and told.read_text(encoding="utf-8").strip()):
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    port = told.read_text(encoding="utf-8").split()[0]
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS) as answer:
            tabs = [tab for tab in json.loads(answer.read()) if tab["type"] == "page"]
        if tabs:
            return str(tabs[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline, "Chromium opens no tab"
        time.sleep(0.05)
