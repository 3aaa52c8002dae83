"""Bias correction: no channel of an int8 file is shifted by the rounding of its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.quantising import bias
from export.quantising.bias import corrected, rounded
from tests.export import colours
from training.network.inference import normalise, predict
from training.network.keras import keras

Pixels = NDArray[np.uint8]


def with_rounded_kernels(model: Any) -> Any:
    """A float network with the kernels that its int8 file has."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kernel, *rest = layer.get_weights()
            layer.set_weights([rounded(kernel, is_depthwise=isinstance(layer, keras.layers.DepthwiseConv2D)), *rest])
    return copy


def mean_of(model: Any, name: str, pictures: Pixels) -> Any:
    """Mean of each channel that a layer puts out."""
    maps = keras.Model(model.input, model.get_layer(name).output)(normalise(pictures), training=False)
    return np.mean(maps, axis=(0, 1, 2))


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps than int8 has: what rounding does to so small a network is hard to see with 127."""
    monkeypatch.setattr(bias, "STEPS", 15)


@pytest.mark.parametrize(
    ("name", "left"), [pytest.param("stem_bn", 1e-3, id="first"), pytest.param("evidence", 0.5, id="last")]
)
def test_mean_of_each_channel_is_what_it_was_before_rounding(
    name: str, left: float, model: Any, calibration: Pixels
) -> None:
    """Of the first convolution exactly, since its input is the same; of the last one nearly."""
    wanted = mean_of(model, name, calibration)
    before = np.abs(mean_of(with_rounded_kernels(model), name, calibration) - wanted).max()
    after = np.abs(mean_of(with_rounded_kernels(corrected(model, calibration)), name, calibration) - wanted).max()
    assert after < left * before


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(keras.layers.Conv2D(4, 1, name="layer"), id="1x1"),
        pytest.param(keras.layers.Conv2D(4, 3, strides=2, padding="same", name="layer"), id="with borders"),
        pytest.param(keras.layers.DepthwiseConv2D(3, padding="same", name="layer"), id="depthwise"),
        pytest.param(keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="layer"), id="two of each channel"),
    ],
)
def test_without_batch_norm_the_bias_is_corrected_exactly(layer: Any, calibration: Pixels) -> None:
    keras.utils.set_random_seed(1)
    picture = keras.Input((colours.SIZE, colours.SIZE, 3))
    network = keras.Model(picture, layer(picture))
    wanted = mean_of(network, "layer", calibration)
    before = np.abs(mean_of(with_rounded_kernels(network), "layer", calibration) - wanted).max()
    found = mean_of(with_rounded_kernels(corrected(network, calibration)), "layer", calibration)
    assert np.abs(found - wanted).max() < 1e-3 * before


def test_kernels_and_the_given_network_stay_as_they_were(model: Any, calibration: Pixels) -> None:
    before = [array.copy() for array in model.get_weights()]
    made = corrected(model, calibration)
    for old, kept, new in zip(before, model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(old, kept)
        assert old.ndim != 4 or np.array_equal(old, new)
    changed = {layer.name for layer in made.layers if not same_weights(layer, model.get_layer(layer.name))}
    assert changed == {"stem_bn", "expand_bn", "depthwise_bn", "project_bn", "evidence"}, "the shortcut has no bias"


def same_weights(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_kernels_that_need_no_rounding_change_nothing(model: Any, calibration: Pixels) -> None:
    exact = with_rounded_kernels(model)
    np.testing.assert_allclose(
        predict(corrected(exact, calibration), calibration), predict(exact, calibration), atol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "is_depthwise"),
    [pytest.param((1, 1, 8, 4), False, id="1x1"), pytest.param((3, 3, 6, 1), True, id="depthwise")],
)
def test_rounding_is_that_of_the_runtime(shape: tuple[int, ...], is_depthwise: bool) -> None:
    kernel = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    found = rounded(kernel, is_depthwise=is_depthwise)
    channels = found.reshape(-1, shape[2] if is_depthwise else shape[3])
    steps = channels / (np.abs(channels).max(axis=0) / 15)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert (np.abs(steps).max(axis=0) > 14.99).all()
    assert np.abs(found - kernel).max() <= np.abs(kernel).max() / 15 / 2 + 1e-6


def test_channel_of_zeros_and_a_model_without_convolutions_are_left_alone() -> None:
    assert not rounded(np.zeros((1, 1, 3, 2), np.float32), is_depthwise=False).any()
    picture = keras.Input((8, 8, 3))
    plain = keras.Model(picture, keras.layers.GlobalAveragePooling2D()(picture))
    assert predict(corrected(plain, np.zeros((1, 8, 8, 3), np.uint8)), np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 3)
