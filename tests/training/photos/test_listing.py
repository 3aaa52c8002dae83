"""The photos of a run are looked for once, and its manifest says them ever after."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from edge.base import progress
from training.config import TrainConfig
from training.photos import listing


def test_run_lists_its_photos_once(garden: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(garden, photos)
    first, second, third = sorted((photos / "roses").iterdir())[:3]
    first.write_bytes(b"no picture")
    second.write_bytes(third.read_bytes())
    config = TrainConfig(str(photos), min_photos=4)
    told: list[str] = []
    listed = listing.list_photos(config, tmp_path, progress.silent, told.append)
    with (tmp_path / "left_out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "reason"]
    assert [row[0] for row in rows] == [f"roses/{first.name}", f"roses/{third.name}"]
    assert rows[1][1] == f"the same bytes as roses/{second.name}"
    assert told == ["photos: 38 in 5 classes: 28 train, 5 validation, 5 test"]
    shutil.rmtree(photos)
    assert listing.list_photos(config, tmp_path, progress.silent, told.append) == listed  # from the manifest
    assert len(told) == 1
