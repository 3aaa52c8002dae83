"""Networks of others are rebuilt with the same answers, in the form that pruning, training and the device know."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from export.network import rebuild as flatten
from export.network.channels import slim
from export.network.head import OURS
from export.network.rebuild import as_expected, rebuild
from tests.export import colours, elsewhere
from training.network.backbone import training_model
from training.network.keras import keras, tf

layers = keras.layers
OWN = ("tutorial", "nested", "rescaled", "standardised")  # whose head becomes ours
Of = Callable[[str], Any]  # by the name of a kind of network


@pytest.fixture(scope="module")
def theirs(model: Any) -> Of:
    """A network as others build it. Not to be changed."""
    return functools.cache(lambda kind: elsewhere.KINDS[kind][0](model))


@pytest.fixture(scope="module")
def rebuilt(theirs: Of) -> Of:
    """The same, rebuilt. Not to be changed."""
    return functools.cache(lambda kind: rebuild(theirs(kind), elsewhere.KINDS[kind][1]))


@pytest.mark.parametrize("kind", elsewhere.KINDS)
def test_a_rebuilt_network_takes_pixels_from_minus_one_to_one_and_answers_alike(
    kind: str, theirs: Of, rebuilt: Of
) -> None:
    pixels, views = elsewhere.KINDS[kind][1], colours.pictures(range(300, 304))[0]
    scores = theirs(kind)(as_expected(views, pixels), training=False)
    expected = tf.nn.softmax(scores) if kind == "tutorial" else scores
    found = rebuilt(kind).model(as_expected(views, (-1.0, 1.0)), training=False)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", elsewhere.KINDS)
def test_a_rebuilt_network_is_flat_and_holds_nothing_of_training_alone(kind: str, rebuilt: Of) -> None:
    made = [type(layer).__name__ for layer in rebuilt(kind).model.layers]
    assert {"Functional", "Sequential", "RandomFlip", "RandomRotation", "Dropout", "TFOpLambda"}.isdisjoint(made)
    assert ("DepthwiseConv2D" in made[:2]) is (kind == "standardised")  # the others' scaling comes to nothing


@pytest.mark.parametrize("kind", OWN)
def test_a_linear_head_becomes_ours(kind: str, rebuilt: Of) -> None:
    found = rebuilt(kind)
    assert found.why_fixed == ""
    assert tuple(layer.name for layer in found.model.layers[-len(OURS) :]) == OURS
    assert training_model(found.model).output_shape == (None, 3)
    assert slim(found.model, {"expand": np.arange(16)}).count_params() < found.model.count_params()


def scaled(first: Any) -> Any:
    """Two layers that only scale pixels of 0 to 255, each colour otherwise, then `first`."""
    picture = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[100.0, 120.0, 140.0], variance=[900.0, 1600.0, 2500.0])(picture)
    x = layers.GlobalAveragePooling2D()(first(layers.Rescaling(2.0, 0.3)(x)))
    return keras.Model(picture, layers.Dense(2, "softmax")(x))


@pytest.mark.parametrize("has_bias", [False, True])
def test_a_convolution_without_padding_takes_the_scaling_in_and_gives_the_same(has_bias: bool) -> None:
    network = scaled(layers.Conv2D(4, 3, use_bias=has_bias, bias_initializer="ones"))
    exact, folded = (rebuild(network, (0.0, 255.0), folds=folds) for folds in (False, True))
    assert (exact.is_scaled, folded.is_scaled) == (True, False)
    assert type(folded.model.layers[1]) is layers.Conv2D
    picture = np.random.default_rng(1).uniform(-1, 1, (4, 8, 8, 3))
    np.testing.assert_allclose(folded.model(picture), exact.model(picture), atol=1e-4)


def test_what_is_no_convolution_takes_no_scaling_in() -> None:
    assert rebuild(scaled(layers.MaxPooling2D()), (0.0, 255.0), folds=True).is_scaled


def test_a_head_that_is_not_linear_stays(rebuilt: Of) -> None:
    found = rebuilt("hidden")
    assert found.why_fixed == "its head is not a linear one on globally averaged features"
    assert found.model.layers[-1].name == "classifier"


@pytest.mark.parametrize(("kind", "rate"), [("tutorial", 0.3), ("nested", 0.0)])
def test_dropout_of_the_head_is_kept(kind: str, rate: float, rebuilt: Of) -> None:
    assert rebuilt(kind).model.get_layer("dropout").rate == rate


def test_an_added_softmax_is_told_and_no_other(rebuilt: Of, model: Any) -> None:
    assert rebuilt("tutorial").remarks == ("tutorial ends in logits: a softmax was added",)
    assert rebuild(elsewhere.tutorial(model, "softmax"), (0.0, 255.0)).remarks == ()


def test_layers_called_like_ours_give_their_names_up() -> None:
    picture = elsewhere.picture()
    x = layers.GlobalAveragePooling2D(name="probabilities")(layers.Conv2D(4, 3, name="features")(picture))
    found = rebuild(keras.Model(picture, layers.Dense(2, "softmax", name="pool")(x)), (-1.0, 1.0)).model
    assert [layer.name for layer in found.layers[1:]] == ["features_1", *OURS]


def test_half_precision_becomes_whole(theirs: Of) -> None:
    half = keras.models.clone_model(
        theirs("hidden"),
        clone_function=lambda layer: layer.__class__.from_config({**layer.get_config(), "dtype": "mixed_float16"}),
    )
    assert {layer.compute_dtype for layer in rebuild(half, (-1.0, 1.0)).model.layers} == {"float32"}


def ending(activation: str, units: int = 3, grid: tuple[int | None, ...] = (8, 8, 3)) -> Any:
    picture = keras.Input(grid)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(picture))
    return keras.Model(picture, layers.Dense(units, activation, name="end")(x), name="net")


def two_inputs() -> Any:
    pictures = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    return keras.Model(pictures, layers.Dense(2)(layers.Flatten()(layers.Add()(pictures))), name="net")


def two_outputs() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Flatten()(picture)
    return keras.Model(picture, [layers.Dense(2)(x), layers.Dense(2)(x)], name="net")


def shared() -> Any:
    picture, twice = keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="twice")
    return keras.Model(picture, layers.Dense(2)(layers.Flatten()(twice(twice(picture)))), name="net")


def channels_first() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 1, data_format="channels_first", name="turned")(picture)
    return keras.Model(picture, layers.Dense(2)(layers.Flatten()(x)), name="net")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "grey pictures": (lambda: ending("softmax", grid=(8, 8, 1)), r"its input is \(8, 8, 1\); expected \(N, N, 3\)"),
    "oblong pictures": (lambda: ending("softmax", grid=(8, 6, 3)), r"its input is \(8, 6, 3\); expected \(N, N, 3\)"),
    "any size": (lambda: ending("softmax", grid=(None, None, 3)), r"its input is \(None, None, 3\); expected"),
    "channels first": (lambda: ending("softmax", grid=(3, 8, 8)), r"its input is \(3, 8, 8\); .* channels last"),
    "channels first within": (channels_first, "turned: channels first; expected"),
    "two inputs": (two_inputs, "net: 2 inputs and 1 outputs; expected one of each"),
    "two outputs": (two_outputs, "net: 1 inputs and 2 outputs; expected one of each"),
    "one score": (lambda: ending("sigmoid", units=1), r"its output is \(1,\); expected \(K,\)"),
    "scores that do not exclude each other": (lambda: ending("sigmoid"), "end: ends in sigmoid; expected a softmax"),
    "a layer in two places": (shared, "this layer, or the one before it, is called in more than"),
    "never built": (lambda: keras.Sequential([layers.Dense(2)], name="net"), "net: no shape of the input is known"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_classifier_of_square_colour_pictures_is_one_line(what: str) -> None:
    build, message = REFUSED[what]
    with pytest.raises(ModelError, match=message) as refusal:
        rebuild(build(), (-1.0, 1.0))
    assert "\n" not in str(refusal.value)


def branching() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Concatenate()([layers.Conv2D(2, 1)(picture), layers.Conv2D(2, 3, padding="same")(picture)])
    return keras.Model(picture, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def fused() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 1, activation="relu", name="fused")(picture)
    return keras.Model(picture, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def norm_first() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 1)(layers.BatchNormalization(name="norm")(picture))
    return keras.Model(picture, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def wide_window() -> Any:
    picture = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 1)(layers.DepthwiseConv2D(5, name="wide")(picture))
    return keras.Model(picture, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    ("build", "why"),
    [
        pytest.param(branching, "it has layers of the kind Concatenate", id="branches"),
        pytest.param(fused, "fused has groups or an activation of its own", id="activation inside"),
        pytest.param(
            wide_window, "wide: a depthwise kernel of (5, 5); expected 3 x 3, as in MobileNets", id="another window"
        ),
        pytest.param(norm_first, "norm does not follow a convolution", id="norm of the picture"),
    ],
)
def test_what_pruning_does_not_know_is_said(build: Callable[[], Any], why: str) -> None:
    assert rebuild(build(), (-1.0, 1.0)).why_fixed == why


def test_a_rebuilding_that_changed_the_answers_would_be_refused(theirs: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(flatten._ARITHMETIC, "math.subtract", lambda value, other: value)
    with pytest.raises(ModelError, match=r"tutorial: rebuilt for export, its probabilities differ by up to 0\.\d+"):
        rebuild(theirs("tutorial"), (0.0, 255.0))
