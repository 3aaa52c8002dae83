"""Pictures of nothing: each kind is made, anew for each number, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.rejection import UNKNOWN
from edge.picture import geometry
from training.garden.planting import plant
from training.others.made import KINDS, SIDE, corner, make_others, shuffled


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    plant(folder, 1, 3, (64, 48))
    return sorted(folder.rglob("*.jpg"))


def test_every_kind_is_made_for_training_alone_and_the_same_again(photos: list[Path], tmp_path: Path) -> None:
    made, again = (make_others(tmp_path / name, photos, 2 * len(KINDS), 5) for name in ("made", "again"))
    assert [one.sha256 for one in made] == [one.sha256 for one in again]
    assert len({one.sha256 for one in made}) == 2 * len(KINDS)
    assert {one.path.split("-")[0] for one in made} == set(KINDS)
    assert all(one.is_train_only and one.label == UNKNOWN and one.root == "made" for one in made)
    assert geometry.read_photo(tmp_path / "made" / made[0].path).shape == (SIDE, SIDE, 3)
    assert make_others(tmp_path / "other", photos, 1, 6)[0].sha256 != made[0].sha256


def test_the_corner_least_like_the_middle_is_taken() -> None:
    photo = np.full((100, 100, 3), 200, np.uint8)
    photo[60:, 60:] = (10, 120, 10)
    found = corner(np.random.default_rng(1), photo)
    assert (found == (10, 120, 10)).all()


def test_shuffled_tiles_are_all_of_the_photo() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    found = shuffled(np.random.default_rng(3), photo)
    side = found.shape[0]
    square = cv2.resize(photo, (side, side), interpolation=cv2.INTER_LINEAR) if side != SIDE else photo
    assert not np.array_equal(found, square)
    assert np.array_equal(np.sort(found.ravel()), np.sort(square.ravel())) or side != SIDE
