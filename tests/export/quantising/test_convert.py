from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.interpreter import Interpreter
from export.graph import edit
from export.quantising import convert as quantize
from tests.export import colours
from training.network.inference import predict
from training.network.keras import keras, tf

Pixels = NDArray[np.uint8]
FLOAT16 = 1  # TensorType of the schema


@pytest.fixture(scope="module")
def noise() -> Pixels:
    """Tinted noise: some pictures are clear to the network, most are not."""
    draws = np.random.default_rng(7)
    tint = draws.integers(0, 256, (60, 1, 1, 3))
    return np.clip(tint + draws.normal(0, 40, (60, colours.SIZE, colours.SIZE, 3)), 0, 255).astype(np.uint8)


def answers(flatbuffer: bytes, pictures: Pixels) -> NDArray[np.float32]:
    interpreter = Interpreter(flatbuffer, "test", threads=1)
    return np.stack([interpreter(picture) for picture in pictures])


def test_int8_takes_raw_pixels_and_gives_256ths(flatbuffers: dict[str, bytes]) -> None:
    interpreter = Interpreter(flatbuffers["int8"], "int8")
    scale, zero_point = interpreter.input_quantization
    assert scale == pytest.approx(1 / 127.5, rel=1e-5)
    assert zero_point in (127, 128)
    assert interpreter.output_quantization == (1 / 256, 0)


def test_int8_input_range_does_not_depend_on_the_photos(model: Any) -> None:
    """Photos without a dark and a bright pixel would otherwise narrow it."""
    grey = np.full((2, colours.SIZE, colours.SIZE, 3), 128, np.uint8)
    before = grey.copy()
    scale, _ = Interpreter(quantize.convert_int8(model, grey), "int8").input_quantization
    assert scale == pytest.approx(1 / 127.5, rel=1e-5)
    assert (grey == before).all(), "the caller's photos were painted on"


def test_float32_equals_keras(model: Any, flatbuffers: dict[str, bytes], noise: Pixels) -> None:
    np.testing.assert_allclose(answers(flatbuffers["float32"], noise), predict(model, noise), atol=1e-4)


def test_float16_stores_kernels_in_half_the_bytes_and_nearly_equals_keras(model: Any, noise: Pixels) -> None:
    half = quantize.convert_float16(model)
    tensors = edit.load(half).subgraphs[0].tensors
    kernels = [tensor.type for tensor in tensors if list(tensor.shape) == [32, 1, 1, 8] and tensor.buffer]
    assert FLOAT16 in kernels
    np.testing.assert_allclose(answers(half, noise), predict(model, noise), atol=5e-3)
    pictures, truth = colours.pictures(range(20))
    assert (answers(half, pictures).argmax(axis=1) == truth).all()


def test_dynamic_range_nearly_equals_keras(model: Any, flatbuffers: dict[str, bytes], noise: Pixels) -> None:
    np.testing.assert_allclose(answers(flatbuffers["dynamic_range"], noise), predict(model, noise), atol=0.1)


def test_int8_is_made_of_the_corrected_network(
    model: Any, calibration: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = predict(model, calibration)

    def corrected(network: Any, pictures: Pixels) -> Any:
        assert network is model
        assert (pictures == calibration).all()
        blank = keras.models.clone_model(model)
        blank.set_weights([0.0 * array if array.ndim == 4 else array for array in model.get_weights()])
        return blank

    monkeypatch.setattr(quantize, "corrected", corrected)
    found = answers(quantize.convert_int8(model, calibration), calibration)
    assert np.ptp(found, axis=0).max() < 0.01 < np.ptp(wanted, axis=0).max(), "not what it was given"


def test_int8_agrees_with_keras(model: Any, flatbuffers: dict[str, bytes], noise: Pixels) -> None:
    agreement = (answers(flatbuffers["int8"], noise).argmax(axis=1) == predict(model, noise).argmax(axis=1)).mean()
    assert agreement >= 0.9


@pytest.mark.parametrize("variant", ["float32", "dynamic_range", "int8"])
def test_every_variant_takes_uint8_and_is_right_on_photos(variant: str, flatbuffers: dict[str, bytes]) -> None:
    pictures, truth = colours.pictures(range(20))
    assert (answers(flatbuffers[variant], pictures).argmax(axis=1) == truth).all()


@pytest.mark.parametrize(
    ("normalise", "scale"),
    [
        pytest.param(lambda pixels: pixels.astype(np.float32), "1.000000", id="no normalisation"),
        pytest.param(lambda pixels: np.float32(pixels / 255.0), "0.003922", id="0 to 1"),
        pytest.param(lambda pixels: np.float32(pixels / 1275.0), "0.000784", id="too narrow"),
    ],
)
def test_calibration_with_another_normalisation_is_refused(
    normalise: Callable[[Pixels], Any], scale: str, model: Any, calibration: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "normalise", normalise)
    with pytest.raises(ModelError, match=f"the input came out with scale {scale} .* expected 0.007843 and 127 or 128"):
        quantize.convert_int8(model, calibration)


def test_network_without_ranges_of_its_own_is_not_called_quantised(model: Any) -> None:
    with pytest.raises(ModelError, match=r"^int8: "):
        quantize.convert_quantised(model)


def test_network_without_softmax_is_refused(model: Any, calibration: Pixels) -> None:
    logits = keras.Model(model.input, model.get_layer("pool").output)
    with pytest.raises(ModelError, match=r"the output came out with .* the last layer must be a softmax"):
        quantize.convert_int8(logits, calibration)


@pytest.mark.parametrize("convert", [quantize.convert_float, quantize.convert_float16, quantize.convert_dynamic_range])
def test_unconvertible_network_is_one_line(convert: Callable[[Any], bytes], capfd: pytest.CaptureFixture[str]) -> None:
    picture = keras.Input((colours.SIZE, colours.SIZE, 3))
    unknown_to_tflite = keras.layers.Lambda(lambda x: tf.math.zeta(x + 2.0, x + 2.0))
    exotic = keras.Model(picture, unknown_to_tflite(picture))
    with pytest.raises(ModelError, match="TensorFlow cannot convert this network") as refusal:
        convert(exotic)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300
    assert capfd.readouterr() == ("", ""), "TensorFlow's own words reached the terminal"


@pytest.mark.parametrize("message", ["", "  \n", "first line\nsecond line"])
def test_failure_with_any_message_is_one_line(message: str) -> None:
    class Broken:
        input_shape = (None, colours.SIZE, colours.SIZE, 3)

        def __call__(self, picture: Any, *, training: bool) -> Any:
            raise RuntimeError(message)

    with pytest.raises(ModelError, match=r"^float32: TensorFlow cannot convert") as refusal:
        quantize.convert_float(Broken())
    assert "second line" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_conversion_is_silent(model: Any, calibration: Pixels, capfd: pytest.CaptureFixture[str]) -> None:
    quantize.convert_int8(model, calibration[:2])
    assert capfd.readouterr() == ("", "")
