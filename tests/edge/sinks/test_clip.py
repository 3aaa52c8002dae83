"""The annotated clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.event import NO_PICTURE, Event
from edge.drawing.overlay import draw_overlay
from edge.errors import UsageError
from edge.sinks.clip import ClipSink
from tests.edge.fakes import decision, frame


def play(path: Path) -> list[np.ndarray]:
    capture, pictures = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


def test_the_clip_holds_every_frame_with_its_overlay(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    sink = ClipSink(path, fps=29.97)
    for number in range(7):
        sink.show(decision(number=number), frame(number, size_wh=(640, 480)))
    sink.close()
    sink.close()
    pictures = play(path)
    wanted = draw_overlay(frame(size_wh=(640, 480)), decision(number=6))
    assert len(pictures) == 7
    assert np.abs(pictures[6].astype(int) - wanted).mean() < 5
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 30
    assert [each.name for each in tmp_path.iterdir()] == ["clip.avi"]


def test_what_happens_besides_leaves_no_frame(tmp_path: Path) -> None:
    sink = ClipSink(tmp_path / "clip.avi", fps=10)
    sink.tell(Event(NO_PICTURE, 1_800_000_000.0, "no picture for 4 s"))
    sink.show(decision(), frame())
    sink.close()
    assert len(play(tmp_path / "clip.avi")) == 1


def test_without_a_frame_nothing_is_left_behind(tmp_path: Path) -> None:
    ClipSink(tmp_path / "clip.avi", fps=10).close()
    assert list(tmp_path.iterdir()) == []


def test_only_avi_is_offered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"clip\.mp4: the clip is an MJPEG \.avi"):
        ClipSink(tmp_path / "clip.mp4", fps=10)
