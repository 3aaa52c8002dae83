"""The zip behind a flatbuffer: what it may hold, and that a hostile one is one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.tflite.archive import LARGEST_ENTRY, MOST_ENTRIES, appended, halves

FLATBUFFER = b"\x1c\x00\x00\x00TFL3" + bytes(range(200))
PATH = Path("m.tflite")


def zipped(entries: dict[str, bytes]) -> bytes:
    store = io.BytesIO()
    store.write(FLATBUFFER)
    with zipfile.ZipFile(store, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return store.getvalue()


def test_what_is_appended_comes_apart_again() -> None:
    entries = {"a.txt": b"one", "b.txt": b""}
    assert halves(PATH, appended(FLATBUFFER, entries)) == (FLATBUFFER, entries)


def test_entries_are_stored_so_that_mediapipe_reads_them() -> None:
    with zipfile.ZipFile(io.BytesIO(appended(FLATBUFFER, {"labels.txt": b"a\n" * 500}))) as archive:
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED


def test_a_deflated_zip_from_elsewhere_is_read_too() -> None:
    assert halves(PATH, zipped({"a.txt": b"x" * 1000})) == (FLATBUFFER, {"a.txt": b"x" * 1000})


def test_a_file_without_a_zip_is_all_flatbuffer() -> None:
    assert halves(PATH, FLATBUFFER) == (FLATBUFFER, {})


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b.txt", "a\\b.txt", ".."])
def test_a_path_in_the_zip_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"the zip inside has a path, .*; expected plain names"):
        halves(PATH, zipped({name: b"x"}))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(ModelError, match=f"inside has {LARGEST_ENTRY + 1} bytes"):
        halves(PATH, zipped({"a.txt": b"\0" * (LARGEST_ENTRY + 1)}))


def test_a_crowd_of_entries_is_refused() -> None:
    with pytest.raises(ModelError, match=f"has {MOST_ENTRIES + 1} entries; expected at most {MOST_ENTRIES}"):
        halves(PATH, zipped({f"{number}.txt": b"" for number in range(MOST_ENTRIES + 1)}))
