"""A Keras network behind the same face as a model file: a run, a `.keras` file, ImageNet's 1000 classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract.result import PictureClassifier
from edge.errors import ModelError, UsageError
from edge.picture.geometry import read_photo
from tests.training.runs import Finished, call
from training.garden.planting import SPECIES
from training.network import classifier
from training.network.classifier import KerasClassifier, imagenet_labels, keras_classifier, read_labels
from training.network.inference import load_model, predict
from training.network.keras import keras
from training.photos.views import device_views


@pytest.fixture(scope="module")
def photo(garden: Path) -> Path:
    return sorted(garden.rglob("*.jpg"))[0]


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A run that may be spoilt."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "labels.txt", "model.keras"):
        shutil.copy(finished.folder / name, run / name)
    return run


def test_run_answers_as_its_network_does(finished: Finished, photo: Path) -> None:
    classify = keras_classifier(str(finished.folder))
    result = classify(read_photo(photo))
    expected = predict(load_model(finished.folder), device_views(photo.parent, [photo.name], 32))[0]
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-6)
    assert result.labels == classify.labels == SPECIES
    assert (classify.size, classify.name) == (32, finished.folder.name)
    assert not result.is_unknown
    assert result.latency_ms >= result.invoke_ms > 0


def test_run_is_a_classifier_like_any_other(finished: Finished) -> None:
    classify: PictureClassifier = keras_classifier(str(finished.folder))
    classify.require_right_answers()
    assert (classify.remarks, classify.manifest_sha256) == ((), None)


def test_keras_file_takes_the_labels_beside_it(copied: Path, photo: Path) -> None:
    classify = keras_classifier(str(copied / "model.keras"), threshold=1.0)
    assert classify.labels == SPECIES
    assert classify(read_photo(photo)).is_unknown


def test_threshold_that_is_no_probability_is_a_usage_error(finished: Finished) -> None:
    with pytest.raises(UsageError, match="--threshold 2"):
        keras_classifier(str(finished.folder), threshold=2)


def test_labels_of_another_run_are_told_in_one_line(copied: Path) -> None:
    (copied / "labels.txt").write_text("daisy\nrose\n")
    with pytest.raises(ModelError, match=r"run: 5 outputs but 2 labels; is labels\.txt another run's\?"):
        keras_classifier(str(copied))


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n"], ids=["missing", "empty", "not UTF-8"])
def test_labels_that_cannot_be_read_are_told_in_one_line(copied: Path, content: bytes | None) -> None:
    (copied / "labels.txt").unlink()
    if content is not None:
        (copied / "labels.txt").write_bytes(content)
    with pytest.raises(ModelError, match=r"labels\.txt: .*expected one"):
        keras_classifier(str(copied))


@pytest.mark.parametrize("text", ["daisy\nrose\n", "daisy\nrose", "daisy\r\nrose\r\n"], ids=repr)
def test_labels_survive_every_kind_of_line_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.txt").write_bytes(text.encode())
    assert read_labels(tmp_path / "labels.txt") == ("daisy", "rose")


@pytest.mark.parametrize("model", ["nowhere", "nowhere.keras"])
def test_model_that_is_not_there_is_told_in_one_line(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelError):
        keras_classifier(str(tmp_path / model))


def test_imagenet_has_a_thousand_distinct_names() -> None:
    names = imagenet_labels()
    assert len(names) == len(set(names)) == 1000
    assert all(name == name.strip() and name for name in names)
    assert (names[0], names[985], names[999]) == ("tench", "daisy", "toilet tissue")


def test_imagenet_answers_with_its_names(monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    """The network is a stand-in that is sure of class 985; its download is tested with the backbone."""
    logits = keras.layers.Lambda(lambda x: x[:, 0, 0, :1] * 0 + np.eye(1000, dtype=np.float32)[985][None] * 20)
    inputs = keras.Input((224, 224, 3))
    stand_in = keras.Model(inputs, keras.layers.Softmax()(logits(inputs)))
    monkeypatch.setattr(classifier, "imagenet_classifier", lambda size: stand_in)
    called = call("predict", "--model", "imagenet", photo)
    assert called.code == 0, called.err
    first, second = called.out.splitlines()[:2]
    assert first == f"{photo}: daisy"
    assert second.split()[:2] == ["daisy", "100.0%"]
    assert len(called.out.splitlines()) == 6  # the photo and its top five


def test_predict_names_photos_with_a_run(finished: Finished, garden: Path) -> None:
    called = call("predict", "--model", finished.folder, garden / "roses", str(garden / "tul*" / "*.jpg"), "--json")
    assert called.code == 0, called.err
    records: list[dict[str, Any]] = [json.loads(line) for line in called.out.splitlines()]
    assert len(records) == 16
    for record in records:
        assert record["answer"] == record["top"][0]["label"] in SPECIES
        assert sum(row["probability"] for row in record["top"]) == pytest.approx(1, abs=1e-4)


def test_predict_with_a_broken_run_is_one_line(copied: Path, photo: Path) -> None:
    (copied / "model.keras").write_bytes(b"PK\x03\x04 and no more")
    assert "model.keras: cannot be read as a Keras model" in call("predict", "--model", copied, photo).only_line


def test_predict_with_an_unfinished_run_is_one_line(copied: Path, photo: Path) -> None:
    (copied / "model.keras").unlink()
    assert "the training has not finished; go on with" in call("predict", "--model", copied, photo).only_line


def test_classifier_of_a_wrong_network_is_refused() -> None:
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ModelError, match="4 outputs but 1 labels"):
        KerasClassifier(keras.Model(inputs, outputs), ("daisy",), "odd")
