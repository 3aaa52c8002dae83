"""How streams are opened: with which limits and threads, and without the frames that came in the meantime."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.sources.stream import FreshCapture, open_stream
from tests.edge.fakes import FakeClock, picture


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
