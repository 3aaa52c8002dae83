from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import PhotoError
from edge.photos.manifest import read_manifest, write_manifest
from edge.picture import geometry
from export.opening.finished_run import open_run, pick_calibration
from tests.export import colours
from tests.export.conftest import Export
from training.network.backbone import batch_norms


@pytest.fixture
def copy(run_folder: Path, tmp_path: Path) -> Path:
    """A run folder that may be damaged."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def test_run_opens_with_its_network_photos_and_labels(run_folder: Path, root: Path) -> None:
    run = open_run(run_folder)
    assert run.labels == ("bluebell", "fern", "poppy")
    assert [len(run.members(split)) for split, _ in colours.SPLITS] == [3 * count for _, count in colours.SPLITS]
    assert run.root == root


def test_views_are_what_the_device_sees(run_folder: Path, root: Path) -> None:
    run, drawn = open_run(run_folder), []
    members = run.members("test")[::5]
    views = run.views(members, lambda done, total: drawn.append((done, total)))
    for picture, truth, photo in zip(views.pictures, views.truth, members, strict=True):
        np.testing.assert_array_equal(picture, geometry.model_input(geometry.read_photo(root / photo.path), 32))
        assert run.labels[truth] == photo.label
    assert drawn[-1] == (len(members), len(members))


@pytest.mark.parametrize(("weights", "is_trainable"), [("none", True), ("imagenet", False), ("some.h5", False)])
def test_batch_norms_are_frozen_unless_trained_from_scratch_and_settle_within_a_few_steps(
    weights: str, is_trainable: bool, copy: Path
) -> None:
    edit(copy, weights=weights)
    layers = batch_norms(open_run(copy).model)
    assert {(layer.trainable, layer.momentum) for layer in layers} == {(is_trainable, 0.9)}


def test_photos_that_moved_are_found_where_they_are_now(copy: Path, root: Path) -> None:
    edit(copy, photos="/nowhere")
    assert open_run(copy, str(root)).root == root


def edit(run: Path, **fields: Any) -> None:
    """Change fields of config.json."""
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**content, **fields}))


def keep(run: Path, wanted: Callable[[Any], bool]) -> None:
    """Drop lines of the manifest."""
    write_manifest(run / "manifest.csv", [photo for photo in read_manifest(run / "manifest.csv") if wanted(photo)])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_network(run: Path, **kwargs: int) -> None:
    colours.network(**kwargs).save(run / "model.keras")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_file(run: Path) -> None:
    shutil.rmtree(run)
    run.write_text("x")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such run": (shutil.rmtree, "no config.json in it; expected a run folder made by: flora train"),
    "a file": (as_file, "expected a run folder made by: flora train"),
    "no config.json": (lambda run: (run / "config.json").unlink(), "no config.json in it; expected a run folder"),
    "half of config.json": (lambda run: cut(run / "config.json"), "config.json: cannot be read as JSON"),
    "no manifest.csv": (lambda run: (run / "manifest.csv").unlink(), "manifest.csv: the manifest cannot be read"),
    "half of manifest.csv": (lambda run: cut(run / "manifest.csv"), "manifest.csv: the manifest "),
    "no model.keras": (lambda run: (run / "model.keras").unlink(), "not finished; go on with: flora train --resume"),
    "half of model.keras": (lambda run: cut(run / "model.keras"), "model.keras: cannot be read as a Keras model"),
    "empty model.keras": (lambda run: (run / "model.keras").write_bytes(b""), "cannot be read as a Keras model"),
    "a folder model.keras": (lambda run: as_folder(run / "model.keras"), "cannot be read as a Keras model"),
    "no train photos": (lambda run: keep(run, lambda p: p.split != "train"), "lists no train photos"),
    "no validation photos": (lambda run: keep(run, lambda p: p.split != "validation"), "lists no validation photos"),
    "no test photos": (lambda run: keep(run, lambda p: p.split != "test"), "lists no test photos"),
    "manifest of another run": (
        lambda run: keep(run, lambda p: p.label != "fern"),
        "model.keras is 32 px with 3 outputs, config.json and manifest.csv say 32 px with 2 classes",
    ),
    "network of another run": (lambda run: other_network(run, num_classes=5), "32 px with 5 outputs"),
    "network of another size": (lambda run: other_network(run, size=64), "model.keras is 64 px"),
    "photos that moved": (lambda run: edit(run, photos="/nowhere"), "(72 of the run's 72 are missing); if the folder"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_half_written_or_mixed_up_run_is_one_line(damage: str, copy: Path, export: Export, tmp_path: Path) -> None:
    spoil, message = DAMAGES[damage]
    spoil(copy)
    said = export(run=copy)
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("flora: ")
    assert message in line
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_one_missing_photo_is_told_before_any_work(split: str, copy: Path, root: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(root, tmp_path / "here"))
    lost = next(photo for photo in read_manifest(copy / "manifest.csv") if photo.split == split)
    (here / lost.path).unlink()
    with pytest.raises(PhotoError, match=rf"{lost.path}: no such photo \(1 of the run's 72 are missing\).* --photos"):
        open_run(copy, str(here))


def test_photo_that_is_none_any_more_is_one_line(copy: Path, root: Path, export: Export, tmp_path: Path) -> None:
    here = Path(shutil.copytree(root, tmp_path / "here"))
    spoilt = next(photo for photo in read_manifest(copy / "manifest.csv") if photo.split == "validation")
    (here / spoilt.path).write_bytes(b"no picture")
    said = export("--photos", str(here), run=copy)
    assert said.code == 1
    line = said.errors[-1]
    assert line.startswith("flora: ")
    assert f"{spoilt.path}: not a readable picture" in line


CROWD = ["a"] * 500 + ["b"] * 40 + ["rare"] * 2


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(30, {"a": 10, "b": 10, "rare": 2}, id="evenly, and all there are of the rare one"),
        pytest.param(1, {"a": 1, "b": 1, "rare": 1}, id="fewer than classes: one each"),
        pytest.param(31, {"a": 11, "b": 11, "rare": 2}, id="rounded up"),
        pytest.param(10_000, {"a": 500, "b": 40, "rare": 2}, id="more than there are: all"),
    ],
)
def test_calibration_sees_every_class_evenly(count: int, expected: dict[str, int]) -> None:
    picked = pick_calibration(CROWD, count, seed=1)
    assert Counter(CROWD[i] for i in picked) == expected
    assert len(set(picked)) == len(picked)


def test_calibration_is_a_function_of_the_seed() -> None:
    assert pick_calibration(CROWD, 30, seed=1) == pick_calibration(CROWD, 30, seed=1)
    assert pick_calibration(CROWD, 30, seed=1) != pick_calibration(CROWD, 30, seed=2)


def test_calibration_is_drawn_from_all_over_a_class() -> None:
    picked = pick_calibration(["a"] * 1000, 50, seed=1)
    assert max(picked) - min(picked) > 500
