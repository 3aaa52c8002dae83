"""Every kind of source: what it delivers, and the one line it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge.errors import SourceError, UsageError
from edge.picture.video import quieten_opencv
from edge.sources.opening import open_source
from tests.edge.fakes import one_line, picture, read_all, write_clip


@pytest.fixture(autouse=True)
def _ffmpeg_is_quiet() -> None:
    quieten_opencv()  # FFmpeg reads once how much it may say, and these tests also write with it


def write_photo(path: Path, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture(level))[1].tobytes())
    return path


# Video files


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


# Photos


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


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.png", ["1.png", "2.png"]), ("?.png", ["1.png", "2.png"]), ("**/3.png", ["sub/3.png"]), ("*/*", ["sub/3.png"])],
)
def test_a_glob_is_read_in_order(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for name in ("2.png", "1.png", "sub/3.png"):
        write_photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    frames = read_all(open_source(f"{tmp_path}/{pattern}"))
    assert [frame.name for frame in frames] == [str(tmp_path / name) for name in names]


def test_a_relative_glob_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(tmp_path / "photos" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert [frame.name for frame in read_all(open_source("photos/*.png"))] == ["photos/1.png"]


def test_a_file_whose_name_has_a_wildcard_is_that_file(tmp_path: Path) -> None:
    write_photo(tmp_path / "rose [1].png")
    assert len(read_all(open_source(str(tmp_path / "rose [1].png")))) == 1


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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no source was named; expected a camera number"),
        ("missing.mp4", "no such file or folder: missing.mp4; expected a camera number, a video"),
        ("-1", "no such file or folder: -1"),
        (".", "no photo in this folder or below"),
        ("*.jpg", r"\*.jpg: matches no photo; expected a pattern such as"),
        ("[.jpg", "matches no photo"),
        ("gopher://somewhere/x", "gopher:// is not supported; expected a camera number"),
    ],
)
def test_what_is_not_there_is_one_line(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(SourceError, match=message) as caught:
        open_source(spec)
    one_line(caught)


def test_only_a_camera_or_the_pattern_can_be_given_a_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has its own size; only a camera or the test pattern can be given one"):
        open_source(str(write_photo(tmp_path / "1.png")), size_wh=(640, 480))


def test_only_a_camera_can_be_given_a_rate() -> None:
    with pytest.raises(UsageError, match="test has its own rate; only a camera can be given one; see --max-fps"):
        open_source("test", fps=10)


def test_a_file_whose_name_looks_like_a_protocol_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.avi", [10, 20]).rename(tmp_path / "concat:clip.avi")
    monkeypatch.chdir(tmp_path)
    assert len(read_all(open_source("concat:clip.avi"))) == 2


@pytest.mark.parametrize("spec", ["two\nlines.mp4", "\x1b[2J.mp4", "null\0.mp4"])
def test_a_name_with_control_characters_is_one_printable_line(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert one_line(caught).isprintable()
