"""A foreign head turned into that of training.network.backbone, with the same answers.

In:  a flat Keras network whose end is linear on globally averaged features: pooling, perhaps BatchNorm, then Dense or a
     1x1 convolution, then softmax.
Out: the same network with spatial dropout, 1x1 convolution, pooling, softmax: averaging before a linear classifier
     equals averaging after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.network.backbone import EVIDENCE, FEATURES
from training.network.keras import keras

OURS = (FEATURES, "dropout", EVIDENCE, "pool", "probabilities")  # names of the head's layers


def with_our_head(flat: Any, dropout: float) -> Any:
    """The same network with the head of training.network.backbone; None where its own is another function."""
    found = _linear_head(flat)
    if found is None:
        return None
    map_layer, kernel, bias = found
    features = keras.layers.Activation("linear", name=FEATURES)(map_layer.output)
    dropped = keras.layers.SpatialDropout2D(dropout, name="dropout")(features)
    convolution = keras.layers.Conv2D(len(bias), 1, name=EVIDENCE)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(convolution(dropped))
    convolution.set_weights([kernel[None, None], bias])
    return keras.Model(flat.input, keras.layers.Softmax(name="probabilities")(pooled), name="flora")


def _linear_head(flat: Any) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]] | None:
    """The layer that makes the last map, and the classifier on it, kernel (d, K) and bias (K,)."""
    layer, classifier, norm, is_pooled = flat.layers[-1], None, None, False
    while classifier is None or not is_pooled:
        kind = type(layer).__name__
        if kind == "GlobalAveragePooling2D" and not is_pooled:
            is_pooled = True
        elif kind == "BatchNormalization" and classifier is not None and norm is None:
            norm = layer
        elif classifier is None and _is_classifier(layer):
            classifier = layer
        elif kind not in ("Flatten", "Reshape") and not (classifier is None and not is_pooled and _is_softmax(layer)):
            return None
        source = layer.inbound_nodes[0].inbound_layers
        if isinstance(source, list):
            return None
        layer = source
    return (layer, *_weights(classifier, norm)) if layer.output.shape.rank == 4 else None


def _is_softmax(layer: Any) -> bool:
    return type(layer).__name__ == "Softmax" or layer.get_config().get("activation") in ("softmax", "linear")


def _is_classifier(layer: Any) -> bool:
    kind, config = type(layer).__name__, layer.get_config()
    is_one_by_one = kind == "Conv2D" and layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
    return (kind == "Dense" or is_one_by_one) and config["activation"] in ("linear", "softmax")


def _weights(classifier: Any, norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel (d, K) and bias (K,) of a classifier, with a BatchNorm before it taken in."""
    kernel = classifier.get_weights()[0]
    kernel = kernel.reshape(kernel.shape[-2:]).astype(np.float64)
    bias = classifier.get_weights()[1] if classifier.use_bias else np.zeros(kernel.shape[1])
    if norm is not None:
        unit, zero = np.ones(len(kernel)), np.zeros(len(kernel))
        gamma, beta = (unit if norm.gamma is None else norm.gamma), (zero if norm.beta is None else norm.beta)
        gain = np.asarray(gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        bias = bias + (np.asarray(beta) - np.asarray(norm.moving_mean) * gain) @ kernel
        kernel = kernel * gain[:, None]
    return kernel.astype(np.float32), np.asarray(bias, np.float32)
