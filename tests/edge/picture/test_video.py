"""The video writer: a clip is whole or not there."""

from __future__ import annotations

import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.picture.video import VideoWriter
from tests.edge.fakes import picture


def play(path: Path) -> list[np.ndarray]:
    capture, pictures = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    return pictures


def test_pictures_come_back_in_order_at_the_rate_rounded(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = VideoWriter(path, fps=29.97)
    for level in (40, 120, 200):
        writer.add(picture(level, (64, 48)))
    writer.close()
    writer.close()
    assert [int(shown.mean().round()) for shown in play(path)] == [40, 120, 200]
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 30
    assert [each.name for each in tmp_path.iterdir()] == ["clip.avi"]


def test_pictures_of_many_sizes_make_one_clip(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "clip.avi", fps=2)
    for size_wh in ((640, 480), (480, 640), (100, 80)):
        writer.add(picture(90, size_wh))
    writer.close()
    assert [shown.shape for shown in play(tmp_path / "clip.avi")] == [(480, 640, 3)] * 3


def test_the_name_appears_only_when_the_clip_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"an older clip")
    writer = VideoWriter(path, fps=10)
    writer.add(picture(90))
    assert path.read_bytes() == b"an older clip"
    writer.close()
    assert path.read_bytes()[:4] == b"RIFF"


def test_a_clip_that_is_dropped_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"an older clip")
    writer = VideoWriter(path, fps=10)
    writer.add(picture(90))
    writer.discard()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"an older clip"]


def test_without_a_picture_nothing_is_left_behind(tmp_path: Path) -> None:
    VideoWriter(tmp_path / "clip.avi", fps=10).close()
    assert list(tmp_path.iterdir()) == []


def test_only_avi_is_offered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"clip\.mp4: the clip is an MJPEG \.avi"):
        VideoWriter(tmp_path / "clip.mp4", fps=10)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"clip\.avi: cannot be written .No such file or directory."):
        VideoWriter(tmp_path / "missing" / "clip.avi", fps=10)


def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = VideoWriter(tmp_path / "clip.avi", fps=10)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
        for _ in range(3):
            writer.add(noise)
        with pytest.raises(OutputError, match=r"clip\.avi: the clip could not be written whole; free some space"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
