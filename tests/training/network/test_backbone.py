"""The network: flat, the same in training as in use, and started from weights that are really its own."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.base import text
from edge.cli import main
from edge.errors import ModelError, UsageError
from training.config import BACKBONES, Backbone, TrainConfig
from training.network import backbone
from training.network.keras import keras, tf

SIZE, CLASSES = 32, 3
SMALL = ("mobilenet", 0.25, SIZE)


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def softmax(logits: Any) -> Any:
    return tf.nn.softmax(logits).numpy()


@pytest.fixture(scope="module")
def model() -> Any:
    """A network whose features are neither tiny nor huge, and whose evidence gives each picture another answer."""
    built = backbone.build(*SMALL, CLASSES, dropout=0.2)
    for number, layer in enumerate(built.layers):
        for kernel in (variable for variable in layer.trainable_weights if "kernel" in variable.name):
            inputs = 9 if "depthwise" in kernel.name else np.prod(kernel.shape[:3])
            kernel.assign(draw(*kernel.shape, seed=number) * np.sqrt(6 / inputs))
    gamma = built.get_layer("conv_pw_13_bn").gamma
    gamma.assign(200 * gamma)
    built.get_layer(backbone.EVIDENCE).set_weights([draw(1, 1, 256, CLASSES), draw(CLASSES)])
    return built


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(2)
    path = tmp_path_factory.mktemp("weights") / "backbone.h5"
    trunk = keras.applications.MobileNet(input_shape=(SIZE, SIZE, 3), alpha=0.25, include_top=False, weights=None)
    trunk.set_weights([draw(*variable.shape, seed=3) for variable in trunk.weights])
    trunk.save_weights(str(path))
    return path


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet"])
def test_model_is_flat_and_takes_and_gives_what_it_says(name: str) -> None:
    built = backbone.build(name, {"mobilenet_v2": 0.35, "mobilenet": 0.25}[name], SIZE, CLASSES)
    assert not [layer.name for layer in built.layers if isinstance(layer, keras.Model)]
    assert built.input_shape == (None, SIZE, SIZE, 3)
    probabilities = built(draw(2, SIZE, SIZE, 3)).numpy()
    assert probabilities.shape == (2, CLASSES)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_normalisation_that_the_weights_were_trained_with_is_ours() -> None:
    """Both MobileNets' weights were trained on [-1, 1]: a Keras preprocessing that disagrees is a changed backbone."""
    pixels = np.array([[[[0, 127.5, 255]]]], np.float32)
    for family in (keras.applications.mobilenet, keras.applications.mobilenet_v2):
        np.testing.assert_allclose(family.preprocess_input(pixels.copy())[0, 0, 0], [-1, 0, 1], atol=1e-6)


def test_training_model_without_dropout_is_the_model(model: Any) -> None:
    pictures = draw(3, SIZE, SIZE, 3)
    logits = backbone.training_model(model)([pictures, np.ones((3, 256), np.float32)], training=False)
    np.testing.assert_allclose(softmax(logits), model(pictures, training=False).numpy(), atol=1e-5)


def test_keep_mask_is_spatial_dropout(model: Any) -> None:
    """The mask takes whole channels out, as zeroing the rows of the evidence layer's kernel does."""
    pictures, keep = draw(2, SIZE, SIZE, 3), (draw(1, 256) > 0).astype(np.float32) * 2
    logits = backbone.training_model(model)([pictures, np.repeat(keep, 2, axis=0)], training=False)
    features = backbone.feature_model(model)(pictures).numpy()
    assert features.std() > 0.1  # else the mask could not show
    kernel, bias = model.get_layer(backbone.EVIDENCE).get_weights()
    np.testing.assert_allclose(logits.numpy(), features * keep @ kernel[0, 0] + bias, atol=1e-4)


def test_head_on_features_is_the_model(model: Any) -> None:
    pictures = draw(3, SIZE, SIZE, 3)
    features = backbone.feature_model(model)(pictures).numpy()
    head = backbone.head_model(features.shape[1], CLASSES)
    kernel, bias = model.get_layer(backbone.EVIDENCE).get_weights()
    head.set_weights([kernel[0, 0], bias])
    logits = head([features, np.ones_like(features)])
    np.testing.assert_allclose(softmax(logits), model(pictures, training=False).numpy(), atol=1e-5)


def test_start_from_scratch_repeats_by_seed() -> None:
    def started(seed: int) -> list[Any]:
        built = backbone.build(*SMALL, CLASSES)
        backbone.initialise(built, seed)
        return list(built.get_weights())

    first, again, other = started(1), started(1), started(2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


def test_weights_file_is_copied_into_the_model(weights_file: Path) -> None:
    built = backbone.build(*SMALL, CLASSES)
    head_before = built.get_layer(backbone.EVIDENCE).get_weights()
    backbone.load_weights(built, *SMALL, str(weights_file))
    donor = keras.applications.MobileNet(input_shape=(SIZE, SIZE, 3), alpha=0.25, include_top=False, weights=None)
    donor.load_weights(str(weights_file))
    for layer in (layer for layer in donor.layers if layer.weights):
        for wanted, found in zip(layer.get_weights(), built.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(wanted, found)
    np.testing.assert_array_equal(built.get_layer(backbone.EVIDENCE).get_weights()[0], head_before[0])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (("mobilenet", 0.5, SIZE), r"does not fit mobilenet with alpha 0\.5"),
        (("mobilenet_v2", 0.35, SIZE), "tensors of mobilenet_v2 0.35 are not in it; is it another network's"),
    ],
    ids=["another width", "another network"],
)
def test_weights_of_another_network_are_told_in_one_line(
    weights_file: Path, network: tuple[str, float, int], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        backbone.load_weights(backbone.build(*network, CLASSES), *network, str(weights_file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF\r\n\x1a\n"], ids=["empty", "text", "cut"])
def test_file_that_holds_no_weights_is_told_in_one_line(tmp_path: Path, model: Any, content: bytes) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.h5: does not fit") as caught:
        backbone.load_weights(model, *SMALL, str(path))
    assert "\n" not in str(caught.value)


def test_missing_weights_file_is_told_in_one_line(tmp_path: Path, model: Any) -> None:
    with pytest.raises(ModelError, match="no such file; expected imagenet, none or a Keras weights file"):
        backbone.load_weights(model, *SMALL, str(tmp_path / "weights.h5"))


def offline(*_: Any, **__: Any) -> Any:
    raise urllib.error.URLError("Name or service not known")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home folder and no way out."""
    from tf_keras.src.utils import data_utils

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(data_utils, "urlretrieve", offline)
    (tmp_path / ".keras").mkdir()
    return tmp_path


@pytest.mark.usefixtures("no_network")
def test_imagenet_weights_without_a_network_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match=r"no ImageNet weights for mobilenet 0\.25/128: .*--weights FILE") as caught:
        backbone.load_weights(backbone.build("mobilenet", 0.25, 128, CLASSES), "mobilenet", 0.25, 128, "imagenet")
    assert "\n" not in str(caught.value)
    assert str(Path("~/.keras/models").expanduser()) in str(caught.value)
    assert capsys.readouterr().out == ""  # Keras' own words go to stderr: stdout is for data


def test_imagenet_weights_in_keras_cache_need_no_network(no_network: Path) -> None:
    trunk = keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=0.25, include_top=False, weights=None)
    (no_network / ".keras" / "models").mkdir()
    trunk.save_weights(str(no_network / ".keras" / "models" / "mobilenet_2_5_128_tf_no_top.h5"))
    built = backbone.build("mobilenet", 0.25, 128, CLASSES)
    backbone.load_weights(built, "mobilenet", 0.25, 128, "imagenet")
    np.testing.assert_array_equal(built.get_layer("conv1").get_weights()[0], trunk.get_layer("conv1").get_weights()[0])


def test_width_without_imagenet_weights_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"mobilenet with --alpha 0\.3 --size 128: .*alpha"):
        backbone.load_weights(backbone.build("mobilenet", 0.3, 128, CLASSES), "mobilenet", 0.3, 128, "imagenet")


def test_a_defect_of_ours_keeps_its_first_line_only() -> None:
    assert text.first_line(ValueError("one\ntwo")) == "one"
    assert text.first_line(ValueError()) == "ValueError"


def small_trunk(input_shape: tuple[int, int, int], alpha: float, include_top: bool, weights: str | None) -> Any:
    """A backbone that there is not: one convolution."""
    assert not include_top
    picture = keras.Input(input_shape)
    maps = keras.layers.Conv2D(int(16 * alpha), 3, strides=2, padding="same", name="only")(picture)
    return keras.Model(picture, keras.layers.BatchNormalization()(maps))


def test_a_backbone_more_is_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(BACKBONES, "toy", Backbone("SmallTrunk", (0.5, 1.0), (SIZE,)))
    monkeypatch.setattr(keras.applications, "SmallTrunk", small_trunk, raising=False)
    assert main(["train", "--help"]) == 0
    assert "--backbone {mobilenet_v2,mobilenet,toy}" in capsys.readouterr().out
    assert TrainConfig(backbone="toy").backbone == "toy"
    built = backbone.build("toy", 0.5, SIZE, CLASSES)
    assert built.get_layer("only").filters == 8
    assert built(draw(2, SIZE, SIZE, 3)).shape == (2, CLASSES)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_row_names_a_constructor_that_keras_has(name: str) -> None:
    row = BACKBONES[name]
    assert callable(getattr(keras.applications, row.constructor))
    assert list(row.alphas) == sorted(row.alphas)
    assert all(size % 32 == 0 for size in row.sizes)
