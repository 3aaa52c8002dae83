"""A real browser for tests: Chromium without a window, driven over its DevTools protocol.

In:  a page's address, JavaScript expressions, clicks.
Out: what the expressions give, what the page wrote to its console, screenshots as PNG.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

Answer = TypeVar("Answer")

START_S, CALL_S, WAIT_S = 60.0, 30.0, 20.0
STEP_S = 0.1
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--remote-debugging-port=0", "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One page of one Chromium. Methods block."""

    def __init__(self, program: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.console: list[str] = []  # errors and warnings, of scripts and of the browser itself
        self._loop = asyncio.new_event_loop()
        self._number = 0
        try:
            self._run(self._attach(_port(folder / "DevToolsActivePort", self._process)))
        except BaseException:
            self.close()
            raise

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def size(self, width: int, height: int, *, is_phone: bool = False, is_dark: bool = False) -> None:
        """As a screen of so many CSS pixels; a phone has two device pixels to each."""
        scale = 2 if is_phone else 1
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=is_phone)  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def ask(self, expression: str) -> Any:
        """What a JavaScript expression gives; promises are awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, timeout_s: float = WAIT_S) -> Any:
        """Until an expression gives something true; that."""
        until = time.monotonic() + timeout_s
        while not (found := self.ask(expression)):
            assert time.monotonic() < until, f"never true: {expression}"
            self.rest(STEP_S)
        return found

    def rest(self, seconds: float) -> None:
        """Let the page go on."""
        self._run(asyncio.sleep(seconds))

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of an element, as a person would."""
        where = self.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center', behavior: 'instant'}); const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def screenshot(self, path: Path, *, is_whole: bool = False) -> None:
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=is_whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return self._run(self._call(method, parameters))

    def close(self) -> None:
        if not self._loop.is_closed():
            self._run(self._detach())
            self._loop.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return self._loop.run_until_complete(asyncio.wait_for(work, START_S))

    async def _attach(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [target for target in await answer.json() if target["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self._call(f"{domain}.enable", {})

    async def _detach(self) -> None:
        if hasattr(self, "_session"):
            await self._session.close()

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self._socket.receive_json(), CALL_S)
            self._note(message)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])

    def _note(self, message: dict[str, Any]) -> None:
        content = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(content["exceptionDetails"])[:600])
        elif message.get("method") == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.console.append(json.dumps(content["args"])[:600])
        elif message.get("method") == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            entry = content["entry"]
            self.console.append(f"{entry['text']} {entry.get('url', '')}")


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(STEP_S)
    raise AssertionError(f"chromium did not start (exit code {process.poll()})")
