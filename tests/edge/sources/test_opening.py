"""What a person names as a source, and the one line for what is none."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.base.options import option
from edge.contract.frame import Frame, Source
from edge.errors import SourceError, UsageError
from edge.picture.video import quieten_opencv
from edge.sources.asked import Asked
from edge.sources.camera import CameraOptions
from edge.sources.opening import SOURCES, SourceRow, _row_of, open_source
from tests.edge.conftest import Flora
from tests.edge.fakes import one_line, read_all, write_clip, write_photo
from tests.edge.model import tiny


@pytest.fixture(autouse=True)
def _ffmpeg_is_quiet() -> None:
    quieten_opencv()  # FFmpeg reads once how much it may say, and these tests also write with it


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


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no source was named; expected a camera number"),
        ("missing.mp4", "no such file or folder: missing.mp4; expected a camera number, picamera, a video"),
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
        open_source(str(write_photo(tmp_path / "1.png")), CameraOptions((640, 480)))


def test_only_a_camera_can_be_given_a_rate() -> None:
    with pytest.raises(UsageError, match="test has its own rate; only a camera can be given one; see --max-fps"):
        open_source("test", CameraOptions(fps=10))


def test_a_file_whose_name_looks_like_a_protocol_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.avi", [10, 20]).rename(tmp_path / "concat:clip.avi")
    monkeypatch.chdir(tmp_path)
    assert len(read_all(open_source("concat:clip.avi"))) == 2


@pytest.mark.parametrize("spec", ["two\nlines.mp4", "\x1b[2J.mp4", "null\0.mp4"])
def test_a_name_with_control_characters_is_one_printable_line(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert one_line(caught).isprintable()


@pytest.mark.parametrize("spec", ["~nobody-of-that-name/x.jpg", "~nobody-of-that-name/*.jpg"])
def test_the_home_of_nobody_is_no_such_file(spec: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder: ~nobody"):
        open_source(spec)


# Which kind a name means


@pytest.mark.parametrize(
    ("name", "kind"), [("test", "test"), ("0", "camera number"), ("picamera", "picamera"), ("*", "folder")]
)
def test_a_name_that_means_another_kind_is_no_folder_unless_it_says_so(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    rows = [_row_of(name), _row_of(f"./{name}")]
    assert [row and row.help for row in rows] == [kind, "folder"]


# One more kind


@dataclass(frozen=True)
class CardsOptions:
    cards_colour: str = option("red", "of each card", metavar="COLOUR")


@dataclass
class CardsSource:
    """So many cards of one colour, one after another."""

    colour: str
    left: int
    name = "cards"
    is_live = False
    dropped = reopened = 0
    warnings = ()

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        self.left -= 1
        return Frame(tiny.plain(self.colour, (64, 48)), 0, 0.0, self.name) if self.left >= 0 else None

    def close(self) -> None:
        """Nothing is held."""


def cards_source(spec: str, asked: Asked) -> Source:
    return CardsSource(asked.of(CardsOptions).cards_colour, int(spec.partition(":")[2]))


def test_a_new_kind_of_source_is_one_row(flora: Flora, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SourceRow("cards", "cards:N", lambda spec: spec.startswith("cards:"), cards_source, (CardsOptions,))
    monkeypatch.setattr("edge.sources.opening.SOURCES", (*SOURCES, row))
    text = " ".join(flora("run", "--help").out.split())
    assert "stream address, test, or cards" in text
    assert "--cards-colour COLOUR of each card (default: red)" in text
    found = flora("run", model, "--source", "cards:3", "--cards-colour", "green", "--json")
    assert [json.loads(line)["label"] for line in found.out.splitlines()] == ["green"] * 3
    assert flora("run", model, "--source", "kards").error.endswith(", test, or cards:N")
