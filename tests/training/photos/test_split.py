"""Each class has its photos in every split, drawn by seed and content alone; uneven classes are told."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from edge.errors import PhotoError, UsageError
from training.photos.split import class_weights, counts, imbalance_warning, split
from training.photos.survey import Found


def found(label: str, number: int) -> list[Found]:
    """Photos that need no files."""
    hashes = [hashlib.sha256(f"{label}{index}".encode()).hexdigest() for index in range(number)]
    return [Found(f"{label}/{index:04}.jpg", content, label, 24, 16) for index, content in enumerate(hashes)]


def test_each_class_is_split_70_15_15() -> None:
    photos = split([*found("rose", 200), *found("daisy", 40)], seed=0)
    assert counts(photos) == {
        "daisy": {"train": 28, "validation": 6, "test": 6},
        "rose": {"train": 140, "validation": 30, "test": 30},
    }


@pytest.mark.parametrize("number", range(3, 12))
@pytest.mark.parametrize("fractions", [(0.70, 0.15, 0.15), (0.98, 0.01, 0.01), (0.01, 0.98, 0.01), (0.01, 0.01, 0.98)])
def test_a_small_class_still_has_a_photo_in_every_split(number: int, fractions: tuple[float, float, float]) -> None:
    tally = counts(split(found("rose", number), seed=0, fractions=fractions))["rose"]
    assert min(tally.values()) >= 1
    assert sum(tally.values()) == number


def test_the_split_depends_on_the_seed() -> None:
    photos = found("rose", 100)
    assert split(photos, seed=1) == split(photos, seed=1)
    assert split(photos, seed=1) != split(photos, seed=2)


def test_the_split_depends_on_content_not_on_names_or_order() -> None:
    photos = found("rose", 50)
    renamed = [replace(photo, path=f"rose/{99 - index}.png") for index, photo in enumerate(reversed(photos))]
    by_content = {photo.sha256: photo.split for photo in split(photos, seed=3)}
    assert {photo.sha256: photo.split for photo in split(renamed, seed=3)} == by_content


def test_equal_bytes_never_straddle_two_splits() -> None:
    photos = found("rose", 20)
    copies = [replace(photo, path=photo.path + ".copy") for photo in photos]
    where: dict[str, set[str]] = {}
    for photo in split([*photos, *copies], seed=0):
        where.setdefault(photo.sha256, set()).add(photo.split)
    assert len(where) == 20
    assert all(len(splits) == 1 for splits in where.values())


def test_two_photos_cannot_be_split_three_ways() -> None:
    with pytest.raises(PhotoError, match="class rose has 2 different photos; expected at least 3"):
        split(found("rose", 2), seed=0)


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.1), (1.0, 0.0, 0.0), (0.5, 0.6, -0.1)])
def test_fractions_that_make_no_split_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="expected three above 0"):
        split(found("rose", 9), seed=0, fractions=fractions)


@pytest.mark.parametrize(("largest", "warned"), [(50, False), (51, True)])
def test_a_class_five_times_the_smallest_is_still_fine(largest: int, warned: bool) -> None:
    warning = imbalance_warning([*found("rose", largest), *found("daisy", 10)])
    assert (warning is not None) == warned
    if warning:
        assert f"rose has {largest} photos and class daisy only 10" in warning
        assert "\n" not in warning


def test_no_photos_are_not_imbalanced() -> None:
    assert imbalance_warning([]) is None


def test_class_weights_average_one_over_the_training_photos() -> None:
    photos = split([*found("rose", 120), *found("daisy", 40)], seed=0)
    weights = class_weights(photos)
    assert weights == pytest.approx({"daisy": 112 / (2 * 28), "rose": 112 / (2 * 84)})
    train = [weights[photo.label] for photo in photos if photo.split == "train"]
    assert sum(train) / len(train) == pytest.approx(1)
