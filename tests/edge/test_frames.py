"""The kinds of source by themselves: the newest frame wins, real time is kept, the pattern moves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.frames import NewestSource, PacedCapture, PatternSource
from edge.source import open_source
from tests.edge.fakes import FakeClock, picture

Picture = NDArray[np.uint8]


class FakeCamera:
    """A capture that delivers `number` as its grey level, as often as it is permitted to."""

    def __init__(self, last: int | None = None, torn: frozenset[int] = frozenset()) -> None:
        self.asked = 0  # calls of grab
        self.released = 0
        self._permits = 0
        self._last = last
        self._torn = torn
        self._number = -1
        self._changed = threading.Condition()

    def permit(self, frames: int) -> None:
        """Let so many grabs happen and wait until they have, and the thread is back for the next."""
        with self._changed:
            self._permits += frames
            wanted = self._permits + 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.asked >= wanted or self.released, timeout=10)

    def grab(self) -> bool:
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._permits >= self.asked, timeout=10)
            self._number += 1
            return self._last is None or self._number <= self._last

    def retrieve(self) -> tuple[bool, Picture | None]:
        return (False, None) if self._number in self._torn else (True, picture(self._number % 256))

    def release(self) -> None:
        with self._changed:
            self.released += 1
            self._changed.notify_all()

    def wait_until_released(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.released, timeout=10)

    def let_go(self) -> None:
        with self._changed:
            self._permits += 10**6
            self._changed.notify_all()


@pytest.fixture
def newest() -> Iterator[Callable[..., tuple[NewestSource, FakeCamera]]]:
    """Makes a NewestSource over a FakeCamera, and ends its thread after the test."""
    made: list[tuple[NewestSource, FakeCamera]] = []

    def make(camera: FakeCamera | None = None, **options: bool | float) -> tuple[NewestSource, FakeCamera]:
        camera = camera or FakeCamera()
        made.append((NewestSource("camera 0", camera, **options), camera))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for source, camera in made:
        closing = threading.Thread(target=source.close)
        closing.start()
        camera.let_go()
        closing.join(timeout=10)
        assert camera.released == 1


# Cameras and streams: the newest frame wins


def test_from_a_camera_a_hundred_times_faster_the_newest_frame_wins(
    newest: Callable[..., tuple[NewestSource, FakeCamera]],
) -> None:
    source, camera = newest()
    for turn in range(1, 4):
        camera.permit(100)
        frame = source.read()
        assert frame is not None
        assert frame.number == 100 * turn - 1
        assert frame.image_bgr[0, 0, 0] == frame.number % 256
        assert source.dropped == 99 * turn


def test_a_camera_frame_carries_the_time_of_its_capture(
    newest: Callable[..., tuple[NewestSource, FakeCamera]],
) -> None:
    clock = FakeClock(5.0)
    source, camera = newest(clock=clock)
    camera.permit(1)
    clock.now = 9.0
    frame = source.read()
    assert frame is not None
    assert frame.captured_at == 5.0


def test_a_frame_is_delivered_once(newest: Callable[..., tuple[NewestSource, FakeCamera]]) -> None:
    source, camera = newest(stall_s=0.01)
    camera.permit(1)
    assert source.read() is not None
    with pytest.raises(SourceError, match=r"^camera 0: no frame for 0\.01 s; check cable and network$"):
        source.read()


def test_a_few_torn_frames_are_survived(newest: Callable[..., tuple[NewestSource, FakeCamera]]) -> None:
    source, camera = newest(FakeCamera(torn=frozenset({0, 1, 3})))
    camera.permit(4)
    frame = source.read()
    assert frame is not None
    assert frame.image_bgr[0, 0, 0] == 2


@pytest.mark.parametrize("may_end", [False, True], ids=["stream", "file in real time"])
def test_the_last_frame_is_delivered_before_the_end(
    newest: Callable[..., tuple[NewestSource, FakeCamera]], may_end: bool
) -> None:
    source, camera = newest(FakeCamera(last=6), may_end=may_end)
    camera.let_go()
    camera.wait_until_released()
    frame = source.read()
    assert frame is not None
    assert frame.number == 6
    if may_end:
        assert source.read() is None
    else:
        with pytest.raises(SourceError, match=r"^camera 0: ended after 7 frames; check that it is still there$"):
            source.read()


def test_a_waiting_read_returns_when_told_to_stop(newest: Callable[..., tuple[NewestSource, FakeCamera]]) -> None:
    source, _ = newest()
    stop, answers = threading.Event(), []
    reader = threading.Thread(target=lambda: answers.append(source.read(stop)), daemon=True)
    reader.start()
    stop.set()
    reader.join(timeout=10)
    assert answers == [None]


# A file in real time


def test_a_video_in_real_time_keeps_its_own_pace() -> None:
    clock, camera = FakeClock(), FakeCamera()
    camera.let_go()
    paced = PacedCapture(camera, 20.0, clock=clock, sleep=clock.sleep)
    stamps = []
    for _ in range(4):
        assert paced.grab()
        stamps.append(clock())
    assert np.diff(stamps) == pytest.approx([0.05] * 3)


def test_a_video_in_real_time_does_not_run_faster_to_catch_up_by_more_than_it_lags() -> None:
    clock, camera = FakeClock(), FakeCamera()
    camera.let_go()
    paced = PacedCapture(camera, 10.0, clock=clock, sleep=clock.sleep)
    paced.grab()
    clock.now += 0.15  # decoding took longer than a frame
    for _ in range(2):
        paced.grab()
    assert clock() == pytest.approx(100.2)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 90_000.0])
def test_a_video_that_does_not_say_its_rate_gets_the_usual_one(fps: float) -> None:
    clock = FakeClock()
    assert PacedCapture(FakeCamera(), fps, clock=clock, sleep=clock.sleep).fps == 25


# The test pattern


def test_the_pattern_moves_and_repeats_exactly() -> None:
    one, other = PatternSource((64, 48)), PatternSource((64, 48))
    assert (one.image(7) == other.image(7)).all()
    assert (one.image(7) != one.image(8))[:4].any()  # the disc does not reach these rows: the background moves too
    assert (one.image(7) != one.image(8))[20:28].any()
    assert one.image(10_000).shape == (48, 64, 3)


def test_the_pattern_comes_at_thirty_frames_a_second() -> None:
    clock = FakeClock()
    source = open_source("test", size_wh=(64, 48), clock=clock, sleep=clock.sleep)
    frames = [source.read() for _ in range(31)]
    assert clock() == pytest.approx(101.0)
    assert [frame.number for frame in frames if frame] == list(range(31))
    assert {frame.image_bgr.shape for frame in frames if frame} == {(48, 64, 3)}
    assert source.is_live


def test_the_pattern_drops_frames_for_a_slow_reader() -> None:
    clock = FakeClock()
    source = open_source("test", size_wh=(64, 48), clock=clock, sleep=clock.sleep)
    source.read()
    clock.now += 1.01
    frame = source.read()
    assert frame is not None
    assert (frame.number, source.dropped, frame.captured_at) == (30, 29, clock())
