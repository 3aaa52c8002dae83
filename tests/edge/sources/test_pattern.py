"""The test pattern: it moves, repeats exactly and keeps its time."""

from __future__ import annotations

import pytest

from edge.sources.camera import CameraOptions
from edge.sources.opening import open_source
from edge.sources.pattern import PatternSource
from tests.edge.fakes import FakeClock


def test_the_pattern_moves_and_repeats_exactly() -> None:
    one, other = PatternSource((64, 48)), PatternSource((64, 48))
    assert (one.image(7) == other.image(7)).all()
    assert (one.image(7) != one.image(8))[:4].any()  # the disc does not reach these rows: the background moves too
    assert (one.image(7) != one.image(8))[20:28].any()
    assert one.image(10_000).shape == (48, 64, 3)


def test_the_pattern_comes_at_thirty_frames_a_second() -> None:
    clock = FakeClock()
    source = open_source("test", CameraOptions((64, 48)), clock=clock, sleep=clock.sleep)
    frames = [source.read() for _ in range(31)]
    assert clock() == pytest.approx(101.0)
    assert [frame.number for frame in frames if frame] == list(range(31))
    assert {frame.image_bgr.shape for frame in frames if frame} == {(48, 64, 3)}
    assert source.is_live


def test_the_pattern_drops_frames_for_a_slow_reader() -> None:
    clock = FakeClock()
    source = open_source("test", CameraOptions((64, 48)), clock=clock, sleep=clock.sleep)
    source.read()
    clock.now += 1.01
    frame = source.read()
    assert frame is not None
    assert (frame.number, source.dropped, frame.captured_at) == (30, 29, clock())
