"""Videos and photos as sources: frame by frame or in real time, in order, and one line for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import SourceError
from edge.sources.files import PacedCapture
from edge.sources.opening import open_source
from tests.edge.fakes import FakeClock, one_line, read_all, write_clip, write_photo
from tests.edge.sources.captures import FakeCamera


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


def test_a_video_is_read_frame_by_frame(tmp_path: Path) -> None:
    source = open_source(str(write_clip(tmp_path / "clip.avi", [10, 20, 30, 40])))
    frames = read_all(source)
    assert [int(frame.image_bgr[0, 0, 0]) for frame in frames] == [10, 20, 30, 40]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert not source.is_live
    assert source.dropped == 0
    assert source.read() is None


def test_a_video_in_real_time_is_live_and_ends(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", list(range(0, 100, 10)))
    source = open_source(str(path), realtime=True, sleep=lambda seconds: None)
    frames = read_all(source)
    assert source.is_live
    assert frames[-1].number == 9
    assert len(frames) + source.dropped == 10


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv", "noname"])
def test_a_text_file_is_no_video(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("this is not a video\n" * 100)
    with pytest.raises(SourceError, match="not a readable video") as caught:
        open_source(str(tmp_path / name))
    one_line(caught)
    assert capfd.readouterr().err == ""


def test_a_video_without_a_frame_is_one_line(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", [])
    with pytest.raises(SourceError, match="readable") as caught:
        open_source(str(path)).read()
    one_line(caught)


def test_a_picture_is_one_frame(tmp_path: Path) -> None:
    frames = read_all(open_source(str(write_photo(tmp_path / "rose.png", 77))))
    assert [(frame.name, frame.number, int(frame.image_bgr[0, 0, 0])) for frame in frames] == [("rose.png", 0, 77)]


def test_a_folder_is_read_in_order_with_its_subfolders(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.PNG", "c.png"):
        write_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "d.png").mkdir()
    source = open_source(str(tmp_path))
    frames = read_all(source)
    assert [frame.name for frame in frames] == ["a/1.PNG", "b/2.png", "c.png"]
    assert not source.warnings
    assert [frame.number for frame in frames] == [0, 1, 2]


def test_an_unreadable_photo_is_left_out_with_a_warning(tmp_path: Path) -> None:
    write_photo(tmp_path / "1.png")
    (tmp_path / "2.jpg").write_text("no photo")
    (tmp_path / "3.jpg").touch()
    write_photo(tmp_path / "4.png")
    source = open_source(str(tmp_path))
    assert [(frame.name, frame.number) for frame in read_all(source)] == [("1.png", 0), ("4.png", 1)]
    assert [Path(warning.partition(":")[0]).name for warning in source.warnings] == ["2.jpg", "3.jpg"]


def test_a_folder_of_unreadable_photos_is_one_line(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_text("no photo")
    with pytest.raises(
        SourceError, match=r"none of its 2 photos can be read; the first: .*1\.jpg: not a read"
    ) as caught:
        read_all(open_source(str(tmp_path)))
    one_line(caught)


def test_an_image_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "rose.jpg").write_text("no photo")
    with pytest.raises(SourceError, match=r"rose\.jpg: not a readable picture; expected JPEG") as caught:
        open_source(str(tmp_path / "rose.jpg")).read()
    one_line(caught)
