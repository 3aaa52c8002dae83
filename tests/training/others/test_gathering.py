"""What a run learns "none of these" from: folders that are named, a class folder, and what is made."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.base.progress import silent
from edge.contract.rejection import UNKNOWN
from edge.errors import PhotoError
from edge.picture.png import GROUP, with_note
from training.config import TrainConfig
from training.others.gathering import with_other_things
from training.photos.split import split
from training.photos.survey import Survey, find_photos


def write(path: Path, seed: int, group: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    path.write_bytes(with_note(data, {GROUP: group}) if group else data)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(24):
        write(tmp_path / "photos" / ("daisy" if number % 2 else "rose") / f"{number}.png", number)
    return tmp_path / "photos"


def gathered(photos: Path, run: Path, told: list[str] | None = None, **asked: object) -> Survey:
    config = replace(TrainConfig(photos=str(photos), made_others=4), **asked)  # type: ignore[arg-type]
    survey = find_photos(photos, 4)
    return with_other_things(config, survey, run, silent, (told if told is not None else []).append)


def test_a_folder_of_other_things_is_shared_out_by_kind_of_thing(photos: Path, tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path / "things" / ("cats" if number < 6 else f"kind{number // 3}") / f"{number}.png", 100 + number)
    found = split(gathered(photos, tmp_path / "run", other_things=(str(tmp_path / "things"),), made_others=0), 1)
    others = [photo for photo in found if photo.label == UNKNOWN]
    assert len(others) == 30
    assert {photo.root for photo in others} == {str(tmp_path / "things")}
    assert all((tmp_path / "run" / photo.located(tmp_path / "run")).exists() for photo in others)
    assert len({photo.split for photo in others}) == 3
    for kind in {photo.path.split("/")[0] for photo in others}:
        assert len({photo.split for photo in others if photo.path.startswith(f"{kind}/")}) == 1


def test_what_is_made_is_made_of_training_photos_and_trained_on_alone(photos: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = split(gathered(photos, tmp_path / "run", told), 1)
    made = [photo for photo in found if photo.label == UNKNOWN]
    assert {(photo.root, photo.split) for photo in made} == {("made", "train")}
    assert len(made) == 4
    assert all((tmp_path / "run" / "made" / photo.path).exists() for photo in made)
    assert "no pictures of other things" in told[0]
    test = {photo.sha256 for photo in found if photo.split == "test"}
    known = {hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.rglob("*.png")}
    assert test <= known


def test_no_more_is_made_than_a_class_has_photos_for_training(photos: Path, tmp_path: Path) -> None:
    assert sum(one.label == UNKNOWN for one in gathered(photos, tmp_path, made_others=300).photos) == 8


def test_asked_for_nothing_there_is_nothing(photos: Path, tmp_path: Path) -> None:
    assert gathered(photos, tmp_path / "run", other_things=("none",)) == find_photos(photos, 4)
    assert not (tmp_path / "run").exists()


def test_a_photo_of_a_class_is_no_other_thing(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "things/copy.png", 1)
    write(tmp_path / "things/cat.png", 100)
    found = gathered(photos, tmp_path, other_things=(str(tmp_path / "things"),), made_others=0)
    assert [one.path for one in found.photos if one.label == UNKNOWN] == ["cat.png"]
    assert found.left_out == [(f"{tmp_path}/things/copy.png", "it is among the photos of the classes")]


def test_frames_of_one_minute_stay_together_and_a_class_of_them_alone_trains(photos: Path, tmp_path: Path) -> None:
    for number in range(12):
        write(photos / UNKNOWN / f"{number}.png", 100 + number, f"camera 0, minute {number // 6}")
    found = split(gathered(photos, tmp_path, made_others=0), 1)
    assert {photo.split for photo in found if photo.label == UNKNOWN} == {"train"}
    for number in range(12, 60):
        write(photos / UNKNOWN / f"{number}.png", 100 + number, f"camera 0, minute {number // 6}")
    found = split(gathered(photos, tmp_path, made_others=0), 1)
    assert {photo.split for photo in found if photo.label == UNKNOWN} == {"train", "validation", "test"}
    for minute in range(10):
        names = {f"{UNKNOWN}/{number}.png" for number in range(6 * minute, 6 * minute + 6)}
        assert len({photo.split for photo in found if photo.path in names}) == 1


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_folder_without_pictures_is_one_line(name: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(PhotoError, match=f"{name}: (no such folder|no picture|not a folder)"):
        gathered(photos, tmp_path, other_things=(str(tmp_path / name),))


def test_what_is_no_picture_is_left_out_with_its_place(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "things/cat.png", 100)
    (tmp_path / "things/note.txt").write_text("x")
    (tmp_path / "things/list").mkdir()
    (tmp_path / "things/list/more.txt").write_text("x")
    found = gathered(photos, tmp_path, other_things=(str(tmp_path / "things"),), made_others=0)
    assert [path for path, _ in found.left_out] == [f"{tmp_path}/things/list/more.txt", f"{tmp_path}/things/note.txt"]
