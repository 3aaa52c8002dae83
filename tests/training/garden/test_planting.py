"""The rendered garden: the same seed gives the same pictures, and they are what their names say."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.picture.geometry import read_photo
from training.garden import parade
from training.garden.facets import Facets, Layer, Sun, facing, from_grids, join, laid_over, moved, paint
from training.garden.meadow import Picture
from training.garden.parade import ClipScene, render_clip
from training.garden.planting import SPECIES, plant, render_flower
from training.garden.specimen import grow, posed

FROM_ABOVE = Sun(np.array([0.0, 0.0, 1.0]), 0.5)
SMALL = (64, 48)
SUNNY = ("sunflowers", "dandelion")


def square(colour: tuple[float, float, float], side: float, depth: float = 0.0, tier: int = 0) -> Facets:
    x, y = np.meshgrid([-side, side], [-side, side])
    points = np.stack([x, y, np.full_like(x, depth)], axis=-1)[None]
    return from_grids(points, np.array(colour).reshape(1, 1, 1, 3), tier)


def painted(facets: Facets) -> Picture:
    canvas = np.zeros((20, 20, 4), np.uint8)
    paint(canvas, facets, 10, (10, 10), FROM_ABOVE)
    return canvas


def read_frames(path: Path) -> list[Picture]:
    reader = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
    frames = []
    while (answer := reader.read())[0]:
        frames.append(np.asarray(answer[1], np.uint8))
    return frames


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


@pytest.mark.parametrize("species", SPECIES)
@pytest.mark.parametrize("seed", range(4))
def test_head_fills_the_middle_and_stays_in_the_picture(species: str, seed: int) -> None:
    head = posed(grow(species, 0.3, np.random.default_rng(seed)))
    corners = head.corners[head.tiers >= 0]
    reach = np.abs(corners[..., :2]).max()
    assert 0.15 < reach < 0.5, "short sides from the centre of a picture one short side across"


def test_sunflower_is_dark_at_heart_and_dandelion_is_not() -> None:
    sunflowers, dandelions = ([heart_brightness(species, seed) for seed in range(9)] for species in SUNNY)
    assert max(sunflowers) < 110
    assert np.median(dandelions) > 110


def heart_brightness(species: str, seed: int) -> float:
    specimen = grow(species, 0.4, np.random.default_rng(seed))
    head = moved(specimen.head, np.eye(3), 0.4, np.zeros(3))
    picture = laid_over(np.zeros((80, 80, 3), np.float32), Layer(head), FROM_ABOVE, 2)
    return float(picture[36:44, 36:44].max(axis=-1).mean())


def test_sway_moves_the_head_and_leaves_the_root() -> None:
    specimen = grow("tulips", 0.3, np.random.default_rng(0))
    still, swayed = posed(specimen), posed(specimen, 0.1)
    head, stem = still.tiers >= 0, still.tiers == -10
    assert (swayed.corners[head] - still.corners[head])[..., 0].mean() < -0.05
    lowest = still.corners[stem][..., 1] < -1.39
    np.testing.assert_allclose(swayed.corners[stem][lowest], still.corners[stem][lowest], atol=0.02)


def test_nearer_facets_hide_farther_ones_whatever_their_order() -> None:
    near, far = square((0, 0, 200), 0.3, depth=0.2), square((200, 0, 0), 0.3, depth=-0.2)
    for pair in itertools.permutations([near, far]):
        assert painted(join(pair))[10, 10, 2] > 150


def test_higher_tier_hides_lower_one_whatever_its_depth() -> None:
    picture = painted(join([square((0, 0, 200), 0.3, depth=-0.2, tier=1), square((200, 0, 0), 0.3, depth=0.2)]))
    assert picture[10, 10, 2] > 150


def test_alpha_marks_what_is_painted() -> None:
    alpha = painted(square((9, 9, 9), 0.5))[..., 3]
    assert (alpha[10, 10], alpha[1, 1]) == (255, 0)


def test_head_that_faces_the_sky_points_up() -> None:
    np.testing.assert_allclose(facing(np.pi / 2, 0, 1.0) @ [0, 0, 1], [0, 1, 0], atol=1e-12)


def test_plant_writes_numbered_photos_of_every_species(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    assert plant(tmp_path, 3, seed=5, size_wh=SMALL, progress=lambda done, total: calls.append((done, total))) == 15
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


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Picture], list[ClipScene]]:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    scenes = render_clip(path, 2, SMALL, flowers=6, frames_per_flower=12)
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.avi"], "no temporary file is left"
    return read_frames(path), scenes


def test_clip_has_all_its_frames_in_the_size_asked_for(clip: tuple[list[Picture], list[ClipScene]]) -> None:
    frames, _ = clip
    assert len(frames) == 6 * 12
    assert {frame.shape for frame in frames} == {(48, 64, 3)}


def test_clip_shows_every_species_and_never_one_twice_running(clip: tuple[list[Picture], list[ClipScene]]) -> None:
    shown = [scene.species for scene in clip[1]]
    assert set(shown) == set(SPECIES)
    assert all(one != next_one for one, next_one in itertools.pairwise(shown))


def test_scenes_are_in_order_with_frames_between_them(clip: tuple[list[Picture], list[ClipScene]]) -> None:
    for number, scene in enumerate(clip[1]):
        assert 12 * number < scene.first_frame < scene.last_frame < 12 * number + 11
        assert scene.last_frame - scene.first_frame >= 6, "a flower is in the middle for most of its time"


@pytest.mark.parametrize("frames_per_flower", [10, 30])
def test_camera_never_turns_back_and_lingers_at_flowers(frames_per_flower: int) -> None:
    steps = np.diff([parade._position(frame, frames_per_flower) for frame in range(3 * frames_per_flower)])
    assert steps.min() > 0
    assert steps[frames_per_flower // 2] < 0.2 * steps.max()


def test_clip_moves_smoothly_while_a_flower_is_shown(clip: tuple[list[Picture], list[ClipScene]]) -> None:
    frames, scenes = clip
    jumps = [np.abs(two.astype(int) - one).mean() for one, two in itertools.pairwise(frames)]
    middle = [(scene.first_frame + scene.last_frame) // 2 for scene in scenes]
    assert max(jumps[frame] for frame in middle) < 0.5 * max(jumps)


@pytest.mark.parametrize("flowers", [5, 7, 10, 23])
def test_running_order_shows_each_species_equally_often(flowers: int) -> None:
    for seed in range(10):
        order = parade._running_order(np.random.default_rng(seed), flowers)
        counts = [order.count(species) for species in SPECIES]
        assert len(order) == flowers
        assert max(counts) - min(counts) <= 1
        assert all(one != next_one for one, next_one in itertools.pairwise(order))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flowers": 4}, "4 flowers; expected at least 5"),
        ({"frames_per_flower": 3}, "3 frames per flower; expected at least 10"),
        ({"size_wh": (20, 64)}, "picture size 20x64; expected at least 32"),
        ({"seed": -1}, "seed -1; expected 0 or more"),
        ({"fps": 0}, "0 frames per second; expected at least 1"),
        ({"name": "clip.mp4"}, "expected a name that ends in .avi"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_clip_refuses_impossible_options(tmp_path: Path, options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"seed": 0, **options}
    path = tmp_path / str(arguments.pop("name", "clip.avi"))
    with pytest.raises(UsageError, match=message):
        render_clip(path, **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


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


def test_clip_cut_short_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sinks.clip._count_frames", lambda path: 7)
    (tmp_path / "clip.avi").write_bytes(b"the old clip")
    with pytest.raises(OutputError, match="could not be written whole"):
        render_clip(tmp_path / "clip.avi", 0, SMALL, flowers=5, frames_per_flower=10)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old clip"]


def test_an_interrupted_clip_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_clip(tmp_path / "clip.avi", 0, SMALL, flowers=5, frames_per_flower=10, progress=interrupt)
    assert not list(tmp_path.iterdir())
