"""flora evaluate: figures as computed by hand, two models compared, a run's photos without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.intervals import wilson_interval
from edge.contract.rejection import Rejection
from edge.contract.result import Result
from edge.model.classifier import Classifier
from edge.photos.manifest import SPLITS, Photo, Split, read_manifest, write_manifest
from edge.picture.video import VideoWriter
from tests.edge.conftest import Flora
from tests.edge.fakes import FakeClassifier
from tests.edge.model import tiny


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    """A run folder as training leaves it, as far as this verb reads it: the test photos are those in .jpg."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"photos": str(photos)}))
    list_photos(folder, photos)
    return folder


def list_photos(folder: Path, photos: Path, label: Callable[[str], str] = str) -> None:
    write_manifest(
        folder / "manifest.csv",
        [
            Photo(
                path.relative_to(photos).as_posix(),
                hashlib.sha256(path.read_bytes()).hexdigest(),
                label(path.parent.name),
                "test" if path.suffix == ".jpg" else "train",
                48,
                40,
            )
            for path in sorted(photos.rglob("*.*"))
        ],
    )


def flatterer(path: Path) -> Path:
    """A model that gets the blue photo among the red right as well: it names every colour but green red."""
    return tiny.write_model(path, labels=("red", "green", "blue"), content=tiny.flatbuffer(beta=-8.0))


def figures(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_figures_of_a_folder_are_those_computed_by_hand(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("evaluate", model, photos, "--json")
    assert (found.code, found.err) == (0, "")
    assert found.out.count("\n") == 1
    content = figures(found.out)
    assert content["photos"] == f"6 photos of {photos}"
    assert content["against_first"] == []
    scores = content["models"][str(model)]
    low, high = wilson_interval(5, 6)
    assert (scores["n"], scores["top1"]) == (6, pytest.approx(5 / 6))
    assert (scores["low"], scores["high"]) == (pytest.approx(low), pytest.approx(high))
    assert scores["confusion"] == [[1, 0, 1], [0, 2, 0], [0, 0, 2]]
    by_label = {one["label"]: (one["precision"], one["recall"], one["support"]) for one in scores["classes"]}
    assert by_label == {
        "red": (1.0, 0.5, 2),
        "green": (1.0, 1.0, 2),
        "blue": (pytest.approx(2 / 3), 1.0, 2),
    }


def test_the_text_has_the_accuracy_its_interval_and_every_class(flora: Flora, model: Path, photos: Path) -> None:
    found = flora("evaluate", model, photos)
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"{model} on 6 photos of {photos}\n")
    for part in ("83.3", "red", "green", "blue"):
        assert part in found.out


def test_two_models_are_compared_photo_by_photo(flora: Flora, model: Path, photos: Path, tmp_path: Path) -> None:
    other = flatterer(tmp_path / "other.tflite")
    found = flora("evaluate", model, other, photos, "--json")
    content = figures(found.out)
    assert content["models"][str(other)]["top1"] == pytest.approx(1 / 6)  # right on the blue one among the red alone
    (gap,) = content["against_first"]
    assert gap["agreement"] == 0.0
    assert gap["difference"]["difference"] == pytest.approx(-4 / 6)
    assert (gap["mcnemar"]["only_a"], gap["mcnemar"]["only_b"]) == (1, 5)
    assert f"{other} against {model}: -66.7 points (95 % interval " in flora("evaluate", model, other, photos).out


def test_a_run_gives_its_held_out_photos(flora: Flora, model: Path, run: Path) -> None:
    content = figures(flora("evaluate", model, "--run", run, "--json").out)
    assert content["photos"] == f"3 test photos of {run}"
    assert content["models"][str(model)]["top1"] == pytest.approx(2 / 3)


def test_another_split_can_be_asked_for(flora: Flora, model: Path, run: Path) -> None:
    content = figures(flora("evaluate", model, "--run", run, "--split", "train", "--json").out)
    assert content["photos"] == f"3 train photos of {run}"
    assert content["models"][str(model)]["top1"] == 1.0


def test_photos_that_have_moved_are_one_line_and_can_be_named(
    flora: Flora, model: Path, run: Path, photos: Path
) -> None:
    moved = photos.rename(photos.with_name("moved"))
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert (
        found.error == f"{photos}/blue/2.jpg: a photo of the run is gone; if the folder has moved give --photos FOLDER"
    )
    assert flora("evaluate", model, "--run", run, "--photos", moved).code == 0


def test_a_photo_that_has_changed_since_the_training_is_one_line(
    flora: Flora, model: Path, run: Path, photos: Path
) -> None:
    tiny.write_photo(photos / "green" / "2.jpg", "red")
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert found.error.startswith(f"{photos}/green/2.jpg: changed since the training; expected the photo")


def test_a_photo_of_a_run_that_has_broken_is_one_line(flora: Flora, model: Path, run: Path, photos: Path) -> None:
    (photos / "green" / "2.jpg").write_bytes(b"")
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert found.error.startswith(f"{photos}/green/2.jpg: the file is empty")


def test_what_is_no_photo_in_a_folder_is_left_out_and_told(flora: Flora, model: Path, photos: Path) -> None:
    (photos / "red" / "notes.txt").write_bytes(b"II*\x00" + b"\xff" * 30)  # OpenCV would have remarks of its own
    tiny.write_photo(photos / "stray.png", "red")
    found = flora("evaluate", model, photos, "--json")
    assert found.code == 0
    assert figures(found.out)["photos"] == f"6 photos of {photos}"
    stray, notes = found.err.splitlines()
    assert stray == "left out stray.png: lies beside the class folders, so it has no class"
    assert notes.startswith(f"left out {photos}/red/notes.txt: not a readable picture")


def test_photos_that_a_run_was_trained_on_are_left_out_of_a_folder(
    flora: Flora, model: Path, run: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.verbs.evaluate.open_classifier", lambda name: Classifier(model))
    found = flora("evaluate", run, photos, "--json")
    assert figures(found.out)["photos"] == f"3 photos of {photos}"
    assert found.err == "left out 3 photos that a run among the models was trained or chosen on\n"


def test_two_runs_are_compared_on_photos_that_neither_has_seen(
    flora: Flora, model: Path, run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.verbs.evaluate.open_classifier", lambda name: Classifier(model))
    other = tmp_path / "other"
    shutil.copytree(run, other)
    text = (other / "manifest.csv").read_text()
    green = next(line for line in text.splitlines() if line.startswith("green/") and ",test," in line)
    (other / "manifest.csv").write_text(text.replace(green, green.replace(",test,", ",train,")))
    found = flora("evaluate", run, other, "--json")
    assert figures(found.out)["photos"] == f"2 test photos of {run}"
    assert "left out 1 photos that a run among the models was trained or chosen on" in found.err.splitlines()
    (other / "manifest.csv").write_text(text.replace(",test,", ",train,"))
    found = flora("evaluate", run, other)
    assert found.code == 1
    assert found.error == (
        f"all 3 readable test photos of {run} are photos that a run among the models was trained or chosen on; "
        "expected others"
    )


def test_a_model_of_another_split_is_told(flora: Flora, model: Path, run: Path) -> None:
    found = flora("evaluate", model, "--run", run, "--json")
    assert found.code == 0
    assert f"was trained on another split than the test photos of {run}; it may have seen some of them" in found.err


# Unknown

RULE = Rejection("probability", 0.5, 0.95)


@pytest.fixture
def rejecting(tmp_path: Path) -> Path:
    """The model of the colours, which calls what it is less than half sure of unknown: grey, for one."""
    return tiny.write_model(tmp_path / "rejecting.tflite", rejection=RULE)


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """Four pictures of no class, some in deeper folders: three grey ones, and one that is nearly red."""
    folder = tmp_path / "things"
    for number, bgr in enumerate([(99, 99, 99), (30, 30, 30), (200, 200, 200), (0, 0, 200)]):
        path = folder / "/".join("ab"[:number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 48, 3), bgr, np.uint8))
    return folder


def test_a_threshold_is_measured_without_being_asked(flora: Flora, rejecting: Path, photos: Path) -> None:
    grey_photo(photos / "green" / "3.png")
    found = figures(flora("evaluate", rejecting, photos, "--json").out)["models"][str(rejecting)]
    assert found["rejection"] == {"score": "probability", "threshold": 0.5, "coverage": 0.95}
    answered = found["answered"]
    low, high = wilson_interval(6, 7)
    assert answered["photos"] == 7
    assert answered["coverage"] == {"value": 6 / 7, "low": low, "high": high}
    assert answered["accuracy"]["value"] == 5 / 6
    assert found["unknown"] is None
    assert found["unknown_class"] is None


def test_pictures_of_unknown_things_are_measured_at_any_depth(
    flora: Flora, rejecting: Path, photos: Path, things: Path
) -> None:
    found = flora("evaluate", rejecting, photos, "--others", things, "--json")
    assert (found.code, found.err) == (0, "")
    unknown = figures(found.out)["models"][str(rejecting)]["unknown"]
    low, high = wilson_interval(3, 4)
    assert unknown == {
        "pictures": 4,
        "called_unknown": {"value": 0.75, "low": low, "high": high},
        "auroc": pytest.approx((6 * 3 + 6 * 0.5) / 24),  # the nearly red one is as sure as all photos: 255/256
        "fpr_at_95": 0.25,
    }


def test_the_text_says_what_unknown_means_and_how_it_fares(
    flora: Flora, rejecting: Path, photos: Path, things: Path
) -> None:
    out = flora("evaluate", rejecting, photos, "--others", things).out
    for line in (
        '"unknown" is the answer when the highest probability is below 0.500, chosen to keep 95% of known photos',
        "  known photos answered    100.0% (95% interval 61.0% to 100.0%) of 6",
        "  right among those        83.3% (95% interval 43.6% to 97.0%)",
        "  unknown things called so 75.0% (95% interval 30.1% to 95.4%) of 4",
    ):
        assert line in out.splitlines()
    assert "AUROC 0.875; a threshold that keeps 95% of these known photos accepts 25.0% of the 4 unknown" in out


def test_a_model_without_threshold_is_judged_by_its_probabilities_alone(
    flora: Flora, model: Path, photos: Path, things: Path
) -> None:
    found = figures(flora("evaluate", model, photos, "--others", things, "--json").out)["models"][str(model)]
    assert (found["rejection"], found["answered"]) == (None, None)
    assert found["unknown"]["called_unknown"] is None
    assert found["unknown"]["auroc"] == pytest.approx(0.875)
    out = flora("evaluate", model, photos, "--others", things).out
    assert '"unknown" is never the answer: this model has no threshold' in out
    assert "no threshold" not in flora("evaluate", model, photos).out


def test_two_models_are_measured_on_the_same_unknown_things(
    flora: Flora, model: Path, rejecting: Path, photos: Path, things: Path
) -> None:
    found = figures(flora("evaluate", model, rejecting, photos, "--others", things, "--json").out)["models"]
    assert [one["unknown"]["pictures"] for one in found.values()] == [4, 4]
    assert found[str(model)]["unknown"]["called_unknown"] is None
    assert found[str(rejecting)]["unknown"]["called_unknown"]["value"] == 0.75


def test_a_class_called_unknown_is_an_answer_like_the_threshold(
    flora: Flora, photos: Path, things: Path, tmp_path: Path
) -> None:
    """Green was taught as "unknown": its photos count neither in the accuracy nor among the known photos."""
    (photos / "green").rename(photos / "unknown")
    model = tiny.write_model(tmp_path / "taught.tflite", labels=("red", "unknown", "blue"))
    found = flora("evaluate", model, photos, "--others", things, "--json")
    scores = figures(found.out)["models"][str(model)]
    assert figures(found.out)["photos"] == f"4 photos of {photos}"
    assert (scores["n"], scores["top1"], scores["labels"]) == (4, 0.75, ["red", "blue"])
    assert scores["confusion"] == [[1, 1], [0, 2]]
    assert scores["answered"]["photos"] == 4
    assert scores["answered"]["coverage"]["value"] == 1.0
    assert scores["answered"]["accuracy"]["value"] == 0.75
    assert scores["unknown_class"]["value"] == 1.0
    assert scores["unknown"]["called_unknown"]["value"] == 0.0  # grey is the first class, red, by a hair
    out = flora("evaluate", model, photos).out
    assert '"unknown" is the answer of its class alone: this model has no threshold' in out
    assert "  class unknown called so  100.0% (95% interval 34.2% to 100.0%)" in out


def test_pictures_that_are_known_photos_are_no_unknown_things(
    flora: Flora, model: Path, photos: Path, things: Path, run: Path
) -> None:
    shutil.copy(photos / "red" / "1.png", things / "red.png")  # one that the run was trained on
    shutil.copy(photos / "red" / "2.jpg", things / "blue.jpg")  # one of its test photos
    found = flora("evaluate", model, "--run", run, "--others", things, "--json")
    assert figures(found.out)["models"][str(model)]["unknown"]["pictures"] == 4
    assert "left out 2 photos that are among the photos measured or trained on" in found.err.splitlines()
    found = flora("evaluate", model, photos, "--others", photos)
    assert found.error == (
        f"all 6 readable unknown pictures of {photos} are photos that are among the photos measured or trained on; "
        "expected others"
    )


def test_what_is_no_picture_among_the_unknown_things_is_told(
    flora: Flora, model: Path, photos: Path, things: Path
) -> None:
    (things / "broken.jpg").write_bytes(b"no picture")
    (things / "notes.md").write_text("not a picture either")
    found = flora("evaluate", model, photos, "--others", things, "--json")
    assert figures(found.out)["models"][str(model)]["unknown"]["pictures"] == 4
    (line,) = found.err.splitlines()
    assert line.startswith(f"left out {things}/broken.jpg: not a readable picture")


def test_unknown_is_another_name_of_others(flora: Flora, model: Path, photos: Path, things: Path) -> None:
    by_others, by_unknown = (flora("evaluate", model, photos, name, things).out for name in ("--others", "--unknown"))
    assert by_others == by_unknown


def test_folders_of_other_things_are_told_one_by_one_and_together(
    flora: Flora, rejecting: Path, photos: Path, things: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    tiny.write_photo(more / "a-car.png", "blue", (50, 50))
    arguments = ("evaluate", rejecting, photos, "--others", things, "--others", more)
    found = figures(flora(*arguments, "--json").out)["models"][str(rejecting)]
    first, second = found["others"]
    assert (first["name"], first["pictures"], first["named"]["value"]) == (str(things), 4, 0.25)
    assert (second["name"], second["named_surely"]["value"], second["named_as"]) == (str(more), 1.0, {"blue": 1})
    assert (found["others_pooled"]["pictures"], found["others_pooled"]["named"]["value"]) == (5, 0.4)
    assert found["unknown"]["pictures"] == 5
    lines = flora(*arguments).out.splitlines()
    assert next(line for line in lines if line.startswith(f"  {things} ")).endswith("red 1")
    assert any(line.startswith("  the folders together ") for line in lines)


def test_what_a_run_holds_out_of_its_other_things_may_be_measured_on(
    flora: Flora, model: Path, photos: Path, things: Path, run: Path
) -> None:
    splits: tuple[Split, ...] = ("train", "validation", "test", "test")
    listed = [
        Photo(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "unknown", split, 48, 40)
        for path, split in zip(sorted(things.rglob("*.png")), splits, strict=True)
    ]
    write_manifest(run / "manifest.csv", [*read_manifest(run / "manifest.csv"), *listed])
    for photo, path in zip(listed, sorted(things.rglob("*.png")), strict=True):
        shutil.copy(path, photos / photo.path)
    found = flora("evaluate", model, "--run", run, "--split", "train", "--others", things, "--json")
    assert figures(found.out)["models"][str(model)]["others_pooled"]["pictures"] == 2


class Painter(FakeClassifier):
    """Red or blue by the greater of both; with a class "unknown" grey is that."""

    size = 1

    def __init__(self, path: str) -> None:
        self.name = path
        self.labels = ("red", "blue", *(["unknown"] if "taught" in path else []))

    def __call__(self, frame_bgr: NDArray[np.uint8]) -> Result:
        blue, _, red = frame_bgr.reshape(-1, 3).mean(axis=0) / 256
        values = np.array([red, blue, 0.9 if abs(red - blue) < 0.1 else 0.0])[: len(self.labels)]
        return Result(self.labels, np.asarray(values / max(values.sum(), 0.1), np.float32), 0.0, 0.0)


@pytest.fixture
def painters(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two models that differ by "unknown" alone; among the photos is a folder of that name with two grey ones."""
    monkeypatch.setattr("edge.verbs.evaluate.open_classifier", Painter)
    shutil.rmtree(photos / "green")
    (photos / "unknown").mkdir()
    grey_photo(photos / "unknown" / "1.png")
    grey_photo(photos / "unknown" / "2.png")
    paths = tmp_path / "plain.tflite", tmp_path / "taught.tflite"
    for path in paths:
        path.touch()
    return paths


@pytest.mark.parametrize("is_turned", [False, True], ids=["plain first", "taught first"])
def test_models_that_differ_by_unknown_are_compared_over_the_classes_of_both(
    flora: Flora, photos: Path, painters: tuple[Path, Path], is_turned: bool
) -> None:
    plain, taught = painters
    found = flora("evaluate", *(painters[::-1] if is_turned else painters), photos, "--json")
    assert (found.code, found.err) == (0, "")
    content = figures(found.out)
    assert content["photos"] == f"4 photos of {photos}"
    models = {name: content["models"][str(name)] for name in painters}
    assert [(one["n"], one["top1"]) for one in models.values()] == [(4, 0.75)] * 2
    (gap,) = content["against_first"]
    assert (gap["agreement"], gap["mcnemar"]["only_a"], gap["mcnemar"]["only_b"]) == (1.0, 0, 0)
    assert models[plain]["unknown"]["pictures"] == 2  # other things, for a model that has no such class
    assert (models[taught]["unknown"], models[taught]["unknown_class"]["value"]) == (None, 1.0)
    assert [one["others"][0]["named"]["value"] for one in models.values()] == [1.0, 0.0]


def test_photos_of_unknown_alone_are_one_line(flora: Flora, photos: Path, painters: tuple[Path, Path]) -> None:
    for path in (photos / "red", photos / "blue"):
        shutil.rmtree(path)
        path.mkdir()
    found = flora("evaluate", *painters, photos)
    assert found.code == 1
    assert found.error == (
        f"the photos of {photos} are all of class unknown; expected some of red, blue; "
        "pictures of other things are given with --others"
    )


def test_scenes_are_watched_as_a_camera_would_see_them(
    flora: Flora, rejecting: Path, photos: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.avi"
    writer = VideoWriter(clip, fps=10)
    for colour in ["red"] * 30 + ["grey"] * 30:
        writer.add(np.full((40, 48, 3), 128, np.uint8) if colour == "grey" else tiny.plain(colour, (48, 40)))
    writer.close()
    found = flora("evaluate", rejecting, photos, "--scenes", clip, "--json")
    (scene,) = figures(found.out)["models"][str(rejecting)]["scenes"]
    assert (scene["name"], scene["frames"], scene["seconds"]) == (str(clip), 60, 6.0)
    assert (scene["sightings"], scene["sightings_an_hour"]) == (1, 600.0)
    assert scene["sighted"][0]["label"] == "red"
    assert 0.5 < scene["named"] < 0.7  # smoothing keeps it for a moment
    out = flora("evaluate", rejecting, photos, "--scenes", clip).out
    assert any(line.startswith(f"  {clip} ") and line.endswith("red 1") for line in out.splitlines())
    found = flora("evaluate", rejecting, photos, "--scenes", "gone.avi")
    assert (found.code, found.error[:30]) == (1, "gone.avi: not a readable video")


def grey_photo(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 48, 3), 128, np.uint8))


# Mistakes


def test_a_class_that_the_model_does_not_know_is_one_line(flora: Flora, model: Path, photos: Path) -> None:
    tiny.write_photo(photos / "yellow" / "1.png", "red")
    found = flora("evaluate", model, photos)
    assert found.code == 1
    assert found.error.startswith("class yellow of the photos is not one of colours.tflite's labels: red, green, blue")


def test_a_class_of_the_run_that_the_model_does_not_know_is_one_line(
    flora: Flora, model: Path, run: Path, photos: Path
) -> None:
    list_photos(run, photos, {"red": "rose", "green": "green", "blue": "blue"}.__getitem__)
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert found.error.startswith("class rose of the photos is not one of colours.tflite's labels")


def test_models_with_other_labels_are_one_line(flora: Flora, model: Path, photos: Path, tmp_path: Path) -> None:
    other = tiny.write_model(tmp_path / "other.tflite", labels=("green", "red", "blue"))
    found = flora("evaluate", model, other, photos)
    assert found.code == 1
    assert found.error == (
        "other.tflite knows green, red, blue, colours.tflite knows red, green, blue; "
        "expected the same labels in the same order"
    )


def test_a_folder_of_photos_with_nothing_in_it_is_one_line(flora: Flora, model: Path, tmp_path: Path) -> None:
    found = flora("evaluate", model, tmp_path)
    assert found.code == 1
    assert found.error.startswith(f"{tmp_path}: no class folders and no photos; expected a folder with one folder of")


def test_class_folders_with_nothing_in_them_are_one_line(flora: Flora, model: Path, tmp_path: Path) -> None:
    for colour in tiny.LABELS:
        (tmp_path / "empty" / colour).mkdir(parents=True)
    found = flora("evaluate", model, tmp_path / "empty")
    assert found.code == 1
    assert found.error.startswith(f"{tmp_path}/empty: its class folders hold no photos; expected")


def test_class_folders_without_one_photo_fail(flora: Flora, model: Path, photos: Path) -> None:
    for path in photos.rglob("*.*"):
        path.write_bytes(b"no photo")
    found = flora("evaluate", model, photos)
    assert found.code == 1
    assert found.err.splitlines()[-1].startswith(f"flora: none of the 6 photos of {photos} can be read; expected")
    assert len(found.err.splitlines()) == 7


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["{model}"], 2, "{model}: on which photos? give --run RUN for", id="no photos"),
        pytest.param(
            ["{photos}"], 2, "{photos}: a folder of photos but no model; expected: flora evaluate", id="no model"
        ),
        pytest.param(["gone.tflite", "{photos}"], 1, "gone.tflite: no such file or folder; expected: flora", id="gone"),
        pytest.param(["{model}", "gone"], 1, "gone: no such file or folder; expected: flora evaluate", id="no folder"),
        pytest.param(["{model}", "{model}", "{photos}"], 2, "{model} is named 2 times; expected different", id="twice"),
        pytest.param(["{model}", "{photos}", "--run", "{run}"], 2, "{photos} and --run both name photos", id="both"),
        pytest.param(
            ["{model}", "{photos}", "--photos", "{photos}"], 2, "{photos} and --photos both name photos", id="all three"
        ),
        pytest.param(["{model}", "--run", "gone"], 1, "gone/manifest.csv: the manifest cannot be read", id="no run"),
        pytest.param(
            ["{model}", "{photos}", "--others", "gone"], 1, "gone: no such folder; expected a folder of", id="nothing"
        ),
        pytest.param(
            ["{model}", "{photos}", "--others", "{model}"],
            1,
            "{model}: not a folder; expected a folder of pictures that show none of the classes",
            id="a file of unknown things",
        ),
        pytest.param(
            ["{model}", "--split", "all", "{photos}"], 2, "argument --split: invalid choice: 'all'", id="split"
        ),
        pytest.param(
            ["{model}", "--run", "{run}", "--split", SPLITS[1]],
            1,
            "{run}/manifest.csv: lists no validation photos",
            id="an empty split",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], code: int, message: str, flora: Flora, model: Path, photos: Path, run: Path
) -> None:
    def filled(text: str) -> str:
        return text.format(model=model, photos=photos, run=run)

    found = flora("evaluate", *map(filled, arguments))
    assert found.code == code
    assert found.error.startswith(filled(message))


@pytest.mark.parametrize("text", [None, "{", "[]", "{}", '{"photos": 7}'])
def test_a_run_folder_half_written_is_one_line(text: str | None, flora: Flora, model: Path, run: Path) -> None:
    (run / "config.json").unlink()
    if text is not None:
        (run / "config.json").write_text(text)
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert found.error.startswith(f"{run}/config.json: does not say where the photos are (")
    assert found.error.endswith("; give --photos FOLDER")


def test_a_manifest_cut_short_is_one_line(flora: Flora, model: Path, run: Path) -> None:
    text = (run / "manifest.csv").read_text()
    (run / "manifest.csv").write_text(text[:-10])
    found = flora("evaluate", model, "--run", run)
    assert found.code == 1
    assert found.error.startswith(f"{run}/manifest.csv: the manifest is cut short")
