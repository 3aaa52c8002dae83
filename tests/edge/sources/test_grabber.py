"""The thread that grabs: the newest frame wins, one thread per capture, a file in real time ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.contract.frame import Capture
from edge.errors import SourceError
from edge.sources.files import RealtimeSource
from edge.sources.freeze import Freeze
from edge.sources.grabber import Grabber, Slot
from tests.edge.fakes import FakeClock
from tests.edge.sources.captures import FakeCamera

Make = Callable[..., tuple[RealtimeSource, FakeCamera]]


@pytest.fixture
def realtime() -> Iterator[Make]:
    """Makes a RealtimeSource over a FakeCamera, and ends its thread after the test."""
    made: list[tuple[RealtimeSource, FakeCamera]] = []

    def make(camera: FakeCamera | None = None, clock: FakeClock | None = None) -> tuple[RealtimeSource, FakeCamera]:
        camera, clock = camera or FakeCamera(), clock or FakeClock()
        made.append((RealtimeSource("clip.avi", camera, clock=clock, sleep=lambda seconds: None), camera))
        return made[-1]

    yield make
    for source, camera in made:
        closing = threading.Thread(target=source.close)
        closing.start()
        camera.let_go()
        closing.join(timeout=10)
        assert camera.released == 1


def test_from_a_camera_a_hundred_times_faster_the_newest_frame_wins(realtime: Make) -> None:
    source, camera = realtime()
    for turn in range(1, 4):
        camera.permit(100)
        frame = source.read()
        assert frame is not None
        assert frame.number == 100 * turn - 1
        assert frame.image_bgr[0, 0, 0] == frame.number % 256
        assert source.dropped == 99 * turn


def test_a_frame_carries_the_time_of_its_capture(realtime: Make) -> None:
    clock = FakeClock(5.0)
    source, camera = realtime(clock=clock)
    camera.permit(1)
    clock.now = 9.0
    frame = source.read()
    assert frame is not None
    assert frame.captured_at == 5.0


def test_a_few_torn_frames_are_survived(realtime: Make) -> None:
    source, camera = realtime(FakeCamera(torn=frozenset({0, 1, 3})))
    camera.permit(4)
    frame = source.read()
    assert frame is not None
    assert frame.image_bgr[0, 0, 0] == 2


def test_the_last_frame_of_a_file_comes_before_its_end(realtime: Make) -> None:
    source, camera = realtime(FakeCamera(last=6))
    camera.let_go()
    camera.wait_until_released()
    frame = source.read()
    assert frame is not None
    assert frame.number == 6
    assert source.read() is None


def test_a_waiting_read_returns_when_told_to_stop(realtime: Make) -> None:
    source, _ = realtime()
    stop, answers = threading.Event(), []
    reader = threading.Thread(target=lambda: answers.append(source.read(stop)), daemon=True)
    reader.start()
    stop.set()
    reader.join(timeout=10)
    assert answers == [None]


def grab_all(open_capture: Callable[[], Capture]) -> tuple[Slot, Grabber]:
    clock = FakeClock()
    slot = Slot("camera 0", clock)
    grabber = Grabber(slot, open_capture, freeze=Freeze(0), clock=clock, sleep=lambda seconds: None)
    grabber.join(10)
    assert not grabber.is_alive
    return slot, grabber


def test_a_capture_that_cannot_be_opened_says_why() -> None:
    def refuse() -> Capture:
        raise SourceError("no such device")

    assert grab_all(refuse)[1].reason == "no such device"


def test_a_capture_that_ends_is_released_in_the_thread_that_read_it() -> None:
    threads: list[int] = []

    class Camera(FakeCamera):
        def grab(self) -> bool:
            threads.append(threading.get_ident())
            return False

        def release(self) -> None:
            threads.append(threading.get_ident())

    _, grabber = grab_all(Camera)
    assert grabber.reason == "ended after 0 frames"
    assert len(threads) == 6
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("error", [cv2.error("no conversion"), SourceError("it has stopped")], ids=["torn", "gone"])
def test_an_error_while_reading_is_no_defect(error: Exception) -> None:
    class Camera(FakeCamera):
        def grab(self) -> bool:
            raise error

    reason = grab_all(Camera)[1].reason
    assert reason == ("it has stopped" if isinstance(error, SourceError) else "ended after 0 frames")


def test_no_frame_of_a_capture_that_was_let_go_counts() -> None:
    clock, camera = FakeClock(), FakeCamera()
    slot = Slot("camera 0", clock)
    grabber = Grabber(slot, lambda: camera, freeze=Freeze(0), clock=clock)
    camera.permit(1)
    assert slot.take() is not None
    grabber.let_go()
    camera.let_go()
    grabber.join(10)
    assert not grabber.is_alive
    assert not slot.has_frame
    assert camera.released == 1


def test_frames_that_nobody_will_come_for_are_not_decoded() -> None:
    clock = FakeClock()
    decoded: list[int] = []

    class Camera(FakeCamera):
        def grab(self) -> bool:
            is_there = super().grab()
            clock.now += 0.1
            return is_there

        def retrieve(self) -> tuple[bool, NDArray[np.uint8] | None]:
            decoded.append(self._number)
            return super().retrieve()

    camera, slot = Camera(), Slot("camera 0", clock, rest_s=1.0)
    grabber = Grabber(slot, lambda: camera, freeze=Freeze(0), clock=clock)
    camera.permit(5)
    first = slot.take()
    camera.permit(10)
    second = slot.take()
    grabber.let_go()
    camera.let_go()
    grabber.join(10)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (4, 14)
    assert decoded[:5] == [0, 1, 2, 3, 4]  # until the first is taken it may be any time
    assert {13, 14} <= {number for number in decoded if 5 <= number <= 14} <= {12, 13, 14}
    assert slot.picture_at > second.captured_at - 0.1
