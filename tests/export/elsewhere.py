"""Networks as others build them, with the answers of the tiny trained one: for tests of files of strangers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.export import colours
from training.network.backbone import EVIDENCE, FEATURES
from training.network.keras import keras

layers = keras.layers
ORDER = (2, 0, 1)  # of the classes, other than sorted
LABELS = tuple(colours.LABELS[i] for i in ORDER)


def trunk(model: Any) -> Any:
    """The trained network without its head, as a model of its own."""
    cut = keras.Model(model.input, model.get_layer(FEATURES).output, name="trunk")
    copy = keras.models.clone_model(cut)
    copy.set_weights(cut.get_weights())
    return copy


def classifier(model: Any, activation: str = "softmax") -> Any:
    """The weights of the head as those of a dense layer, the classes in another order."""
    kernel, bias = model.get_layer(EVIDENCE).get_weights()
    dense = layers.Dense(len(bias), activation, name="classifier")
    dense.build((None, kernel.shape[2]))
    dense.set_weights([kernel[0, 0][:, ORDER], bias[list(ORDER)]])
    return dense


def picture() -> Any:
    return keras.Input((colours.SIZE, colours.SIZE, 3))


def pooled(features: Any) -> Any:
    return layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(features))


def tutorial(model: Any, activation: str = "linear") -> Any:
    """Augmentation, operators on pixels, a model in the model, pooling, dropout, dense logits; takes 0 to 255."""
    pixels = picture()
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])(pixels)
    x = trunk(model)(x / 127.5 - 1.0, training=False)
    return keras.Model(pixels, classifier(model, activation)(pooled(x)), name="tutorial")


def nested(model: Any) -> Any:
    """A Sequential of a backbone and a head; takes -1 to 1."""
    return keras.Sequential([trunk(model), layers.GlobalAveragePooling2D(), classifier(model)], name="nested")


def rescaled(model: Any) -> Any:
    """A Rescaling layer, then the first MobileNet's end: pooling that keeps its axes, 1x1 convolution; takes 0 to 1."""
    pixels, dense = picture(), classifier(model)
    x = layers.GlobalAveragePooling2D(keepdims=True)(trunk(model)(layers.Rescaling(2.0, -1.0)(pixels)))
    convolution = layers.Conv2D(len(LABELS), 1, name="preds")
    x = layers.Activation("softmax")(layers.Reshape((len(LABELS),))(convolution(x)))
    kernel, bias = dense.get_weights()
    convolution.set_weights([kernel[None, None], bias])
    return keras.Model(pixels, x, name="rescaled")


def standardised(model: Any) -> Any:
    """Mean and variance of each colour, so that something is left to scale; a BatchNorm in the head; takes 0 to 255."""
    pixels = picture()
    x = layers.Normalization(mean=[120.0, 125.0, 130.0], variance=[110.0**2, 120.0**2, 130.0**2])(pixels)
    norm = layers.BatchNormalization(name="in_the_head")
    x = norm(layers.GlobalAveragePooling2D()(trunk(model)(x)))
    draws = np.random.default_rng(1)
    norm.set_weights([draws.uniform(0.8, 1.2, weight.shape) * (weight + 0.1) for weight in norm.get_weights()])
    return keras.Model(pixels, classifier(model)(x), name="standardised")


def hidden(model: Any) -> Any:
    """Two dense layers on pooled features: a head that no 1x1 convolution can take the place of; takes -1 to 1."""
    dense = classifier(model)
    deep, wide = layers.Dense(16, "relu", name="deep"), trunk(model)
    pixels = picture()
    network = keras.Model(pixels, dense(deep(pooled(wide(pixels)))), name="hidden")
    deep.set_weights([np.eye(16, dtype=np.float32), np.full(16, 0.0, np.float32)])
    return network


KINDS: dict[str, tuple[Callable[[Any], Any], tuple[float, float]]] = {
    "tutorial": (tutorial, (0.0, 255.0)),
    "nested": (nested, (-1.0, 1.0)),
    "rescaled": (rescaled, (0.0, 1.0)),
    "standardised": (standardised, (0.0, 255.0)),
    "hidden": (hidden, (-1.0, 1.0)),
}
