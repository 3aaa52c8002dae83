"""Fault drill: real stream servers are killed, frozen, slowed, broken; each time the source recovers and says so."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.contract.event import NO_PICTURE, PICTURE_BACK, REOPENING, Event
from edge.contract.frame import Frame, Source
from edge.sources.opening import open_source
from edge.sources.stream import FreshCapture, open_stream
from edge.sources.watchdog import Patience, WatchedSource
from tests.edge.sources.streams import (
    CORRUPT,
    FROZEN,
    GARBAGE,
    LIVE,
    RESET,
    SILENT,
    TRICKLE,
    MjpegCamera,
    RtspServer,
    age_s,
)

pytestmark = pytest.mark.stream

SOON = Patience(stall_s=1.0, freeze_s=1.0, first_wait_s=0.2, longest_wait_s=0.5)


@dataclass
class Watch:
    """A source, and what it has told."""

    source: Source = field(init=False)
    events: list[Event] = field(default_factory=list)

    def frame(self) -> Frame:
        frame = self.source.read()
        assert frame is not None
        return frame

    def frames_for(self, seconds: float) -> list[float]:
        """Ages of the pictures that come, in seconds, each by the time that is in it."""
        ages, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            frame = self.frame()
            ages.append(age_s(frame.image_bgr, time.monotonic()))
        return ages

    def outage(self) -> tuple[str, list[str]]:
        """Reads until a picture is back; returns the reason that was told and what happened, updates left out."""
        self.events.clear()
        while not any(event.kind == PICTURE_BACK for event in self.events):
            self.frame()
        told = [event for event in self.events if not event.is_update]
        return str(told[0].data["reason"]), [event.kind for event in told]


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watch]]:
    watches: list[Watch] = []

    def start(address: str) -> Watch:
        made = Watch()
        watches.append(made)

        def open_once() -> FreshCapture:
            return FreshCapture(open_stream(address, 5.0 if address.startswith("rtsp") else SOON.stall_s))

        made.source = WatchedSource(address, open_once, first=open_once(), patience=SOON, tell=made.events.append)
        return made

    yield start
    for made in watches:
        made.source.close()


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with MjpegCamera() as camera:
        yield camera


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.kill()


def after(seconds: float, do: Callable[[], object]) -> None:
    threading.Timer(seconds, do).start()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (SILENT, "no frame"),
        (TRICKLE, "no frame"),
        (FROZEN, "the same picture, bit by bit, for 1"),
        (GARBAGE, "ended after"),
        (CORRUPT, "ended after"),
        (RESET, "ended after"),
    ],
)
def test_an_http_camera_that_misbehaves_is_recovered_from(
    watch: Callable[[str], Watch], camera: MjpegCamera, mode: str, reason: str
) -> None:
    watched = watch(camera.address)
    assert max(watched.frames_for(0.5)) < 0.5
    camera.mode = mode
    after(2.5, lambda: setattr(camera, "mode", LIVE))
    found, kinds = watched.outage()
    assert found.startswith(reason)
    assert kinds[0] == NO_PICTURE
    assert kinds[-1] == PICTURE_BACK
    assert REOPENING in kinds
    assert watched.source.reopened >= 1
    if mode == FROZEN:  # the same picture, after it was opened again: taken as still until it changes
        watched.frames_for(2.5)
        assert watched.source.reopened == 1
    assert max(watched.frames_for(0.5)) < 0.5


def test_an_http_camera_without_power_is_found_again(watch: Callable[[str], Watch], camera: MjpegCamera) -> None:
    watched = watch(camera.address)
    watched.frames_for(0.3)
    camera.stop()
    after(1.5, camera.start)
    reason, kinds = watched.outage()
    assert reason.startswith("ended after")
    assert kinds[:2] == [NO_PICTURE, REOPENING]
    assert max(watched.frames_for(0.5)) < 0.5


def test_an_rtsp_server_that_is_killed_is_found_again(watch: Callable[[str], Watch], rtsp: RtspServer) -> None:
    watched = watch(rtsp.address)
    watched.frames_for(0.5)
    rtsp.kill()
    after(1.0, rtsp.start)
    reason, kinds = watched.outage()
    assert reason.startswith("ended after")
    assert kinds[:2] == [NO_PICTURE, REOPENING]
    assert max(watched.frames_for(1.0)) < 1.0


def test_an_rtsp_server_that_hangs_is_left_and_found_again(watch: Callable[[str], Watch], rtsp: RtspServer) -> None:
    watched = watch(rtsp.address)
    watched.frames_for(0.5)
    rtsp.send(signal.SIGSTOP)
    after(2.5, lambda: rtsp.send(signal.SIGCONT))
    reason, kinds = watched.outage()
    assert reason.startswith("no frame")
    assert REOPENING in kinds
    watched.frames_for(1.0)  # what the server held back
    assert max(watched.frames_for(1.0)) < 1.0


def test_an_rtsp_camera_that_freezes_is_opened_again_but_once(watch: Callable[[str], Watch], rtsp: RtspServer) -> None:
    watched = watch(rtsp.address)
    watched.frames_for(0.5)
    rtsp.send(signal.SIGUSR1)
    reason, kinds = watched.outage()
    assert reason.startswith("the same picture, bit by bit, for 1")
    assert kinds == [NO_PICTURE, REOPENING, PICTURE_BACK]
    watched.frames_for(2.5)
    assert watched.source.reopened == 1
    rtsp.send(signal.SIGUSR1)
    watched.frames_for(1.0)
    assert max(watched.frames_for(1.0)) < 1.0


def test_an_rtsp_stream_starts_with_now_and_not_with_what_was_sent_while_it_was_opened(rtsp: RtspServer) -> None:
    source = open_source(rtsp.address)
    frame = source.read()
    source.close()
    assert frame is not None
    assert age_s(frame.image_bgr, time.monotonic()) < 0.5  # to open it takes more than a second


def test_a_slow_reader_of_a_fast_camera_is_never_behind(watch: Callable[[str], Watch]) -> None:
    inference_s, ages = 0.2, []
    with MjpegCamera(fps=120) as camera:
        watched = watch(camera.address)
        for _ in range(15):
            frame = watched.frame()
            time.sleep(inference_s)
            ages.append(age_s(frame.image_bgr, time.monotonic()))
        assert watched.source.dropped > 2 * len(ages)
    assert max(ages) < 2 * inference_s


def test_months_of_reopening_leave_neither_threads_nor_descriptors(
    watch: Callable[[str], Watch], camera: MjpegCamera
) -> None:
    watched = watch(camera.address)

    def reset_once() -> None:
        watched.frames_for(0.1)
        camera.mode = RESET
        after(0.3, lambda: setattr(camera, "mode", LIVE))
        watched.outage()

    reset_once()
    before = open_descriptors()
    for _ in range(5):
        reset_once()
    watched.frames_for(0.3)
    assert open_descriptors() <= before + 2  # the camera's own threads may still be closing one
    assert sum(thread.name == "grab" for thread in threading.enumerate()) == 1


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
