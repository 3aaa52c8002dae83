"""A walk along the garden as a clip: every flower in turn, smoothly, whole or not there."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import OutputError, UsageError
from edge.picture.geometry import Picture
from training.garden import parade
from training.garden.parade import ClipScene, render_clip
from training.garden.planting import SPECIES

SMALL = (64, 48)


def read_frames(path: Path) -> list[Picture]:
    reader = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
    frames = []
    while (answer := reader.read())[0]:
        frames.append(np.asarray(answer[1], np.uint8))
    return frames


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


def test_clip_cut_short_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.picture.video._count_frames", lambda path: 7)
    (tmp_path / "clip.avi").write_bytes(b"the old clip")
    with pytest.raises(OutputError, match="could not be written whole"):
        render_clip(tmp_path / "clip.avi", 0, SMALL, flowers=5, frames_per_flower=10)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old clip"]


def test_an_interrupted_clip_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_clip(tmp_path / "clip.avi", 0, SMALL, flowers=5, frames_per_flower=10, bar=interrupt)
    assert not list(tmp_path.iterdir())


def test_between_flowers_there_are_places_with_none(tmp_path: Path) -> None:
    scenes = render_clip(tmp_path / "clip.avi", 2, SMALL, flowers=6, frames_per_flower=12, empty=2)
    assert [number for number, scene in enumerate(scenes) if scene.species == parade.NOTHING] == [2, 5]
    assert all(one.last_frame < other.first_frame for one, other in itertools.pairwise(scenes))
    assert {scene.species for scene in scenes} > set(SPECIES)


@pytest.mark.parametrize("empty", [6, 40])
def test_more_places_without_flowers_than_flowers_are_refused(empty: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{empty} places without flowers"):
        render_clip(tmp_path / "clip.avi", 2, SMALL, flowers=6, frames_per_flower=12, empty=empty)
