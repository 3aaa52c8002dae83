"""The layers of a network, for any widths and sizes: those that Keras has."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from edge.machine.layers import ConvLayer
from export.network.channels import groups, slim
from export.network.outline import Outline
from training.network import backbone
from training.network.keras import keras


@pytest.fixture(scope="module", params=("mobilenet_v2", "mobilenet"))
def network(request: pytest.FixtureRequest) -> Any:
    return backbone.build(request.param, 0.25 if request.param == "mobilenet" else 0.35, 96, 3)


@pytest.mark.parametrize("size", [96, 72], ids=["as trained", "odd sides"])
def test_a_slimmed_network_has_the_layers_that_were_foretold(size: int, network: Any) -> None:
    kept = {group.name: np.arange(group.channels // 2) for group in groups(network)}
    wanted = Outline.of(slim(network, kept, size)).layers({}, size)
    assert Outline.of(network).layers({name: len(channels) for name, channels in kept.items()}, size) == wanted
    assert Outline.of(network).layers({}, size) != wanted


def test_layers_are_those_that_keras_has(network: Any) -> None:
    found = Outline.of(network).layers({}, 96)
    kinds = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Add
    built = [layer.output_shape for layer in network.layers if isinstance(layer, kinds)]
    assert [(layer.side, layer.outputs) for layer in found] == [(shape[1], shape[-1]) for shape in built]
    assert (found[0].kind, found[0].inputs, found[0].stride) == ("stem", 3, 2)
    assert (found[-1].kind, found[-1].outputs, found[-1].stride) == ("pointwise", 3, 1)
    for before, layer in itertools.pairwise(found):
        assert layer.inputs == before.outputs


def test_channels_that_a_residual_ties_change_together(network: Any) -> None:
    for group in groups(network):
        makers = len(group.convolutions)
        made = [layer for layer in Outline.of(network).layers({group.name: 5}, 96) if layer.outputs == 5]
        assert [layer.kind for layer in made if layer.kind != "depthwise"].count("add") == makers - 1
        assert sum(layer.kind in ("stem", "pointwise") for layer in made) == makers


def test_odd_sides_are_halved_upwards_and_each_tap_counts_as_a_channel() -> None:
    picture = keras.Input((33, 33, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(picture)
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    model = keras.Model(picture, keras.layers.Conv2D(4, 1)(keras.layers.Conv2D(16, 3, padding="same")(x)))
    assert Outline.of(model).layers({}, 33) == (
        ConvLayer("stem", 17, 3, 8, 2),
        ConvLayer("depthwise", 9, 8, 8, 2),
        ConvLayer("pointwise", 9, 9 * 8, 16, 1),
        ConvLayer("pointwise", 9, 16, 4, 1),
    )


def test_a_kernel_that_no_table_has_is_refused() -> None:
    picture = keras.Input((32, 32, 3))
    x = keras.layers.DepthwiseConv2D(5, name="wide")(keras.layers.Conv2D(8, 3, strides=2)(picture))
    with pytest.raises(ModelError, match=r"^wide: a depthwise kernel of \(5, 5\); expected 3 x 3"):
        Outline.of(keras.Model(picture, keras.layers.Conv2D(3, 1)(x)))
