"""Cached photos to batches: draws that depend on nothing but the photo, and keep what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.picture import geometry
from tests.training.fitting.epochs import SIZE, STRONG, epoch
from tests.training.runs import MIXED
from training.fitting.augmentation import Augmentation, augment, mix
from training.network.inference import normalise
from training.network.keras import tf

PLAIN = Augmentation(SIZE, crop=1.0, colour=0.0, dropout=0.0, channels=4)


def test_draws_depend_on_seed_epoch_and_photo_alone(cached: Path) -> None:
    alone, four, again = epoch(cached), epoch(cached, batch=4), epoch(cached, batch=4)
    assert list(four) == list(again)
    assert len(four) == MIXED // 4 * 4  # the rest of the epoch makes no full batch
    for photo, (image, keep) in four.items():
        np.testing.assert_array_equal(image, alone[photo][0])
        np.testing.assert_array_equal(keep, alone[photo][1])


@pytest.mark.parametrize("other", [{"seed": 4}, {"number": 1}], ids=["another seed", "another epoch"])
def test_another_seed_or_epoch_draws_anew(cached: Path, other: dict[str, Any]) -> None:
    one, two = epoch(cached), epoch(cached, **other)
    assert list(one) != list(two)  # the order
    assert sorted(one) == sorted(two) == list(range(MIXED))
    for photo, (image, keep) in one.items():
        assert (image != two[photo][0]).any()
        assert (keep != two[photo][1]).any()


def test_fewer_photos_than_a_batch_are_one_batch(cached: Path) -> None:
    assert sorted(epoch(cached, batch=64)) == list(range(MIXED))


def test_batches_are_what_the_network_takes(cached: Path) -> None:
    for image, keep in epoch(cached).values():
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == keep.dtype == np.float32
        assert image.min() >= -1
        assert image.max() <= 1
        assert keep.shape == (STRONG.channels,)


def test_mix_gives_neighbours_nothing_in_common() -> None:
    mixed = {mix(seed, number) for seed in range(20) for number in range(20)}
    assert len(mixed) == 400
    assert all(0 <= value < 2**31 for value in mixed)


def slope() -> Any:
    """RGB (36, 36, 3), dark on the left and bright on the right."""
    return np.repeat(np.tile(np.linspace(20, 230, 36).astype(np.uint8), (36, 1))[..., None], 3, axis=2)


def test_photo_is_flipped_half_of_the_time() -> None:
    flipped = 0
    for number in range(40):
        image = augment(tf.constant(slope()), number, PLAIN, seed=1)[0].numpy()
        left, right = image[:, :8].mean(), image[:, -8:].mean()
        assert abs(right - left) > 0.8  # nothing but the direction has changed
        flipped += left > right
    assert 10 <= flipped <= 30


def test_full_crop_without_colours_keeps_the_photo() -> None:
    expected = normalise(geometry.model_input(slope(), SIZE))
    for number in range(10):
        image = augment(tf.constant(slope()), number, PLAIN, seed=2)[0].numpy()
        upright = image if image[:, 0].mean() < image[:, -1].mean() else image[:, ::-1]
        assert np.abs(upright - expected).mean() < 0.12  # a stretch by at most 4:3


def test_crops_keep_the_asked_share_of_the_area() -> None:
    """On a slope the spread of what is left tells how wide the crop was; no crop is above the whole."""
    how = Augmentation(SIZE, crop=0.3, colour=0.0, dropout=0.0, channels=1)
    images = [augment(tf.constant(slope()), number, how, seed=3)[0].numpy() for number in range(60)]
    widths = np.array([np.ptp(image.mean(axis=(0, 2))) for image in images]) / np.ptp(normalise(slope()))
    assert widths.max() <= 1
    assert 0.3**0.5 * (3 / 4) ** 0.5 * 0.9 <= widths.min() < 0.65
    assert widths.max() > 0.85


def test_colours_vary_with_their_strength() -> None:
    grey = tf.constant(np.full((36, 36, 3), [150, 100, 60], np.uint8))

    def spread(colour: float) -> float:
        how = Augmentation(SIZE, crop=1.0, colour=colour, dropout=0.0, channels=1)
        means = [augment(grey, number, how, seed=5)[0].numpy().mean(axis=(0, 1)) for number in range(20)]
        return float(np.std(means, axis=0).mean())

    assert spread(0.0) == pytest.approx(0, abs=1e-6)
    assert 0.01 < spread(0.5) < spread(1.0)


def test_smallest_photo_survives_the_smallest_crop() -> None:
    how = Augmentation(SIZE, crop=0.01, colour=1.0, dropout=0.0, channels=1)
    for number in range(20):
        image = augment(tf.constant(np.full((8, 8, 3), 99, np.uint8)), number, how, seed=1)[0]
        assert np.isfinite(image.numpy()).all()


def test_keep_mask_keeps_its_share_and_its_mean() -> None:
    how = Augmentation(SIZE, crop=1.0, colour=0.0, dropout=0.4, channels=20_000)
    keep = augment(tf.constant(slope()), 0, how, seed=1)[1].numpy()
    np.testing.assert_allclose(np.unique(keep), [0, 1 / 0.6], rtol=1e-6)
    assert keep.mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(keep, augment(tf.constant(slope()), 0, how, seed=1)[1].numpy())
    assert (keep != augment(tf.constant(slope()), 1, how, seed=1)[1].numpy()).any()
