"""The gate: a quantisation that went wrong, in whatever way, is refused with its reason and leaves no file behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import export.exporter as exporter
from edge.model.classifier import Classifier
from edge.photos.manifest import read_manifest
from export.quantising import convert as quantize
from export.quantising.aware import aware, calibrate, convert_aware
from tests.export import colours
from tests.export.conftest import Export
from training.network.backbone import EVIDENCE, feature_model
from training.network.inference import normalise
from training.network.keras import keras

Pixels = NDArray[np.uint8]
# No training: what is wrong here shows before.
PLAIN = ("--preset", "accurate", "--self-epochs", "0", "--aware-epochs", "0")
OLD = b"the old one"
ADDED = 15.0  # logits of one photo differ by about 12
CONVERT = quantize.convert_int8  # the sound one


@pytest.fixture(autouse=True)
def _floats(monkeypatch: pytest.MonkeyPatch, flatbuffers: dict[str, bytes]) -> None:
    """The float files, which are not what this is about, were converted before."""
    for name in ("convert_float", "convert_float16"):
        monkeypatch.setattr(quantize, name, lambda model: flatbuffers["float32"])
    monkeypatch.setattr(quantize, "convert_dynamic_range", lambda model: flatbuffers["dynamic_range"])


@pytest.fixture(scope="module")
def delicate(model: Any, root: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network answers as that of `run_folder`, but needs its ranges.

    To all logits of a place the same is added, much for photos and nothing for grey: the softmax does not see it,
    a range that was found without photos cuts it off, and the differences between the classes with it.
    """
    network = keras.models.clone_model(model)
    network.set_weights(model.get_weights())
    features, photos = feature_model(model), colours.pictures(range(100, 110))[0]
    usual, grey = (np.mean(features(normalise(views)), axis=0) for views in (photos, noise_like(photos)))
    only_usual = usual - grey * (usual @ grey) / (grey @ grey)
    kernel, bias = network.get_layer(EVIDENCE).get_weights()
    common = ADDED * only_usual / (only_usual @ usual)
    network.get_layer(EVIDENCE).set_weights([kernel + common[:, None], bias])
    photos_of_run = read_manifest(run_folder / "manifest.csv")
    return colours.write_run(tmp_path_factory.mktemp("delicate") / "colours", root, network, photos_of_run)


def noise_like(pictures: Pixels) -> Pixels:
    """Grey with a little grain: no colour, so no tensor gets the range that photos need."""
    return np.random.default_rng(1).integers(124, 132, pictures.shape).astype(np.uint8)


def calibrated_on_noise(model: Any, pictures: Pixels) -> bytes:
    return CONVERT(model, noise_like(pictures))


def ranges_learnt_from_noise(model: Any, pictures: Pixels) -> bytes:
    network = aware(model)
    calibrate(network, [normalise(noise_like(pictures))])
    return convert_aware(network)


def ranges_learnt_from_pictures_from_0_to_1(model: Any, pictures: Pixels) -> bytes:
    """The input's range is pinned, so that the borders are as they should be; what lies behind them is not."""
    network = aware(model)
    calibrate(network, [np.float32(pictures / 255.0)])
    return convert_aware(network)


def channels_swapped(model: Any, pictures: Pixels) -> bytes:
    picture = keras.Input(model.input_shape[1:])
    return CONVERT(keras.Model(picture, model(picture[..., ::-1])), pictures)


@pytest.mark.parametrize(
    "convert",
    [calibrated_on_noise, ranges_learnt_from_noise, ranges_learnt_from_pictures_from_0_to_1, channels_swapped],
)
def test_quantisation_that_answers_wrongly_is_refused(
    convert: Callable[[Any, Pixels], bytes], delicate: Path, export: Export, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "model.tflite").write_bytes(OLD)
    monkeypatch.setattr(quantize, "convert_int8", convert)
    monkeypatch.setattr(exporter, "tested", lambda *_: pytest.fail("test photos were read"))
    said = export(*PLAIN, run=delicate)
    assert said.code == 1
    line = said.errors[-1]
    assert line.startswith("flora: nothing was written: the most accurate variant, int8, loses ")
    assert "allowed are 0.5; " in line
    assert [row.split()[0] for row in said.out.splitlines()[1:6]] == [
        "keras", "float32", "float16", "dynamic_range", "int8",
    ]  # fmt: skip
    only_the_old_one_is_there(tmp_path)


@pytest.mark.parametrize(
    ("normalised", "scale"),
    [
        pytest.param(lambda pixels: np.float32(pixels / 255.0), "0.003922", id="0 to 1"),
        pytest.param(np.float32, "1.000000", id="not at all"),
        pytest.param(lambda pixels: np.float32((pixels - 110.0) / 58.0), "0.017241", id="mean and deviation"),
    ],
)
def test_calibration_with_pictures_of_another_range_is_refused(
    normalised: Callable[[Pixels], Any], scale: str, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.tflite").write_bytes(OLD)
    monkeypatch.setattr(quantize, "normalise", normalised)
    said = export(*PLAIN)
    assert said.code == 1
    line = said.errors[-1]
    assert f"int8: the input came out with scale {scale}" in line
    assert "expected 0.007843 and 127 or 128" in line
    assert said.out == ""
    only_the_old_one_is_there(tmp_path)


def test_sound_quantisation_passes_the_same_gate(delicate: Path, export: Export, tmp_path: Path) -> None:
    said = export(*PLAIN, run=delicate)
    assert said.code == 0, said.err
    classify = Classifier(tmp_path / "model.tflite")
    assert [classify(colours.photo(label, 50)).label for label in colours.LABELS] == list(colours.LABELS)


def only_the_old_one_is_there(folder: Path) -> None:
    """Decoded photos are kept in the cache; nothing half-made lies anywhere."""
    assert (folder / "model.tflite").read_bytes() == OLD
    assert {path.name for path in folder.iterdir()} <= {"model.tflite", "cache"}
    assert list(folder.rglob("*.tflite")) == [folder / "model.tflite"]
