"""Streams over HTTP and RTSP, from servers in this process."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import pytest

from edge.errors import SourceError
from edge.frames import Source
from edge.source import open_source, shown_name
from tests.edge.fakes import one_line, picture, read_all, write_clip


class MjpegServer:
    """Serves pictures as multipart/x-mixed-replace, the way cameras do; `hold` keeps the line open after the last."""

    def __init__(self, levels: list[int], *, hold: bool, is_silent: bool = False) -> None:
        self.done = threading.Event()
        handler = type(
            "Handler", (_MjpegHandler,), {"levels": levels, "hold": hold, "silent": is_silent, "owner": self}
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/stream.mjpg"

    def close(self) -> None:
        self.done.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _MjpegHandler(BaseHTTPRequestHandler):
    levels: list[int]
    hold: bool
    silent: bool
    owner: MjpegServer

    def do_GET(self) -> None:
        if self.silent:
            self.owner.done.wait(10)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for level in self.levels:
                self._part(level)
            if self.hold:
                self.owner.done.wait(10)
        except OSError:  # the reader has closed its end
            return

    def _part(self, level: int) -> None:
        jpeg = cv2.imencode(".jpg", picture(level, (64, 48)), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
        self.wfile.write(b"Content-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg))

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def serve() -> Iterator[Callable[..., MjpegServer]]:
    servers: list[MjpegServer] = []

    def start(levels: list[int], **options: bool) -> MjpegServer:
        servers.append(MjpegServer(levels, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def read_to_failure(source: Source) -> tuple[list[int], str]:
    """The grey level in the middle of each frame, and what the source said when it failed."""
    levels: list[int] = []
    try:
        while frame := source.read():
            levels.append(int(frame.image_bgr[24, 32, 0]))
    except SourceError as error:
        return levels, str(error)
    finally:
        source.close()
    pytest.fail("a stream has no end of its own")


def test_an_http_mjpeg_stream_is_live_and_its_end_is_one_line(serve: Callable[..., MjpegServer]) -> None:
    server = serve(list(range(0, 200, 2)), hold=False)
    source = open_source(server.address, stall_s=5)
    levels, message = read_to_failure(source)
    assert re.fullmatch(r"http://.*/stream\.mjpg: ended after \d+ frames; check that it is still there", message)
    assert source.is_live
    assert levels == sorted(levels)


def test_the_last_picture_of_a_stream_gets_through(serve: Callable[..., MjpegServer]) -> None:
    server = serve([*range(0, 100, 2), 200, 200], hold=False)
    source = open_source(server.address, stall_s=5)
    levels, _ = read_to_failure(source)
    assert levels[-1] == pytest.approx(200, abs=3)


def test_a_stream_that_stalls_is_one_line(serve: Callable[..., MjpegServer]) -> None:
    server = serve([50] * 100, hold=True)
    source = open_source(server.address, stall_s=0.3)
    _, message = read_to_failure(source)
    server.done.set()
    assert re.fullmatch(r"http://.*/stream\.mjpg: no frame for 0\.3 s; check cable and network", message)


def test_a_server_that_never_answers_is_one_line(
    serve: Callable[..., MjpegServer], capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve([], hold=False, is_silent=True)
    with pytest.raises(
        SourceError, match=r"could not open .*: no video stream within 0\.3 s; check the address"
    ) as caught:
        open_source(server.address, stall_s=0.3)
    one_line(caught)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_stream_that_is_not_there_hides_the_password(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=rf"could not open {scheme}://127.0.0.1:9/x: no video stream") as caught:
        open_source(f"{scheme}://me:secret@127.0.0.1:9/x")
    assert "secret" not in one_line(caught)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("rtsp://me:se@cret@cam:554/live?a=b@c", "rtsp://cam:554/live?a=b@c"),
        ("http://cam/x", "http://cam/x"),
        ("clips/me@home.mp4", "clips/me@home.mp4"),
    ],
)
def test_an_address_is_shown_without_its_password(spec: str, shown: str) -> None:
    assert shown_name(spec) == shown


def test_a_file_on_a_server_is_read_frame_by_frame(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "clip.avi", list(range(40))).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            source = open_source(f"http://127.0.0.1:{server.server_address[1]}/clip.avi")
            levels = [int(frame.image_bgr[0, 0, 0]) for frame in read_all(source)]
        finally:
            server.shutdown()
    assert levels == list(range(40))
