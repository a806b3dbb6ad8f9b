"""A real browser without a window, told what to do by the DevTools protocol over a web socket."""

import base64
import io
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTH, HEIGHT = 640, 400
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
    "--disable-background-networking", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows", "--remote-allow-origins=*",
)  # fmt: skip


class Page:
    """One tab."""

    def __init__(self, address: str, url: str):
        from websockets.sync.client import connect

        self._socket = connect(address, max_size=None)
        self._number = 0
        self.log: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command, and its answer."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv(timeout=120))
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.log.append(json.dumps(said["params"]))
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                found: dict[str, Any] = said["result"]
                return found

    def run(self, script: str) -> Any:
        """The value of a script."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self) -> NDArray[np.uint8]:
        """What the tab shows, [H, W, 3]."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def drag(self, x: int, y: int, dx: int, dy: int) -> None:
        """With the left button; a click where it does not move."""
        for kind, at, held in (
            ("mousePressed", (x, y), 1),
            ("mouseMoved", (x + dx, y + dy), 1),
            ("mouseReleased", (x + dx, y + dy), 0),
        ):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", buttons=held, clickCount=1
            )

    def close(self) -> None:
        """The connection; the tab goes with the browser."""
        self._socket.close()


class Browser:
    """A running program, and its tabs."""

    def __init__(self, program: str, folder: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [program, *FLAGS, f"--remote-debugging-port={self.port}", f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def open(self, url: str) -> Page:
        """A new tab."""
        found = self._ask("/json/new", "PUT")
        return Page(found["webSocketDebuggerUrl"], url)

    def end(self, page: Page) -> None:
        """Close a tab, as somebody does who has seen enough."""
        page.call("Page.close")
        page.close()

    def _ask(self, path: str, method: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        end = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found: dict[str, Any] = json.loads(answer.read())
                    return found
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.2)


def program() -> str | None:
    """The system's browser."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Skips, with the reason, where there is none or where it does not start."""
    path = program()
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(PROGRAMS)}), so nothing is looked at")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Browser(path, str(Path(folder) / "profile"))
        try:
            try:
                made._ask("/json/version", "GET")
            except OSError as error:
                pytest.skip(f"the browser '{path}' does not start ({error}), so nothing is looked at")
            yield made
        finally:
            made.process.terminate()
            try:
                made.process.wait(20)
            except subprocess.TimeoutExpired:
                made.process.kill()
                made.process.wait()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be so in time"
        time.sleep(0.05)
