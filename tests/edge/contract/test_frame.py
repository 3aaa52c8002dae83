"""The kinds of source that need no thread: real time is kept, the pattern moves."""

from __future__ import annotations

import numpy as np
import pytest

from edge.sources.files import PacedCapture
from edge.sources.opening import open_source
from edge.sources.pattern import PatternSource
from tests.edge.fakes import FakeClock
from tests.edge.sources.captures import FakeCamera

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
