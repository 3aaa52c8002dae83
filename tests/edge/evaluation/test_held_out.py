"""Which pictures are measured, and what is told of those that are not. A run's own photos: tests/edge/verbs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from edge.contract.rejection import UNKNOWN
from edge.errors import PhotoError
from edge.evaluation.held_out import HeldOut, Read, from_folder, of_unknown_things, pictures
from tests.edge.model import tiny


def read(held: HeldOut) -> tuple[list[Read], list[str], list[int]]:
    """The pictures, what was told, and where the bar went."""
    told: list[str] = []
    bar: list[int] = []
    return list(pictures(held, told.append, bar.append)), told, bar


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_gives_every_photo_with_its_class_and_hash(photos: Path) -> None:
    found, told, bar = read(from_folder(photos, pytest.fail))
    assert [one.label for one in found] == ["blue", "blue", "green", "green", "red", "red"]
    assert found[0].sha256 == sha256(photos / "blue" / "1.png")
    assert found[0].frame.shape == (40, 48, 3)
    assert (told, bar) == ([], [1, 2, 3, 4, 5, 6])


def test_photos_that_prove_nothing_are_left_out_and_counted(photos: Path) -> None:
    held = replace(from_folder(photos, pytest.fail), seen=frozenset({sha256(photos / "green" / "1.png")}))
    found, told, bar = read(held)
    assert len(found) == 5
    assert told == ["left out 1 photos that a run among the models was trained or chosen on"]
    assert bar[-1] == 6


def test_a_picture_of_a_run_must_be_the_one_that_it_lists(photos: Path) -> None:
    held = replace(from_folder(photos, pytest.fail), sha256s=("0" * 64,) * 6)
    with pytest.raises(PhotoError, match=r"1\.png: changed since the training; expected the photo that"):
        read(held)


def test_unknown_things_may_lie_at_any_depth_and_have_no_class(tmp_path: Path) -> None:
    for name in ("1.png", "a/2.png", "a/b/3.jpg", "c/4.png"):
        tiny.write_photo(tmp_path / name, "red")
    held = of_unknown_things(tmp_path)
    assert held.labels == (UNKNOWN,) * 4
    assert [path.relative_to(tmp_path).as_posix() for path in held.paths] == [
        "1.png",
        "a/2.png",
        "a/b/3.jpg",
        "c/4.png",
    ]


def test_a_folder_without_pictures_has_no_unknown_things(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no photo there; expected JPEG, PNG, BMP or WebP files"):
        of_unknown_things(tmp_path)
