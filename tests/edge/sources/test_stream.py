"""Streams over HTTP and RTSP: from servers in this process, and without the frames that came before they were open.

test_drill_streams.py has servers that misbehave.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.event import Event
from edge.contract.frame import Source
from edge.errors import SourceError
from edge.picture.video import quieten_opencv
from edge.sources.opening import open_source
from edge.sources.stream import FreshCapture, open_stream
from edge.sources.watchdog import Patience
from tests.edge.fakes import FakeClock, one_line, picture, read_all, write_clip


@pytest.fixture(autouse=True)
def _ffmpeg_is_quiet() -> None:
    quieten_opencv()  # FFmpeg reads once how much it may say, and these tests also write with it


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


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


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
    source = open_source(server.address, Patience(stall_s=5, give_up_after_s=0.1))
    levels, message = read_to_failure(source)
    assert re.fullmatch(
        r"http://.*/stream\.mjpg: no picture for \d s, given up as asked; reason: ended after \d+ frames", message
    )
    assert source.is_live
    assert levels == sorted(levels)


def test_the_last_picture_of_a_stream_gets_through(serve: Callable[..., MjpegServer]) -> None:
    server = serve([*range(0, 100, 2), 200, 200], hold=False)
    source = open_source(server.address, Patience(stall_s=5, give_up_after_s=0.1))
    levels, _ = read_to_failure(source)
    assert levels[-1] == pytest.approx(200, abs=3)


def test_a_stream_that_stalls_is_one_line(serve: Callable[..., MjpegServer]) -> None:
    server = serve([50] * 100, hold=True)
    source = open_source(server.address, Patience(stall_s=0.3, give_up_after_s=0.3))
    _, message = read_to_failure(source)
    server.done.set()
    assert re.fullmatch(r"http://.*/stream\.mjpg: no picture for 0 s, given up as asked; reason: .*", message)


def test_a_server_that_never_answers_is_one_line(
    serve: Callable[..., MjpegServer], capfd: pytest.CaptureFixture[str]
) -> None:
    server = serve([], hold=False, is_silent=True)
    with pytest.raises(
        SourceError, match=r"could not open .*: no video stream within 0\.3 s; check the address"
    ) as caught:
        open_source(server.address, Patience(stall_s=0.3))
    one_line(caught)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_stream_that_is_not_there_hides_the_password(scheme: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match=rf"could not open {scheme}://127.0.0.1:9/x: no video stream") as caught:
        open_source(f"{scheme}://me:secret@127.0.0.1:9/x")
    assert "secret" not in one_line(caught)
    assert capfd.readouterr().err == ""


def test_no_event_shows_the_password() -> None:
    events: list[Event] = []
    address, patience = "http://me:secret@127.0.0.1:9/x?token=secret", Patience(give_up_after_s=0.2)
    source = open_source(address, patience, tell=events.append)
    with pytest.raises(SourceError) as caught:
        source.read()
    assert events
    assert "secret" not in one_line(caught) + source.name + repr(events)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Location": "file://{clip}"}, ""),
        ({"Location": "concat:{clip}"}, ""),
        (
            {"Content-Type": "application/vnd.apple.mpegurl"},
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        ),
        (
            {"Content-Type": "application/vnd.apple.mpegurl"},
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n",
        ),
        ({"Content-Type": "text/plain"}, "ffconcat version 1.0\nfile {clip}\n"),
    ],
    ids=["redirect", "redirect to a protocol of FFmpeg", "playlist", "playlist without a scheme", "list to join"],
)
def test_a_server_cannot_make_a_file_of_this_machine_be_read(
    tmp_path: Path, headers: dict[str, str], body: str, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "secret.ts"
    writer = cv2.VideoWriter(str(clip), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for _ in range(20):
        writer.write(picture(10, (64, 48)))
    writer.release()
    assert read_all(open_source(str(clip)))
    capfd.readouterr()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if "Location" in headers else 200)
            for name, value in headers.items():
                self.send_header(name, value.format(clip=clip))
            self.end_headers()
            self.wfile.write(body.format(clip=clip).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    with (
        serving(Handler) as address,
        pytest.raises(SourceError, match=r"could not open http://.*|ended after 0 frames|holds no readable frame"),
    ):
        open_source(f"{address}/x.m3u8", Patience(stall_s=2)).read()
    assert capfd.readouterr().err == ""


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

    with serving(Handler) as address:
        levels = [int(frame.image_bgr[0, 0, 0]) for frame in read_all(open_source(f"{address}/clip.avi"))]
    assert levels == list(range(40))


class FakeStream:
    """A cv2.VideoCapture: `waiting` frames come at once, all others 1/25 s after each other."""

    def __init__(self, clock: FakeClock, waiting: int, *, fps: float = 25.0, last: int = 1000) -> None:
        self.number = -1
        self._clock, self._waiting, self._fps, self._last = clock, waiting, fps, last

    def let_wait(self, frames: int) -> None:
        self._waiting = self.number + 1 + frames

    def get(self, what: int) -> float:
        assert what == cv2.CAP_PROP_FPS
        return self._fps

    def grab(self) -> bool:
        self.number += 1
        self._clock.now += 0.002 if self.number < self._waiting else 0.04
        return self.number <= self._last

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        assert self.number <= self._last
        return True, picture(self.number % 256)

    def release(self) -> None:
        """Nothing is held."""


def fresh(stream: FakeStream, clock: FakeClock) -> FreshCapture:
    return FreshCapture(stream, clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("waiting", [0, 1, 30])
def test_frames_that_waited_while_the_stream_was_opened_are_passed_over(waiting: int) -> None:
    clock = FakeClock()
    stream = FakeStream(clock, waiting)
    capture = fresh(stream, clock)
    assert capture.grab()
    assert stream.number == waiting
    assert capture.grab()
    assert stream.number == waiting + 1


def test_frames_that_waited_while_this_thread_had_no_turn_are_passed_over() -> None:
    clock = FakeClock()
    stream = FakeStream(clock, 0)
    capture = fresh(stream, clock)
    for _ in range(10):
        assert capture.grab()
    clock.now += 0.8
    stream.let_wait(20)
    assert capture.grab()
    assert stream.number == 9 + 20 + 1  # the first that had not waited


def test_a_stream_that_is_always_behind_is_still_looked_at() -> None:
    clock = FakeClock()
    stream = FakeStream(clock, 2000, last=10**6)
    capture = fresh(stream, clock)
    assert capture.grab()
    first_s, before = clock.now - 100, clock.now
    assert capture.grab()
    assert first_s < 2.1
    assert clock.now - before < 0.3


def test_a_stream_that_comes_as_fast_as_it_is_read_is_not_passed_over() -> None:
    clock = FakeClock()
    stream = FakeStream(clock, 10**6, last=10**6)
    capture = fresh(stream, clock)
    for _ in range(200):
        assert capture.grab()
    before = stream.number
    assert capture.grab()
    assert stream.number == before + 1


@pytest.mark.parametrize("fps", [0.0, float("nan"), 90_000.0, -1.0])
def test_a_rate_that_is_none_is_no_matter(fps: float) -> None:
    clock = FakeClock()
    stream = FakeStream(clock, 10, fps=fps)
    assert fresh(stream, clock).grab()
    assert stream.number == 10


def test_of_a_stream_that_ends_meanwhile_the_last_frame_comes() -> None:
    clock = FakeClock()
    capture = fresh(FakeStream(clock, 30, last=3), clock)
    assert capture.grab()
    assert capture.retrieve()[1][0, 0, 0] == 3
    assert not capture.grab()


def test_a_frame_that_is_not_passed_over_is_the_one_that_was_grabbed() -> None:
    clock = FakeClock()
    capture = fresh(FakeStream(clock, 5), clock)
    assert capture.grab()
    assert capture.retrieve()[1][0, 0, 0] == 5


@pytest.mark.parametrize(
    ("size_wh", "threads"), [((1280, 720), [1]), ((1920, 1080), [1, None])], ids=["small", "large: again with all"]
)
def test_only_large_streams_are_decoded_by_many_threads(
    monkeypatch: pytest.MonkeyPatch, size_wh: tuple[int, int], threads: list[int | None]
) -> None:
    asked: list[dict[int, int]] = []

    class Capture:
        def __init__(self, address: str, backend: int, limits: list[int]) -> None:
            asked.append(dict(zip(limits[::2], limits[1::2], strict=True)))

        def isOpened(self) -> bool:
            return True

        def get(self, what: int) -> float:
            return {cv2.CAP_PROP_FRAME_WIDTH: size_wh[0], cv2.CAP_PROP_FRAME_HEIGHT: size_wh[1]}[what]

        def release(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    open_stream("rtsp://cam/live", 10)
    assert [limits.get(cv2.CAP_PROP_N_THREADS) for limits in asked] == threads
    assert {limits[cv2.CAP_PROP_OPEN_TIMEOUT_MSEC] for limits in asked} == {10_000}
    assert {limits[cv2.CAP_PROP_READ_TIMEOUT_MSEC] for limits in asked} == {11_000}


def test_an_address_is_checked_before_anything_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", None)
    with pytest.raises(SourceError, match="file:// is not supported"):
        open_stream("file:///etc/passwd", 10)
