"""Channels removed: the rest computes what it computed, groups stay together, and nonsense is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError, UsageError
from export.network.channels import consumers, groups, head_of, slim, source_of
from training.network import backbone
from training.network.keras import keras

SIZE = 64


@pytest.fixture(scope="module", params=("mobilenet_v2", "mobilenet"))
def network(request: pytest.FixtureRequest) -> Any:
    model = backbone.build(request.param, 0.25 if request.param == "mobilenet" else 0.35, SIZE, 3)
    backbone.initialise(model, seed=1)
    draws = np.random.default_rng(2)
    for layer in backbone.batch_norms(model):  # as after a training: no two channels alike
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights([draws.uniform(0.5, 1.5, gamma.shape), draws.uniform(-0.5, 1, beta.shape), mean, variance])
        layer.momentum = 0.0
    model(draws.uniform(-1, 1, (8, SIZE, SIZE, 3)).astype(np.float32), training=True)  # statistics of real inputs
    evidence = model.get_layer(backbone.EVIDENCE)
    evidence.set_weights([draws.normal(0, 0.3, weight.shape) for weight in evidence.get_weights()])
    return model


def halves(model: Any, seed: int = 3) -> dict[str, np.ndarray]:
    """A random half of each group."""
    draws = np.random.default_rng(seed)
    return {g.name: np.sort(draws.permutation(g.channels)[: g.channels // 2]) for g in groups(model)}


@pytest.fixture(scope="module")
def thin(network: Any) -> Any:
    """The network without a random half of its channels. Not to be changed."""
    return slim(network, halves(network))


def silenced(model: Any, kept: dict[str, np.ndarray]) -> Any:
    """A copy in which the channels that are not kept are always zero."""
    quiet = keras.models.clone_model(model)
    quiet.set_weights(model.get_weights())
    for group in groups(model):
        gone = np.setdiff1d(np.arange(group.channels), kept[group.name])
        for name in group.convolutions:
            silence_behind(quiet, name, gone)
    return quiet


def silence_behind(model: Any, convolution: str, gone: np.ndarray) -> None:
    """Zero scale and shift of every BatchNorm that these channels pass before the next ordinary convolution."""
    names = [layer.name for layer in model.layers]
    at = names.index(convolution) + 1
    while not isinstance(model.layers[at], keras.layers.Conv2D) or isinstance(
        model.layers[at], keras.layers.DepthwiseConv2D
    ):
        if isinstance(model.layers[at], keras.layers.BatchNormalization):
            gamma, beta, mean, variance = model.layers[at].get_weights()
            gamma[gone], beta[gone] = 0, 0
            model.layers[at].set_weights([gamma, beta, mean, variance])
        at += 1


def test_what_is_left_computes_what_it_did_when_the_rest_was_silent(network: Any, thin: Any) -> None:
    pictures = np.random.default_rng(4).uniform(-1, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    expected = silenced(network, halves(network))(pictures, training=False).numpy()
    found = thin(pictures, training=False).numpy()
    assert found == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected, axis=0).max() > 1e-3  # or it would prove nothing


def test_nothing_removed_is_the_same_network(network: Any) -> None:
    pictures = np.random.default_rng(5).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    assert (slim(network, {})(pictures) == network(pictures)).numpy().all()


def test_half_of_the_channels_are_a_quarter_of_the_weights(network: Any, thin: Any) -> None:
    assert thin.count_params() < 0.32 * network.count_params()


def test_residual_additions_tie_convolutions_together() -> None:
    model = backbone.build("mobilenet_v2", 1.0, 96, 3)
    found = {group.name: group for group in groups(model)}
    assert found["block_3_project"].convolutions == ("block_3_project", "block_4_project", "block_5_project")
    assert [group.channels for group in found.values()][:4] == [32, 16, 96, 24]
    assert "evidence" not in found


def test_the_input_can_change_its_size_and_the_weights_stay(network: Any) -> None:
    thin = slim(network, {}, size=96)
    assert thin.input_shape == (None, 96, 96, 3)
    for old, new in zip(network.get_weights(), thin.get_weights(), strict=True):
        assert (old == new).all()


def test_layers_stay_frozen_and_keep_their_names(network: Any) -> None:
    norm = backbone.batch_norms(network)[0]
    norm.trainable = False
    thin = slim(network, halves(network))
    norm.trainable = True
    assert [layer.name for layer in thin.layers] == [layer.name for layer in network.layers]
    assert not thin.get_layer(norm.name).trainable


def test_who_reads_a_group_is_found() -> None:
    model = backbone.build("mobilenet_v2", 0.35, 96, 3)

    def readers(group: str) -> list[str]:
        return [layer.name for layer in consumers(model, group)]

    assert readers("block_1_project") == ["block_2_expand", "block_3_expand"]  # a residual passes the second block
    assert readers("block_1_expand") == ["block_1_project"]  # through the depthwise convolution, which has its channels
    assert readers("Conv_1") == ["evidence"]
    assert source_of(model, "block_1_project").name == "block_1_depthwise_relu"
    assert head_of(model).name == "evidence"


def test_a_layer_that_no_mobilenet_has_is_refused() -> None:
    picture = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="stem")(picture)
    x = keras.layers.Dense(4, name="dense")(x)
    model = keras.Model(picture, keras.layers.Conv2D(3, 1)(x))
    with pytest.raises(ModelError, match=r"^dense: a Dense cannot be made narrower; expected a MobileNet$"):
        slim(model, {"stem": np.arange(4)})


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"nowhere": np.array([0])}, "no group of channels is called nowhere"),
        ({"": np.array([0])}, "no group of channels is called"),
    ],
)
def test_an_unknown_group_is_refused(network: Any, kept: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slim(network, kept)


@pytest.mark.parametrize("channels", [[], [1, 0], [0, 0], [-1, 2], [10_000]], ids=str)
def test_impossible_channels_are_refused(network: Any, channels: list[int]) -> None:
    name = groups(network)[0].name
    with pytest.raises(UsageError, match=f"{name}: channels .*; expected some of 0 to"):
        slim(network, {name: np.array(channels, np.int64)})
