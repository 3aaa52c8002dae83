"""Quantisation-aware training: a network that computes with the steps of int8 already, and so learns to live with them.

In:  a flat Keras network with our head (training/network/backbone.py), float32 [-1, 1] (batch, N, N, 3) ->
     probabilities.
Out: one with the same layer names, inputs, outputs and weights, and fake quantisation in it; of that, a full int8
     flatbuffer.

The plan of quantisers is our own, in tfmot's wrappers. With tfmot's, all channels of a depthwise kernel share one
scale, where TFLite has one for each; and ranges begin at [-6, 6], which they take thousands of steps to leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from export.quantising.convert import convert_quantised
from training.network.keras import keras, tf

# isort: split
import tensorflow_model_optimization as tfmot  # after training.network.keras, which chooses the Keras that it needs

MOMENTUM = 0.99  # of the ranges, once they have seen enough batches to remember that long
MAKES_A_TENSOR = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Add", "GlobalAveragePooling2D")
IS_FUSED = ("BatchNormalization", "ReLU")  # into the operator of what they follow: no int8 tensor in between


def aware(model: Any, *, preserve_zeros: bool = False) -> Any:
    """A copy of `model` with fake quantisation and frozen BatchNorm; layers are found by the names they had.

    Ranges follow the extremes of each batch in training, from the first batch on. Before it, or `calibrate`, they are
    empty and the answers worth nothing. With `preserve_zeros` each weight that is zero now stays zero in training.
    """
    first, *others = model.layers
    picture = keras.Input(model.input_shape[1:], name=first.name)
    pinned = _Plan(output=tfmot.quantization.keras.quantizers.FixedQuantizer(8, -1.0, 1.0, narrow_range=False))
    made = {id(first.output): _Wrapper(keras.layers.Activation("linear", name="pinned"), pinned)(picture)}
    for layer in others:
        node = layer.inbound_nodes[0]  # the first; training_model calls some layers again
        sources = tf.nest.map_structure(lambda tensor: made[id(tensor)], node.input_tensors)
        made[id(node.outputs)] = _copied(layer, preserve_zeros)(sources)
    return keras.Model(picture, made[id(others[-1].inbound_nodes[0].outputs)], name=model.name)


def calibrate(network: Any, batches: Iterable[Any]) -> None:
    """Set all ranges to the mean extremes of `batches` of pictures, float32 [-1, 1] (batch, N, N, 3)."""
    for batch in batches:
        network(batch, training=True)


def convert_aware(network: Any) -> bytes:
    """The int8 flatbuffer with the ranges that `network` has learnt; borders as those of `quantize.convert_int8`."""
    return convert_quantised(network)


class _Kernel(tfmot.quantization.keras.quantizers.Quantizer):
    """127 steps either way to the greatest weight of each output channel, as TFLite has them; keeps no state."""

    def __init__(self, axis: int, preserve_zeros: bool) -> None:
        self.axis, self.preserve_zeros = axis, preserve_zeros  # axis: of the output channels

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        kernel = getattr(layer.layer, name).numpy() if self.preserve_zeros else np.ones(1)
        return {"mask": (kernel != 0).astype(np.float32)}

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        last = [0, 1, 2, 3]
        last[self.axis], last[3] = 3, self.axis  # the operator wants channels last; the swap is its own inverse
        kernel = tf.transpose(inputs * weights["mask"], last)
        bound = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2)))
        bound = tf.maximum(bound, 1e-9)
        return tf.transpose(
            tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -bound, bound, narrow_range=True), last
        )

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis, "preserve_zeros": self.preserve_zeros}


class _Range(tfmot.quantization.keras.quantizers.Quantizer):
    """256 steps between the usual extremes of a tensor, zero among them."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        return {
            part: layer.add_weight(f"{name}_{part}", shape=(), initializer="zeros", trainable=False)
            for part in ("low", "high", "batches")
        }

    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        low, high = weights["low"], weights["high"]
        if training:
            before = weights["batches"].assign_add(1.0) - 1.0
            momentum = tf.minimum(before / (before + 1.0), MOMENTUM)  # at first the mean of all batches
            extremes = tf.minimum(tf.reduce_min(inputs), 0.0), tf.maximum(tf.reduce_max(inputs), 0.0)
            low, high = (
                kept.assign(momentum * kept + (1.0 - momentum) * tf.stop_gradient(seen))
                for kept, seen in zip((low, high), extremes, strict=True)
            )
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def get_config(self) -> dict[str, Any]:
        return {}


class _Plan(tfmot.quantization.keras.QuantizeConfig):
    """What is quantised of one layer."""

    def __init__(self, output: Any = None, kernel: Any = None, kernel_name: str = "") -> None:
        self.output, self.kernel, self.kernel_name = output, kernel, kernel_name

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return [(getattr(layer, self.kernel_name), self.kernel)] if self.kernel else []

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        for weight in quantize_weights:
            setattr(layer, self.kernel_name, weight)

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """There are none."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [self.output] if self.output else []

    def get_config(self) -> dict[str, Any]:
        return {}


class _Wrapper(tfmot.quantization.keras.QuantizeWrapperV2):
    """tfmot's wrapper, under the name of the layer inside."""

    def __init__(self, layer: Any, plan: _Plan) -> None:
        super().__init__(layer, plan, name=layer.name)

    def add_weight(self, name: str, **options: Any) -> Any:
        """A float, whatever it counts: the average of weights in training takes no integers."""
        return super().add_weight(name, **{**options, "dtype": tf.float32})


def _copied(layer: Any, preserve_zeros: bool) -> Any:
    """A layer with the weights of the given one, in a wrapper if int8 has a tensor there."""
    config = layer.get_config()
    if "rate" in config:
        config["rate"] = 0.0  # of dropout: training gives its own mask, and ranges are those of whole pictures
    copy = layer.__class__.from_config(config)
    if layer.weights:
        with keras.backend.name_scope(layer.name):  # or all kernels have one name
            copy.build(layer.inbound_nodes[0].input_shapes)
        copy.set_weights(layer.get_weights())
    copy.trainable = layer.trainable and not isinstance(layer, keras.layers.BatchNormalization)
    plan = _plan(layer, preserve_zeros)
    return _Wrapper(copy, plan) if plan.kernel or plan.output else copy


def _plan(layer: Any, preserve_zeros: bool) -> _Plan:
    kind = type(layer).__name__
    followers = [type(node.outbound_layer).__name__ for node in layer.outbound_nodes]
    is_last = not any(follower in IS_FUSED for follower in followers)
    output = _Range() if kind in MAKES_A_TENSOR and is_last else None
    if kind == "DepthwiseConv2D":
        return _Plan(output, _Kernel(2, False), "depthwise_kernel")  # never pruned
    if kind == "Conv2D":
        return _Plan(output, _Kernel(3, preserve_zeros), "kernel")
    return _Plan(output)
