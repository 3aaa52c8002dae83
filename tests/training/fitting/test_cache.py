"""Photos to batches: the device's own view, a cache that is never wrong, draws that depend on nothing but the photo."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import OutputError, PhotoError
from edge.picture import geometry
from training.fitting import cache as pipeline
from training.fitting.augmentation import Augmentation, augment, epoch_batches, mix
from training.fitting.cache import build_cache
from training.network.inference import normalise
from training.network.keras import tf
from training.photos.views import device_views

SIZE, PHOTOS, CLASSES = 32, 11, 11
PLAIN = Augmentation(SIZE, crop=1.0, colour=0.0, dropout=0.0, channels=4)
STRONG = Augmentation(SIZE, crop=0.3, colour=1.0, dropout=0.4, channels=64)
Names = tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of several shapes, each of another colour."""
    folder, draws = tmp_path_factory.mktemp("photos"), np.random.default_rng(4)
    for number in range(PHOTOS):
        shape = (40 + 7 * number, 90 - 4 * number)
        noise = draws.integers(0, 40, (*shape, 3))
        tint = np.array([20 * number, 200 - 15 * number, 90])
        cv2.imwrite(str(folder / f"{number:02d}.png"), (noise + tint).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def names(root: Path) -> Names:
    """The photos' paths and hashes."""
    paths = sorted(path.name for path in root.iterdir())
    return paths, [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths]


@pytest.fixture(scope="module")
def cached(root: Path, names: Names, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_cache(tmp_path_factory.mktemp("cache"), root, *names, SIZE)


def contents(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.iterdir()}


def records(cache: Path) -> list[tuple[int, Any]]:
    """(number, RGB picture) of each cached photo."""
    found = []
    for record in tf.data.TFRecordDataset([str(path) for path in sorted(cache.glob("*.tfrecord"))]):
        number, shape, pixels = pipeline.parse_record(record)
        found.append((int(number), np.frombuffer(pixels.numpy(), np.uint8).reshape(shape.numpy())))
    return found


def epoch(cache: Path, how: Augmentation = STRONG, *, batch: int = 1, seed: int = 3, number: int = 0) -> dict[int, Any]:
    """(image, keep mask) of each photo in one epoch, by photo; each photo is a class of its own."""
    found: dict[int, Any] = {}
    weights = (np.arange(PHOTOS) / 10).astype(np.float32)
    data = epoch_batches(cache, np.arange(PHOTOS), weights, how, batch=batch, seed=seed, epoch=number)
    assert data.options().autotune.enabled is False  # the thread that tunes holds up the end of an epoch
    for (images, keep), targets, weight in data:
        for row in range(len(images)):
            photo = int(targets[row].numpy().argmax())
            assert photo not in found
            assert targets[row].numpy().sum() == 1
            assert weight[row] == weights[photo]
            found[photo] = (images[row].numpy(), keep[row].numpy())
    return found


def test_views_are_what_the_device_sees(root: Path, names: Names) -> None:
    done = list[tuple[int, int]]()
    views = device_views(root, names[0], SIZE, lambda *call: done.append(call))
    for view, path in zip(views, names[0], strict=True):
        np.testing.assert_array_equal(view, geometry.model_input(geometry.read_photo(root / path), SIZE))
    assert done == [(number, PHOTOS) for number in range(1, PHOTOS + 1)]


def test_view_of_a_photo_that_is_gone_is_told(root: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.png: cannot be read"):
        device_views(root, ["gone.png"], SIZE)


@pytest.mark.parametrize("as_tensor", [False, True], ids=["numpy", "TensorFlow"])
def test_normalised_pixels_span_minus_one_to_one(as_tensor: bool) -> None:
    pixels = np.array([0, 127, 255], np.uint8)
    found = np.asarray(normalise(tf.constant(pixels) if as_tensor else pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-1, -1 / 255, 1], atol=1e-6)


def test_cache_holds_every_photo_in_rgb_with_its_aspect(root: Path, names: Names, cached: Path) -> None:
    short_side = round(SIZE * pipeline.MARGIN)
    found = records(cached)
    assert [number for number, _ in found] == list(range(PHOTOS))
    for (_, picture), path in zip(found, names[0], strict=True):
        expected = geometry.resize_short_side(geometry.read_photo(root / path), short_side)
        np.testing.assert_array_equal(picture, expected[..., ::-1])
        assert min(picture.shape[:2]) == short_side


def test_cache_is_reused(root: Path, names: Names, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_shrunken", None)  # decoding a photo would fail
    done = list[tuple[int, int]]()
    assert build_cache(cached.parent, root, *names, SIZE, lambda *call: done.append(call)) == cached
    assert done == [(PHOTOS, PHOTOS)]


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
    assert sorted(epoch(sharded)) == list(range(PHOTOS))


def test_photo_that_changed_is_told_in_one_line(root: Path, names: Names, tmp_path: Path) -> None:
    changed = tmp_path / "photos"
    shutil.copytree(root, changed)
    (changed / names[0][3]).write_bytes((root / names[0][4]).read_bytes())
    with pytest.raises(PhotoError, match=r"03\.png: changed since it was listed in the manifest; start a new run"):
        build_cache(tmp_path / "cache", changed, *names, SIZE)
    (changed / names[0][3]).unlink()
    with pytest.raises(PhotoError, match=r"03\.png: cannot be read any more"):
        build_cache(tmp_path / "cache", changed, *names, SIZE)


@pytest.mark.parametrize("after", [1, 5, PHOTOS], ids=lambda after: f"after {after} photos")
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
    assert len(decoded) == PHOTOS
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


def test_draws_depend_on_seed_epoch_and_photo_alone(cached: Path) -> None:
    alone, four, again = epoch(cached), epoch(cached, batch=4), epoch(cached, batch=4)
    assert list(four) == list(again)
    assert len(four) == PHOTOS // 4 * 4  # the rest of the epoch makes no full batch
    for photo, (image, keep) in four.items():
        np.testing.assert_array_equal(image, alone[photo][0])
        np.testing.assert_array_equal(keep, alone[photo][1])


@pytest.mark.parametrize("other", [{"seed": 4}, {"number": 1}], ids=["another seed", "another epoch"])
def test_another_seed_or_epoch_draws_anew(cached: Path, other: dict[str, Any]) -> None:
    one, two = epoch(cached), epoch(cached, **other)
    assert list(one) != list(two)  # the order
    assert sorted(one) == sorted(two) == list(range(PHOTOS))
    for photo, (image, keep) in one.items():
        assert (image != two[photo][0]).any()
        assert (keep != two[photo][1]).any()


def test_fewer_photos_than_a_batch_are_one_batch(cached: Path) -> None:
    assert sorted(epoch(cached, batch=64)) == list(range(PHOTOS))


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
