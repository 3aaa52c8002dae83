"""The manifest: written whole, read back strictly."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from edge.base.formats import remarks_on
from edge.errors import FloraError, ModelError, OutputError
from edge.photos.manifest import SPLITS, Photo, manifest_hash, read_manifest, write_manifest


def one_line(error: FloraError) -> str:
    assert "\n" not in str(error)
    return str(error)


def listed(label: str, number: int) -> tuple[Photo, ...]:
    """Photos that need no files, shared out to the splits in turn."""
    hashes = [hashlib.sha256(f"{label}{index}".encode()).hexdigest() for index in range(number)]
    return tuple(
        Photo(f"{label}/{index:04}.jpg", content, label, SPLITS[index % 3], 24, 16)
        for index, content in enumerate(hashes)
    )


def test_the_manifest_survives_a_round_trip(tmp_path: Path) -> None:
    odd = replace(listed("rose, \u201ctea\u201d", 1)[0], path='rose, \u201ctea\u201d/a,"b.jpg')
    photos = (*listed("daisy", 10), odd)
    write_manifest(tmp_path / "manifest.csv", photos)
    assert read_manifest(tmp_path / "manifest.csv") == photos
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]


def test_the_manifest_begins_with_its_header(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.csv", [Photo("rose/a.jpg", "0" * 64, "rose", "test", 24, 16)])
    expected = f"path,sha256,class,split,width,height\nrose/a.jpg,{'0' * 64},rose,test,24,16\n"
    assert (tmp_path / "manifest.csv").read_bytes() == expected.encode()


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError) as caught:
        write_manifest(path, listed("rose", 5))
    assert "No space left on device" in one_line(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HEADER = "path,sha256,class,split,width,height\n"
LINE = f"rose/a.jpg,{'0' * 64},rose,test,24,16\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("", "does not begin with the line path,sha256"),
        ("a,b,c\n1,2,3\n", "does not begin with the line path,sha256"),
        (HEADER, "lists no photos"),
        (HEADER + LINE[:-2], "cut short in its last line"),
        (HEADER + LINE[:40] + "\n", "2 fields, expected 6"),
        (HEADER + LINE.replace("test", "exam"), "split 'exam'"),
        (HEADER + LINE.replace("0" * 64, "0" * 62), "sha256"),
        (HEADER + LINE.replace("0" * 64, "z" * 64), "not a photo"),
        (HEADER + LINE.replace("24", "wide"), "wide"),
        (HEADER + LINE.replace("24", "0"), "width 0"),
        (HEADER + LINE.replace("rose/a.jpg", "../a.jpg"), "outside the photo folder"),
        (HEADER + LINE.replace("rose/a.jpg", "/a.jpg"), "outside the photo folder"),
        (HEADER + "\udcff" + LINE, "not UTF-8"),
        (HEADER + "x" * 200_000 + "\n", "not CSV"),
    ],
)
def test_a_broken_manifest_gets_one_clear_line(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "manifest.csv"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert expected in one_line(caught.value)
    assert "manifest.csv" in str(caught.value)


def test_columns_that_are_not_known_are_kept_and_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(f"camera,split,class,sha256,path,height,width\nattic,test,rose,{'0' * 64},a.jpg,16,24\n")
    found = read_manifest(path)
    assert found == (Photo("a.jpg", "0" * 64, "rose", "test", 24, 16, others={"camera": "attic"}),)
    assert remarks_on(path, found) == (f"{path}: holds what this Flora does not know and leaves as it is: camera",)
    write_manifest(path, (*found, *listed("daisy", 1)))
    assert path.read_text().splitlines()[0] == HEADER.strip() + ",camera"
    assert [photo.others for photo in read_manifest(path)] == [{"camera": "attic"}, {"camera": ""}]


def test_sizes_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"path,sha256,class,split\na.jpg,{'0' * 64},rose,test\n")
    assert read_manifest(tmp_path / "manifest.csv") == (Photo("a.jpg", "0" * 64, "rose", "test", 0, 0),)


def test_the_manifest_hash_ignores_names_and_order_but_not_the_split() -> None:
    photos = listed("rose", 10)
    renamed = [replace(photo, path=f"rose/new{index}.jpg") for index, photo in enumerate(reversed(photos))]
    assert manifest_hash(renamed) == manifest_hash(photos)
    first = replace(photos[0], split=next(name for name in SPLITS if name != photos[0].split))
    assert manifest_hash([first, *photos[1:]]) != manifest_hash(photos)
    assert manifest_hash([replace(photos[0], label="tea"), *photos[1:]]) != manifest_hash(photos)
    assert len(bytes.fromhex(manifest_hash(photos))) == 32
