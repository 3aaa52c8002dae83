"""A pretrained MobileNet with a new head, as one flat Keras model.

In:  float32 RGB (batch, N, N, 3) in [-1, 1], the range both MobileNets' weights were trained with.
Out: float32 (batch, num_classes), probabilities.

The head is spatial dropout, 1x1 convolution, global average pooling, softmax: the convolution's output is
a map of evidence per class. The model is flat (no model inside a model) because tfmot can neither prune nor
quantise a nested one.

To add a backbone: a row in training.config.BACKBONES; see that it is flat, ends in a map, and takes [-1, 1].
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge.base.text import first_line
from edge.errors import FloraError, ModelError, UsageError
from training.config import BACKBONES
from training.network.keras import keras, tf

FEATURES = "features"  # name of the layer whose output the head reads
EVIDENCE = "evidence"


def build(
    backbone: str, alpha: float, size: int, num_classes: int, *, dropout: float = 0.0, momentum: float = 0.99
) -> Any:
    """Build the deployable model, with fresh weights. `momentum` is that of BatchNorm's moving statistics."""
    trunk = _trunk(backbone, alpha, size, None)
    for layer in batch_norms(trunk):
        layer.momentum = momentum
    features = keras.layers.Activation("linear", name=FEATURES)(trunk.output)
    dropped = keras.layers.SpatialDropout2D(dropout, name="dropout")(features)
    evidence = keras.layers.Conv2D(num_classes, 1, name=EVIDENCE, kernel_initializer=_small(0))(dropped)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(evidence)
    probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(pooled)
    return keras.Model(trunk.input, probabilities, name="flora")


def initialise(model: Any, seed: int) -> None:
    """Draw every kernel anew from `seed`, so that a run from scratch repeats."""
    for number, layer in enumerate(model.layers):
        for variable in layer.trainable_weights:
            if "kernel" in variable.name and layer.name != EVIDENCE:
                variable.assign(keras.initializers.HeNormal(seed=seed * 1000 + number)(variable.shape))


def load_weights(model: Any, backbone: str, alpha: float, size: int, weights: str) -> None:
    """Copy a backbone's weights into `model`: `imagenet` (Keras' own file, from its cache or downloaded) or a path.

    Raises ModelError when the file is missing, cannot be downloaded, or does not fit this backbone and alpha.
    """
    donor = (
        _imagenet(backbone, alpha, size) if weights == "imagenet" else _from_file(backbone, alpha, size, Path(weights))
    )
    for layer in donor.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def imagenet_classifier(size: int) -> Any:
    """MobileNetV2 1.0 with ImageNet's 1000 classes, from Keras' cache or downloaded. Raises ModelError."""
    return _downloaded(lambda: keras.applications.MobileNetV2(input_shape=(size, size, 3)), f"MobileNetV2 1.0/{size}")


def batch_norms(model: Any) -> list[Any]:
    """All BatchNorm layers of a model."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def training_model(model: Any) -> Any:
    """The same layers as a function of (photos, keep) -> logits, for training.

    `keep` is float32 (batch, channels): the spatial dropout mask, 0 or 1 / (1 - rate). Dropout is an input so that
    it can be a function of (seed, epoch, photo), as the augmentation is; a layer's own generator could not be resumed.
    """
    features = model.get_layer(FEATURES).output
    keep = keras.Input((features.shape[-1],), name="keep")
    kept = features * tf.cast(keep, features.dtype)[:, None, None, :]
    pooled = model.get_layer("pool")(model.get_layer(EVIDENCE)(kept))
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(pooled)
    return keras.Model([model.input, keep], logits)


def feature_model(model: Any) -> Any:
    """The frozen backbone as photos -> float32 (batch, channels), averaged over the map.

    Averaging before the head's 1x1 convolution equals averaging after it, both being linear.
    """
    return keras.Model(
        model.input, keras.layers.GlobalAveragePooling2D(dtype="float32")(model.get_layer(FEATURES).output)
    )


def head_model(channels: int, num_classes: int) -> Any:
    """The head alone as (features, keep) -> logits; its one layer has the evidence layer's weights, flattened."""
    features = keras.Input((channels,), name="features")
    keep = keras.Input((channels,), name="keep")
    logits = keras.layers.Dense(num_classes, name="logits", kernel_initializer=_small(0), dtype="float32")(
        features * keep
    )
    return keras.Model([features, keep], logits)


def _small(seed: int) -> Any:
    return keras.initializers.RandomNormal(stddev=0.01, seed=seed)


def _trunk(backbone: str, alpha: float, size: int, weights: str | None) -> Any:
    maker = getattr(keras.applications, BACKBONES[backbone].constructor)
    try:
        return maker(input_shape=(size, size, 3), alpha=alpha, include_top=False, weights=weights)
    except ValueError as error:
        raise UsageError(f"{backbone} with --alpha {alpha} --size {size}: {first_line(error)}") from error


def _imagenet(backbone: str, alpha: float, size: int) -> Any:
    return _downloaded(lambda: _trunk(backbone, alpha, size, "imagenet"), f"{backbone} {alpha}/{size}")


def _downloaded(make: Callable[[], Any], what: str) -> Any:
    """Run a Keras constructor that takes its weights from Keras' cache or the network."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras' progress bar
            return make()
    except FloraError:
        raise
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ModelError(
            f"no ImageNet weights for {what}: {first_line(error)}; without a network put Keras' weights file into "
            f"{Path.home() / '.keras' / 'models'}, or train with --weights FILE"
        ) from error


def _from_file(backbone: str, alpha: float, size: int, path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"--weights {path}: no such file; expected imagenet, none or a Keras weights file (.h5)")
    trunk = _trunk(backbone, alpha, size, None)
    # Keras passes in silence over layers that the file lacks: what is still NaN afterwards was not in it.
    trunk.set_weights([np.full(variable.shape, np.nan, np.float32) for variable in trunk.weights])
    try:
        trunk.load_weights(str(path), by_name=True)
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(
            f"--weights {path}: does not fit {backbone} with alpha {alpha} ({first_line(error)})"
        ) from error
    missing = sum(bool(np.isnan(array).any()) for array in trunk.get_weights())
    if missing:
        raise ModelError(
            f"--weights {path}: {missing} of the {len(trunk.weights)} tensors of {backbone} {alpha} are not in it; "
            "is it another network's?"
        )
    return trunk
