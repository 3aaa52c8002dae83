"""The rendered garden: the same seed gives the same pictures, and they are what their names say."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.picture.geometry import read_photo
from training.garden.parade import render_clip
from training.garden.planting import SPECIES, plant, render_flower

SMALL = (64, 48)


@pytest.mark.parametrize("species", SPECIES)
def test_same_seed_gives_the_same_picture(species: str) -> None:
    np.testing.assert_array_equal(render_flower(species, 3, SMALL), render_flower(species, 3, SMALL))


@pytest.mark.parametrize("species", SPECIES)
def test_another_seed_gives_another_picture(species: str) -> None:
    difference = np.abs(render_flower(species, 3, SMALL).astype(int) - render_flower(species, 4, SMALL))
    assert difference.mean() > 5


@pytest.mark.parametrize("size_wh", [(160, 160), (160, 128), (96, 128), (33, 47)], ids=str)
def test_picture_has_the_size_asked_for(size_wh: tuple[int, int]) -> None:
    picture = render_flower("roses", 1, size_wh)
    assert picture.shape == (size_wh[1], size_wh[0], 3)
    assert picture.dtype == np.uint8


def test_plant_writes_numbered_photos_of_every_species(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    assert plant(tmp_path, 3, seed=5, size_wh=SMALL, bar=lambda done, total: calls.append((done, total))) == 15
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert names == [f"{species}/{species}_{number:04d}.jpg" for species in SPECIES for number in (1, 2, 3)]
    assert calls == [(done, 15) for done in range(1, 16)]


def test_plant_mixes_landscape_portrait_and_square(tmp_path: Path) -> None:
    plant(tmp_path, 8, seed=1, size_wh=SMALL)
    shapes = {read_photo(path).shape[:2] for path in (tmp_path / "daisy").iterdir()}
    assert shapes == {(48, 64), (64, 48), (48, 48)}


def test_planting_again_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        plant(tmp_path / name, 1, seed, SMALL)
    first, again, other = ((tmp_path / name / "tulips/tulips_0001.jpg").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_unknown_species_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'lotus'; expected one of: daisy, dandelion, roses, sunflowers, tulips"):
        render_flower("lotus", 0)


@pytest.mark.parametrize(("per_class", "seed"), [(0, 0), (1, -1)], ids=["no photos", "negative seed"])
def test_plant_refuses_impossible_options(tmp_path: Path, per_class: int, seed: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        plant(tmp_path / "garden", per_class, seed)
    assert not list(tmp_path.iterdir())


def test_unwritable_places_are_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot be written"):
        plant(tmp_path / "file", 1, 0, SMALL)
    with pytest.raises(OutputError, match="cannot be written"):
        render_clip(tmp_path / "file" / "clip.avi", 0, SMALL, frames_per_flower=10)
    (tmp_path / "taken.avi").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        render_clip(tmp_path / "taken.avi", 0, SMALL, flowers=5, frames_per_flower=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.avi"]


def test_full_disk_leaves_no_photo_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        plant(tmp_path, 1, 0, SMALL)
    assert not list(tmp_path.rglob("*.*"))
