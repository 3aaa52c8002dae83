"""What flora inspect says of a folder of photos: on tiny pictures made here."""

from __future__ import annotations

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import PhotoError
from edge.picture.png import TRAIN_ONLY, with_note
from training.photos.inspection import ENOUGH, SHOWN, inspect_photos
from training.photos.survey import find_photos


def fill(folder: Path, number: int, first: int, side: int = 300) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for level in range(first, first + number):
        picture = np.full((side, side, 3), level, np.uint8)
        (folder / f"{level}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    fill(tmp_path / "photos" / "daisy", 10, 0)
    fill(tmp_path / "photos" / "rose", 12, 100)
    return tmp_path / "photos"


def test_good_photos_have_nothing_wrong(photos: Path) -> None:
    found = inspect_photos(photos)
    assert (found.counts, found.trouble, found.warnings) == ({"daisy": 10, "rose": 12}, None, ())
    assert found.text().splitlines()[-1] == "left out: nothing"


def test_small_pictures_are_counted(photos: Path) -> None:
    fill(photos / "rose", 3, 200, side=100)
    assert inspect_photos(photos).warnings == (
        "3 photos are less than 224 px wide or high, and training enlarges them",
    )  # fmt: skip


def test_photos_that_a_device_kept_are_counted(photos: Path) -> None:
    path = photos / "rose" / "100.png"
    path.write_bytes(with_note(path.read_bytes(), {TRAIN_ONLY: True}))
    found = inspect_photos(photos)
    assert found.to_json()["train_only"] == 1
    assert "  1 of them were kept by a device: they are for training only" in found.text().splitlines()


def test_enough_is_what_training_asks_for() -> None:
    assert inspect.signature(find_photos).parameters["min_per_class"].default == ENOUGH


def test_a_class_too_small_is_trouble_but_the_rest_is_still_told(photos: Path) -> None:
    (photos / "daisy" / "0.png").unlink()
    found = inspect_photos(photos)
    assert found.trouble is not None
    assert "daisy (9)" in found.trouble
    assert "rose" in found.text()


def test_a_class_without_a_photo_for_each_split_is_refused(photos: Path) -> None:
    for level in range(8):
        (photos / "daisy" / f"{level}.png").unlink()
    with pytest.raises(PhotoError, match=r"daisy \(2\)"):
        inspect_photos(photos)


def test_a_long_list_is_cut_and_says_so(photos: Path) -> None:
    for number in range(SHOWN + 3):
        (photos / "rose" / f"{number}.txt").write_text("no photo")
    lines = inspect_photos(photos).text().splitlines()
    assert sum(line.startswith("  rose/") for line in lines) == SHOWN
    assert lines[-1] == "  and 3 more; all of them: --json"
    assert len(inspect_photos(photos).to_json()["left_out"]) == SHOWN + 3


def test_few_or_very_many_pictures_of_none_of_the_classes_are_no_trouble(photos: Path) -> None:
    fill(photos / "unknown", 3, 200)
    assert inspect_photos(photos).trouble is None
    fill(photos / "unknown", 55, 200)
    found = inspect_photos(photos)
    assert (found.counts["unknown"], found.warnings) == (55, ())
