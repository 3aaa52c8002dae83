"""A Keras network of anybody's, rebuilt the way the rest of export knows networks.

In:  a network of Keras 2 from pictures (batch, N, N, 3), in a given range of pixels, to one score for each class.
Out: Rebuilt: a flat one, float32 [-1, 1] (batch, N, N, 3) -> probabilities (batch, num_classes), with the same answers.

Models inside the model are dissolved, and layers of training alone left out. What only scales the pixels at the
beginning becomes one depthwise convolution, or nothing. Where export.network.head can, the head becomes ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from export.network.head import OURS, with_our_head
from export.network.outline import Outline
from training.network.keras import keras, tf
from training.network.keras_file import RANDOM

DROPOUT = ("Dropout", "SpatialDropout2D")
MOST_DROPOUT = 0.5
IDENTITY = 1e-6  # of a scale and an offset: less is rounding
CHANGED = 1e-3  # of a probability: more is no rounding
LEARNS = frozenset(
    {"Activation", "Add", "BatchNormalization", "Conv2D", "DepthwiseConv2D", "GlobalAveragePooling2D", "InputLayer"}
    | {"ReLU", "Softmax", "SpatialDropout2D", "ZeroPadding2D"}
)  # layers that pruning and quantisation-aware training know


@dataclass(frozen=True)
class Rebuilt:
    """A network with the same answers as the one it was rebuilt from."""

    model: Any
    remarks: tuple[str, ...]  # what a person should know
    why_fixed: str  # why it can only be quantised, not trained further; empty: it can
    is_scaled: bool = False  # a depthwise convolution scales the pixels


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class _Scaled:
    """The picture times `scale` plus `offset`, each (3,), where no layer has been made for it yet."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def scales(self) -> bool:
        """True for what is more than rounding."""
        return bool(np.abs(self.scale - 1).max() > IDENTITY or np.abs(self.offset).max() > IDENTITY)

    def then(self, scale: Any, offset: Any) -> _Scaled:
        return _Scaled(self.scale * scale, self.offset * scale + offset)


@dataclass
class _Builder:
    """Copies layers one by one and remembers what it met."""

    picture: Any
    folds: bool = False  # what scales the pixels goes into the first convolution
    names: set[str] = field(default_factory=lambda: set(OURS))
    dropout: float = 0.0  # the last rate on the way
    pending: _Scaled | None = None  # what the next convolution is to take in
    is_scaled: bool = False  # something was left to scale

    def graph(self, model: Any, value: Any) -> Any:
        """What comes out of all layers of a model, `value` going in."""
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                value = self.layer(layer, (value,), {})
            return value
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ModelError(f"{model.name}: {_borders(model)}; expected one of each; save a network of one branch")
        values = {id(model.inputs[0]): value}
        for layer in model.layers:
            if not isinstance(layer, keras.layers.InputLayer):
                node = _only_call(layer, values)
                args, kwargs = tf.nest.map_structure(
                    lambda part: values.get(id(part), part), (tuple(node.call_args), dict(node.call_kwargs))
                )
                values[id(node.outputs)] = self.layer(layer, args, kwargs)
        return values[id(model.outputs[0])]

    def layer(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs.pop("training", None)  # what is built here is told anew
        if isinstance(layer, keras.Model):
            return self.graph(layer, args[0])
        kind = type(layer).__name__
        if kind in DROPOUT:
            self.dropout = float(layer.rate)
        if kind in RANDOM or kind in DROPOUT or kind == "InputLayer":
            return args[0]
        if isinstance(args[0], _Scaled):
            scaled = _scaled(layer, args[0], args, kwargs)
            if scaled:
                return scaled
        if self.folds and kind in ("Conv2D", "ZeroPadding2D") and isinstance(args[0], _Scaled) and args[0].scales:
            self.pending, args = args[0], (self.picture, *args[1:])
        args, kwargs = tf.nest.map_structure(self.settled, (args, kwargs))
        return self._copied(layer, args, kwargs)

    def settled(self, value: Any) -> Any:
        """The picture as a tensor: as it is, or through a depthwise convolution that scales it.

        Its kernel is 3x3, all zeros around the middle: the size that latency tables and kernels know.
        """
        if not isinstance(value, _Scaled):
            return value
        if not value.scales:
            return self.picture
        self.is_scaled = True
        layer = keras.layers.DepthwiseConv2D(3, padding="same", name=self._free("pixels"), trainable=False)
        tensor = layer(self.picture)
        kernel = np.zeros((3, 3, 3, 1), np.float32)
        kernel[1, 1, :, 0] = value.scale
        layer.set_weights([kernel, np.broadcast_to(value.offset, 3).astype(np.float32)])
        return tensor

    def _copied(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        config, kind = layer.get_config(), layer.__class__
        if config.get("data_format") == "channels_first":
            raise ModelError(
                f"{layer.name}: channels first; expected (batch, N, N, 3), which is what CPUs compute with"
            )
        ceiling = {"relu": None, "relu6": 6.0}
        if kind is keras.layers.Activation and config["activation"] in ceiling:
            config, kind = {"max_value": ceiling[config["activation"]]}, keras.layers.ReLU
        weights = layer.get_weights()
        if self.pending and kind is keras.layers.Conv2D:
            weights, config["use_bias"] = _taken_in(self.pending, weights), True
            self.pending = None
        copy = kind.from_config({**config, "name": self._free(layer.name), "dtype": "float32"})
        tensor = copy(*args, **kwargs)
        copy.set_weights(weights)
        return tensor

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self.names:
            free, number = f"{name}_{number}", number + 1
        self.names.add(free)
        return free


def rebuild(model: Any, pixels: tuple[float, float], *, folds: bool = False) -> Rebuilt:
    """Rebuild a network that expects pixels in the range `pixels`, black and white. Raises ModelError.

    If it `folds`, the first convolution takes in what scales the pixels. That is faster, and the same but where this
    convolution reads padding, which is grey then: the caller must compare the answers.
    """
    size = require_classifier(model)
    remarks = []
    picture = keras.Input((size, size, 3))
    builder = _Builder(picture, folds)
    low, high = pixels
    begin = _Scaled(np.full(3, (high - low) / 2), np.full(3, (high + low) / 2))
    scores = builder.settled(builder.graph(model, begin))
    if _is_logits(keras.Model(picture, scores)):
        remarks.append(f"{model.name} ends in logits: a softmax was added")
        scores = keras.layers.Softmax(name=builder._free("softmax"))(scores)
    flat = keras.Model(picture, scores, name="flora")
    head = with_our_head(flat, min(builder.dropout, MOST_DROPOUT))
    rebuilt = _clean(head or flat)
    if not folds:
        _require_same(model, rebuilt, pixels, is_logits=bool(remarks))
    return Rebuilt(rebuilt, tuple(remarks), _why_fixed(rebuilt, has_our_head=head is not None), builder.is_scaled)


def require_classifier(model: Any) -> int:
    """The side of its input, if a network is from a colour picture to at least two classes. Raises ModelError."""
    if not getattr(model, "inputs", None):
        raise ModelError(f"{model.name}: no shape of the input is known; expected (N, N, 3); build it, then save it")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f"{model.name}: {_borders(model)}; expected one of each: a picture, and scores of classes")
    given, scores = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(given) != 4 or given[3] != 3 or not given[1] or given[1] != given[2]:
        raise ModelError(
            f"{model.name}: its input is {given[1:]}; expected (N, N, 3), a square colour picture of a fixed size, "
            "channels last; build it so, then save it"
        )
    if len(scores) != 2 or not scores[1] or scores[1] < 2:
        raise ModelError(
            f"{model.name}: its output is {scores[1:]}; expected (K,), one score for each of K > 1 classes"
        )
    return int(given[1])


def as_expected(views: NDArray[np.uint8], pixels: tuple[float, float]) -> NDArray[np.float32]:
    """Pixels 0 to 255 in the range that a network expects."""
    low, high = pixels
    return views.astype(np.float32) / np.float32(255) * np.float32(high - low) + np.float32(low)


def _borders(model: Any) -> str:
    return f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"


def _only_call(layer: Any, values: dict[int, Any]) -> Any:
    """The one place where a layer is called in this graph."""
    found = [
        node
        for node in layer.inbound_nodes
        if all(id(tensor) in values for tensor in tf.nest.flatten(node.input_tensors))
    ]
    if len(found) != 1:
        raise ModelError(
            f"{layer.name}: this layer, or the one before it, is called in more than one place; expected one call of "
            "each; give every place a layer of its own"
        )
    return found[0]


def _scaled(layer: Any, value: _Scaled, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Scaled | None:
    """What a layer makes of a scaled picture, if it only scales it."""
    kind = type(layer).__name__
    if kind == "Rescaling":
        return value.then(np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64))
    if kind == "Normalization" and not layer.invert:
        mean, deviation = (np.ravel(part).astype(np.float64) for part in (layer.mean, np.sqrt(layer.variance)))
        return value.then(1 / np.maximum(deviation, 1e-7), -mean / np.maximum(deviation, 1e-7))
    if kind != "TFOpLambda":
        return None
    other = args[1] if len(args) > 1 else kwargs.get("y")
    make = _ARITHMETIC.get(layer.get_config()["function"])
    return make(value, other) if make and isinstance(other, int | float) else None


_ARITHMETIC: dict[str, Callable[[_Scaled, float], _Scaled]] = {
    "__operators__.add": lambda value, other: value.then(1.0, other),
    "math.add": lambda value, other: value.then(1.0, other),
    "math.subtract": lambda value, other: value.then(1.0, -other),
    "math.multiply": lambda value, other: value.then(other, 0.0),
    "math.truediv": lambda value, other: value.then(1 / other, 0.0),
    "math.divide": lambda value, other: value.then(1 / other, 0.0),
}


def _taken_in(value: _Scaled, weights: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Kernel and bias of a convolution of the picture, for the picture as it is."""
    kernel, *bias = weights
    shift = (kernel * value.offset[:, None]).sum(axis=(0, 1, 2))
    return [kernel * value.scale[:, None], shift + bias[0] if bias else shift]


def _is_logits(flat: Any) -> bool:
    """Whether the last layer leaves scores as they are. Raises ModelError for what are neither logits nor a softmax."""
    config = flat.layers[-1].get_config()
    found = config.get("activation", config.get("function", type(flat.layers[-1]).__name__))
    if found in ("softmax", "nn.softmax", "Softmax"):
        return False
    if found in ("linear", "GlobalAveragePooling2D", "Flatten", "Reshape"):
        return True
    raise ModelError(
        f"{flat.layers[-1].name}: ends in {found}; expected a softmax or logits; classes exclude each other"
    )


def _clean(model: Any) -> Any:
    """A copy whose layers are called nowhere else."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _require_same(model: Any, rebuilt: Any, pixels: tuple[float, float], *, is_logits: bool) -> None:
    views = np.random.default_rng(0).integers(0, 256, (4, *rebuilt.input_shape[1:])).astype(np.uint8)
    before = np.asarray(model(as_expected(views, pixels), training=False), np.float32)
    before = np.asarray(tf.nn.softmax(before)) if is_logits else before
    changed = float(np.abs(before - np.asarray(rebuilt(as_expected(views, (-1.0, 1.0)), training=False))).max())
    if not changed < CHANGED:
        raise ModelError(
            f"{model.name}: rebuilt for export, its probabilities differ by up to {changed:.3f}, expected below "
            f"{CHANGED}; it has something that is not understood here: save a plain network of Conv2D and Dense"
        )


def _why_fixed(model: Any, *, has_our_head: bool) -> str:
    if not has_our_head:
        return "its head is not a linear one on globally averaged features"
    strange = sorted({type(layer).__name__ for layer in model.layers} - LEARNS)
    if strange:
        return f"it has layers of the kind {', '.join(strange)}"
    for layer in model.layers:
        config, name = layer.get_config(), layer.name
        if config.get("groups", 1) != 1 or config.get("activation", "linear") not in ("linear", "softmax"):
            return f"{name} has groups or an activation of its own"
        if isinstance(layer, keras.layers.BatchNormalization) and "Conv2D" not in _source_kind(layer):
            return f"{name} does not follow a convolution"
    try:
        Outline.of(model)
    except ModelError as error:
        return str(error)
    return ""


def _source_kind(layer: Any) -> str:
    return type(layer.inbound_nodes[0].inbound_layers).__name__
