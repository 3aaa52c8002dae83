"""A served page for tests: a run that says what a test wants, a store of uncertain frames, and a client.

Everything stays on the loopback interface, on a port that was free.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.decision import Decision
from edge.contract.frame import Frame
from edge.contract.health import LIVE, Health
from edge.errors import UsageError
from edge.sinks.uncertain.store import UncertainStore, Waiting
from edge.sinks.web.connections import Connections, Viewers
from edge.sinks.web.site import Site
from tests.edge.fakes import LABELS, decision, frame

TOKEN = "a-token-of-the-tests"
PATIENCE_S = 10.0
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line of a refusal."""
        assert self.status >= 400, self.body
        assert set(self.json) == {"error"}
        text = str(self.json["error"])
        assert "\n" not in text
        return text


@dataclass
class FakeStore(UncertainStore):
    """Uncertain frames in memory."""

    frames: dict[str, bytes] = field(default_factory=lambda: {"20261123T065000123Z": PNG, "20261123T065001123Z-2": PNG})
    labelled: list[tuple[str, str]] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    problem: Exception | None = None  # raised by whatever writes

    def waiting(self, limit: int = 50) -> list[Waiting]:
        return [Waiting(name, 1_800_000_000.25, [("roses", 0.5), ("tulips", 0.25)]) for name in self.frames][:limit]

    def png(self, name: str) -> bytes:
        if name not in self.frames:
            raise UsageError(f"frame {name}: no such one is waiting")
        return self.frames[name]

    def label(self, name: str, label: str) -> Path:
        self._take(name)
        self.labelled.append((name, label))
        return Path(label) / name

    def discard(self, name: str) -> None:
        self._take(name)
        self.discarded.append(name)

    def _take(self, name: str) -> None:
        if self.problem:
            raise self.problem
        self.png(name)
        del self.frames[name]


@dataclass
class Served:
    """A site and what its run says."""

    site: Site
    store: FakeStore
    now: list[Health]  # one: the present

    @property
    def port(self) -> int:
        return self.site.port

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())

    def post(self, path: str, record: object, **headers: str) -> Reply:
        given = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask(path, "POST", headers=given, body=json.dumps(record).encode())

    @contextlib.contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """A path that never ends."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            with connection.getresponse() as answer:
                yield answer

    def raw(self, content: bytes, receive_buffer: int | None = None) -> socket.socket:
        """A connection that has sent `content` and may never read."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(content)
        return connection

    def show(self, shown: Decision | None = None, picture: Frame | None = None) -> None:
        self.site.scene.show(shown or decision(), picture or frame())


def health(**changes: Any) -> Health:
    """Of a run that is well, but for `changes`."""
    well: dict[str, Any] = {
        "time": 1_800_000_000.5, "uptime_s": 12.0, "state": LIVE, "reason": None, "model": "flowers.tflite",
        "labels": LABELS, "source": "camera 0", "picture_age_s": 0.25, "frames": 120, "dropped": 3, "fps": 14.5,
    }  # fmt: skip
    return Health(**(well | changes))


@contextlib.contextmanager
def served(
    address: str = "127.0.0.1:0",
    *,
    token: str | None = None,
    store: UncertainStore | None = None,
    has_store: bool = True,
    connections: Callable[[], Connections] = Connections,
    viewers: Callable[[], Viewers] = Viewers,
) -> Iterator[Served]:
    """A site over `store`, over a fake one, or over none; closed in the end."""
    fake, now = FakeStore(), [health()]
    kept = (store or fake) if has_store else None
    site = Site(
        address, health=lambda: now[0], labels=lambda: now[0].labels, store=kept, token=token,
        environ={}, connections=connections, viewers=viewers,
    )  # fmt: skip
    try:
        yield Served(site, fake, now)
    finally:
        site.close()


def with_evidence(shown: Decision, evidence: NDArray[np.float32] | None = None) -> Decision:
    """The same decision, of a model that says where in the picture it comes from: here the upper left."""
    if evidence is None:
        evidence = np.zeros((4, 4, len(shown.probabilities)), np.float32)
        evidence[:2, :2] = 5.0
    return replace(shown, result=replace(shown.result, evidence=evidence))


def until(is_so: Callable[[], bool], why: str) -> None:
    """Wait for another thread."""
    waiting, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"in {PATIENCE_S:g} s it never came to be that {why}"
        waiting.wait(0.01)


def end_of(connection: socket.socket) -> bytes:
    """What still comes until the other side has cut the connection, however it did."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while some := connection.recv(65536):
            found += some
    return found


def parts(answer: http.client.HTTPResponse) -> Iterator[tuple[dict[str, str], bytes]]:
    """The pictures of a multipart stream with their headers."""
    assert answer.readline() == b"--frame\r\n"
    while True:
        head: dict[str, str] = {}
        while line := answer.readline().strip():
            name, _, value = line.decode().partition(": ")
            head[name] = value
        yield head, answer.read(int(head["Content-Length"]))
        assert answer.read(11) == b"\r\n--frame\r\n"


def messages(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    """Server-sent events as (kind, id, record)."""
    fields: dict[str, str] = {}
    for line in iter(answer.readline, b""):
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}
