"""The cache of decoded photos: it is reused, made anew when it must be, and never wrong."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import OutputError, PhotoError
from edge.picture import geometry
from tests.training.fitting.epochs import SIZE, epoch
from tests.training.runs import MIXED, Names
from training.fitting import cache as pipeline
from training.fitting.cache import build_cache
from training.network.keras import tf


def contents(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.iterdir()}


def records(cache: Path) -> list[tuple[int, Any]]:
    """(number, RGB picture) of each cached photo."""
    found = []
    for record in tf.data.TFRecordDataset([str(path) for path in sorted(cache.glob("*.tfrecord"))]):
        number, shape, pixels = pipeline.parse_record(record)
        found.append((int(number), np.frombuffer(pixels.numpy(), np.uint8).reshape(shape.numpy())))
    return found


def test_cache_holds_every_photo_in_rgb_with_its_aspect(root: Path, names: Names, cached: Path) -> None:
    short_side = round(SIZE * pipeline.MARGIN)
    found = records(cached)
    assert [number for number, _ in found] == list(range(MIXED))
    for (_, picture), path in zip(found, names[0], strict=True):
        expected = geometry.resize_short_side(geometry.read_photo(root / path), short_side)
        np.testing.assert_array_equal(picture, expected[..., ::-1])
        assert min(picture.shape[:2]) == short_side


def test_cache_is_reused(root: Path, names: Names, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_shrunken", None)  # decoding a photo would fail
    done = list[tuple[int, int]]()
    assert build_cache(cached.parent, root, *names, SIZE, lambda *call: done.append(call)) == cached
    assert done == [(MIXED, MIXED)]


@pytest.mark.parametrize("change", ["a photo less", "another order", "another size"])
def test_cache_of_other_photos_is_another(root: Path, names: Names, cached: Path, change: str) -> None:
    paths, hashes, size = list(names[0]), list(names[1]), SIZE
    if change == "a photo less":
        paths, hashes = paths[1:], hashes[1:]
    elif change == "another order":
        paths, hashes = paths[::-1], hashes[::-1]
    else:
        size = 2 * SIZE
    assert build_cache(cached.parent, root, paths, hashes, size) != cached


def test_several_shards_hold_what_one_holds(
    root: Path, names: Names, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHARD_PHOTOS", 4)
    sharded = build_cache(tmp_path, root, *names, SIZE)
    assert len(list(sharded.glob("*.tfrecord"))) == 3
    for (number, picture), (other_number, other) in zip(records(cached), records(sharded), strict=True):
        assert number == other_number
        np.testing.assert_array_equal(picture, other)
    assert sorted(epoch(sharded)) == list(range(MIXED))


def test_photo_that_changed_is_told_in_one_line(root: Path, names: Names, tmp_path: Path) -> None:
    changed = tmp_path / "photos"
    shutil.copytree(root, changed)
    (changed / names[0][3]).write_bytes((root / names[0][4]).read_bytes())
    with pytest.raises(PhotoError, match=r"03\.png: changed since it was listed in the manifest; start a new run"):
        build_cache(tmp_path / "cache", changed, *names, SIZE)
    (changed / names[0][3]).unlink()
    with pytest.raises(PhotoError, match=r"03\.png: cannot be read any more"):
        build_cache(tmp_path / "cache", changed, *names, SIZE)


@pytest.mark.parametrize("after", [1, 5, MIXED], ids=lambda after: f"after {after} photos")
def test_interrupted_cache_is_made_anew(root: Path, names: Names, cached: Path, tmp_path: Path, after: int) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache(tmp_path, root, *names, SIZE, interrupt)
    assert contents(build_cache(tmp_path, root, *names, SIZE)) == contents(cached)


def test_two_trainings_at_once_make_one_cache(
    root: Path, names: Names, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, both = list[Path](), threading.Barrier(2)
    shrunken = pipeline._shrunken

    def count(path: Path, *args: Any) -> Any:
        decoded.append(path)
        return shrunken(path, *args)

    def build() -> None:
        both.wait()
        build_cache(tmp_path, root, *names, SIZE)

    monkeypatch.setattr(pipeline, "_shrunken", count)
    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == MIXED
    assert contents(tmp_path / cached.name) == contents(cached)


def test_cache_that_cannot_be_written_is_told_in_one_line(root: Path, names: Names, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"the photo cache cannot be written \(Not a directory\); .*--cache"):
        build_cache(tmp_path / "file", root, *names, SIZE)


def test_full_disk_is_told_in_one_line_and_leaves_no_finished_cache(
    root: Path, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(tf.io.TFRecordWriter):
        def write(self, record: bytes) -> None:
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device\nand a second line")

    monkeypatch.setattr(tf.io, "TFRecordWriter", Full)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        build_cache(tmp_path, root, *names, SIZE)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/complete"))
