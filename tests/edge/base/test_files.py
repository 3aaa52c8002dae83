"""A file is written whole or not at all; where the cache is; one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from edge.base.files import default_cache, in_place_of, only_one, write_atomically, writing
from edge.errors import OutputError


def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "run" / "page.html"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as half_written:
            half_written.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with in_place_of(path) as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_synced", [False, True])
def test_the_part_that_a_kill_left_is_written_over(tmp_path: Path, is_synced: bool) -> None:
    path, part = tmp_path / "state.npz", tmp_path / "state.part"
    part.write_bytes(b"half of the last attempt")
    with in_place_of(path, part, is_synced=is_synced) as place:
        assert place == part
        place.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_synced_is_not_taken_for_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), in_place_of(tmp_path / "a", is_synced=True) as part:
        part.write_bytes(b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "a.txt: the model cannot be written (No space left on device); go on"),
        (OSError("Unable to write\n(file signature)"), "a.txt: the model cannot be written (Unable to write); go on"),
        (OSError(), "a.txt: the model cannot be written (OSError); go on"),
    ],
    ids=["of the system", "of a library", "without a word"],
)
def test_what_cannot_be_written_is_told_in_one_line(error: OSError, line: str) -> None:
    with pytest.raises(OutputError) as caught, writing(Path("a.txt"), "the model cannot be written", "go on"):
        raise error
    assert str(caught.value) == line


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with only_one(tmp_path / "lock"), (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("flora", "xdg", "expected"),
    [
        (None, None, "/home/someone/.cache/flora"),
        (None, "/var/cache", "/var/cache/flora"),
        (None, "relative", "/home/someone/.cache/flora"),
        ("", "", "/home/someone/.cache/flora"),
        ("/data", "/var/cache", "/data"),
        ("~/data", None, "/home/someone/data"),
    ],
)
def test_the_cache_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, flora: str | None, xdg: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in (("FLORA_CACHE", flora), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert default_cache() == Path(expected)


@pytest.mark.parametrize("flora", [None, "~/data"], ids=["nothing set", "FLORA_CACHE below the home folder"])
def test_a_user_without_a_home_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, flora: str | None) -> None:
    def no_home(*paths: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("FLORA_CACHE", flora or "")
    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(Path, "home", staticmethod(no_home))
    with pytest.raises(OutputError, match=r"^there is no home folder for the cache; name a folder in FLORA_CACHE$"):
        default_cache()
