"""A network is asked and read from its file; a file that is none is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from tests.training.runs import Finished
from training.network import backbone, inference
from training.network.inference import normalise
from training.network.keras import tf

SIZE, CLASSES = 32, 3


def views(count: int) -> Any:
    return np.random.default_rng(2).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def test_prediction_is_the_model_on_normalised_pixels(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "PREDICT_BATCH", 4)
    done = list[tuple[int, int]]()
    found = inference.predict(model, views(6), lambda *call: done.append(call))
    expected = model(views(6).astype(np.float32) / 127.5 - 1, training=False).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert done == [(4, 6), (6, 6)]


def test_predictor_follows_the_weights(model: Any) -> None:
    infer = inference.predictor(model)
    before = infer(views(2))
    kernel, bias = model.get_layer(backbone.EVIDENCE).get_weights()
    model.get_layer(backbone.EVIDENCE).set_weights([kernel, bias + np.array([5, 0, 0], np.float32)])
    after = infer(views(2))
    model.get_layer(backbone.EVIDENCE).set_weights([kernel, bias])
    assert (after[:, 0] > before[:, 0]).all()


def test_unfinished_training_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no model\.keras in it: the training has not finished; go on with: flora train"
    ):
        inference.load_model(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99], ids=lambda share: f"{share:.0%} of it")
def test_cut_model_is_told_in_one_line(finished: Finished, tmp_path: Path, share: float) -> None:
    whole = (finished.folder / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"model\.keras: cannot be read as a Keras model") as caught:
        inference.load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_model_is_told_in_one_line(finished: Finished, tmp_path: Path) -> None:
    whole = (finished.folder / "model.keras").read_bytes()
    at = len(whole) // 2
    (tmp_path / "model.keras").write_bytes(whole[:at] + bytes(64) + whole[at + 64 :])
    with pytest.raises(ModelError, match="cannot be read as a Keras model"):
        inference.load_model(tmp_path)


@pytest.mark.parametrize("as_tensor", [False, True], ids=["numpy", "TensorFlow"])
def test_normalised_pixels_span_minus_one_to_one(as_tensor: bool) -> None:
    pixels = np.array([0, 127, 255], np.uint8)
    found = np.asarray(normalise(tf.constant(pixels) if as_tensor else pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-1, -1 / 255, 1], atol=1e-6)
