"""Bias correction: take back the mean error that rounding a kernel to int8 makes in each channel of its output.

In:  a flat Keras network and calibration pictures RGB uint8 (n, N, N, 3).
Out: a copy with other BatchNorm means, or biases where no BatchNorm follows; its kernels are the same.

Rounding errors of a kernel do not cancel: inputs after a ReLU are never negative, so each output channel is shifted by
the error times the mean input (Nagel et al. 2019, "Data-Free Quantization", section 4.2; here from pictures).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.network.inference import normalise
from training.network.keras import keras, tf

BATCH = 10  # pictures at once: all maps of a network are held for each
STEPS = 127  # of a weight, either way

Floats = NDArray[np.float32]


def corrected(model: Any, pictures: NDArray[np.uint8]) -> Any:
    """A copy of `model` to be converted to int8 in its place. Convolutions inside a model inside are left alone."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    convolutions = [layer for layer in copy.layers if _is_correctable(layer)]
    inputs = _mean_inputs(copy, convolutions, pictures) if convolutions else []
    for layer, maps in zip(convolutions, inputs, strict=True):
        norm, shift = _norm_after(layer), _mean_error(layer, maps)
        if norm is not None:
            norm.moving_mean.assign_add(shift)
        else:
            layer.bias.assign_sub(shift)
    return copy


def rounded(kernel: Floats, *, is_depthwise: bool) -> Floats:
    """The kernel as int8 has it: 127 steps either way to the greatest weight of each output channel."""
    axes = (0, 1) if is_depthwise else (0, 1, 2)
    step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True), 1e-12) / STEPS
    return np.asarray(np.round(kernel / step) * step, np.float32)


def _is_correctable(layer: Any) -> bool:
    is_plain = type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D) and layer.groups == 1
    return is_plain and len(layer.inbound_nodes) == 1 and (_norm_after(layer) is not None or layer.use_bias)


def _norm_after(layer: Any) -> Any | None:
    """The BatchNorm that a convolution goes through, and nothing else does."""
    followers = [node.outbound_layer for node in layer.outbound_nodes]
    norms = [follower for follower in followers if isinstance(follower, keras.layers.BatchNormalization)]
    return norms[0] if len(followers) == len(norms) == 1 else None


def _mean_inputs(model: Any, layers: list[Any], pictures: NDArray[np.uint8]) -> list[Any]:
    """The input of each layer (1, h, w, c), averaged over the pictures."""
    inputs = keras.Model(model.input, [layer.inbound_nodes[0].input_tensors for layer in layers])
    totals: list[Any] = [0.0] * len(layers)
    for start in range(0, len(pictures), BATCH):
        found = tf.nest.flatten(inputs(normalise(pictures[start : start + BATCH]), training=False))
        totals = [total + tf.reduce_sum(maps, axis=0, keepdims=True) for total, maps in zip(totals, found, strict=True)]
    return [total / len(pictures) for total in totals]


def _mean_error(layer: Any, inputs: Any) -> Floats:
    """What rounding adds to each output channel (c,) on average: the layer is linear, so the mean input will do."""
    kernel = layer.get_weights()[0]
    is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    error = layer.__class__.from_config({**layer.get_config(), "use_bias": False, "activation": "linear"})
    error.build(inputs.shape)
    error.set_weights([rounded(kernel, is_depthwise=is_depthwise) - kernel])
    return np.asarray(tf.reduce_mean(error(inputs), axis=(0, 1, 2)))
