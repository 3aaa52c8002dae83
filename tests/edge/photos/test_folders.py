"""Folders of photos: what predict and evaluate find."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import PhotoError
from edge.photos import folders
from edge.photos.folders import Rejected, is_photo_like, labelled_files, photo_paths
from tests.edge.fakes import one_line
from tests.edge.model import tiny


def names(found: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


# What a name names


def test_a_folder_gives_its_photos_sorted_whatever_their_ending(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a.jpg", "b/1.bmp"):
        tiny.write_photo(tmp_path / name.lower(), "red").rename(tmp_path / name)
    tiny.write_photo(tmp_path / "c.png", "red").rename(tmp_path / "c")
    (tmp_path / "notes.txt").write_text("no photo")
    tiny.write_photo(tmp_path / ".hidden.png", "red")
    assert names(photo_paths(str(tmp_path)), tmp_path) == ["a.jpg", "b/1.bmp", "b/2.PNG", "c"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["1.jpg", "2.jpg"]),
        ("**/*.png", ["3.png", "sub/4.png"]),
        ("?.*", ["1.jpg", "2.jpg", "3.png"]),
        ("[12].jpg", ["1.jpg", "2.jpg"]),
        ("s**/4*", ["sub/4.png"]),
    ],
)
def test_a_glob_gives_the_photos_it_matches(pattern: str, found: list[str], tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.png", "sub/4.png"):
        tiny.write_photo(tmp_path / name, "red")
    (tmp_path / "5.txt").write_text("no photo")
    assert names(photo_paths(str(tmp_path / pattern)), tmp_path) == found


def test_a_file_with_wildcards_in_its_name_is_that_file(tmp_path: Path) -> None:
    path = tiny.write_photo(tmp_path / "rose[1].jpg", "red")
    assert photo_paths(str(path)) == [path]


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tiny.write_photo(tmp_path / "rose.jpg", "red")
    assert photo_paths("~/rose.jpg") == [path]
    assert photo_paths("~nobody-of-that-name/rose.jpg") == [Path("~nobody-of-that-name/rose.jpg")]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert not is_photo_like(tmp_path / "pipe")
    with pytest.raises(PhotoError, match="no photo there"):
        photo_paths(str(tmp_path))


@pytest.mark.parametrize("pattern", ["", "*.jpg", "sub/**"])
def test_nothing_found_is_one_line(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(PhotoError, match="no photo there; expected JPEG, PNG, BMP or WebP files") as caught:
        photo_paths(str(tmp_path / pattern))
    one_line(caught)


def test_a_folder_that_cannot_be_listed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders, "_visible", refuse)
    with pytest.raises(PhotoError, match=r"no photo there; its folder \. cannot be listed \(.*Permission denied"):
        photo_paths(str(tmp_path))


# Class folders


def test_every_file_of_a_class_folder_has_its_class(tmp_path: Path) -> None:
    for name in ("rose/1.jpg", "rose/deep/2.jpg", "daisy/3.png", "stray.jpg"):
        tiny.write_photo(tmp_path / name, "red")
    (tmp_path / "rose" / "notes.txt").write_text("for evaluate to tell")
    files, left_out = labelled_files(tmp_path)
    assert [(path.relative_to(tmp_path).as_posix(), label) for path, label in files] == [
        ("daisy/3.png", "daisy"),
        ("rose/1.jpg", "rose"),
        ("rose/deep/2.jpg", "rose"),
        ("rose/notes.txt", "rose"),
    ]
    assert left_out == [Rejected("stray.jpg", "lies beside the class folders, so it has no class")]


def test_a_link_loop_ends(tmp_path: Path) -> None:
    tiny.write_photo(tmp_path / "rose" / "1.jpg", "red")
    tiny.write_photo(tmp_path / "daisy" / "1.jpg", "red")
    (tmp_path / "rose" / "again").symlink_to(tmp_path / "rose")
    (tmp_path / "rose" / "up").symlink_to(tmp_path)
    files, _ = labelled_files(tmp_path)
    assert len(files) == 2
