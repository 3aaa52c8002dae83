"""A server of one archive on loopback, which can be told to misbehave."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Server:
    """What the server serves, how it misbehaves, and what it was asked."""

    body: bytes
    url: str = ""
    etag: str = '"one"'
    has_ranges: bool = True
    has_length: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each next connection ends
    status: int = 200
    shift: int = 0  # bytes by which a range begins too late
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)  # (Range, If-Range)

    def answer(self, asked_range: str | None, if_range: str | None) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((asked_range, if_range))
        if self.status != 200:
            return self.status, {}, b""
        start, status = 0, 200
        headers = {"ETag": self.etag} if self.etag else {}
        if self.has_ranges and asked_range and if_range in (None, self.etag):
            start, status = int(asked_range.removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(self.body):
                return 416, {}, b""
            start += self.shift
            headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        rest = self.body[start:]
        if self.has_length:
            headers["Content-Length"] = str(len(rest))
        return status, headers, rest[: self.cuts.pop(0)] if self.cuts else rest


@contextmanager
def serving(archive: str, body: bytes) -> Iterator[Server]:
    """Serve `body` at `/archive`, and at `/moved/archive` a redirection to it. `no_proxy` has to name 127.0.0.1."""
    state = Server(body)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                status, headers, answer = 302, {"Location": state.url}, b""
            else:
                status, headers, answer = state.answer(self.headers["Range"], self.headers["If-Range"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listener:
        state.url = f"http://127.0.0.1:{listener.server_port}/{archive}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        listener.shutdown()
        thread.join()
