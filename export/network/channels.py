"""Structured pruning: whole channels removed, so that the network is smaller and faster on any runtime.

In:  a flat Keras network with the head of `training.network.backbone`, and how many channels each group is to keep.
Out: a new network with fewer channels, the kept channels' weights copied.

A group is a set of channels that must be kept or removed together: what a convolution puts out, with all that passes it
on channel by channel (BatchNorm, ReLU, depthwise convolution), joined where residual additions tie convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError, UsageError
from training.network.keras import keras

Kept = NDArray[np.int64]  # channel numbers, ascending


@dataclass(frozen=True)
class Group:
    """Channels that stay or go together."""

    name: str  # of the first convolution that makes them
    convolutions: tuple[str, ...]  # names of the layers that make them
    channels: int


def groups(model: Any) -> tuple[Group, ...]:
    """The groups of a network, in the order of its layers; the head's own classes are not among them."""
    made = makers(model)
    found: dict[str, list[str]] = {}
    for layer in model.layers:
        if makes_channels(layer) and layer is not head_of(model):
            found.setdefault(made[layer.name], []).append(layer.name)
    return tuple(Group(name, tuple(members), int(model.get_layer(name).filters)) for name, members in found.items())


def consumers(model: Any, group: str) -> list[Any]:
    """The convolutions that read the channels of a group."""
    made = makers(model)
    return [layer for layer in model.layers if makes_channels(layer) and made[sources_of(layer)[0]] == group]


def source_of(model: Any, name: str) -> Any:
    """The layer whose output a layer takes."""
    return model.get_layer(sources_of(model.get_layer(name))[0])


def head_of(model: Any) -> Any:
    """The head's convolution, whose channels are the classes."""
    return [layer for layer in model.layers if makes_channels(layer)][-1]


def slim(model: Any, kept: Mapping[str, Kept], size: int | None = None) -> Any:
    """The network with only the channels `kept` of each group; a group that is not named keeps all of its own.

    `size` is the side of its input, if that is to change. Raises UsageError for groups or channels that are not there.
    """
    known = {group.name: group for group in groups(model)}
    _require_known(kept, known)
    made = makers(model)
    side = size or int(model.input_shape[1])

    def narrowed(layer: Any) -> Any:
        config = layer.get_config()
        if makes_channels(layer) and made[layer.name] in kept:
            config["filters"] = len(kept[made[layer.name]])
        return layer.__class__.from_config(config)

    inputs = keras.Input((side, side, 3), name=model.layers[0].name)
    thin = keras.models.clone_model(model, input_tensors=inputs, clone_function=narrowed)
    for layer in model.layers:
        if layer.weights:
            into = _into(layer, made, kept)
            thin.get_layer(layer.name).set_weights(_cut(layer, into, kept.get(made[layer.name])))
            thin.get_layer(layer.name).trainable = layer.trainable
    return thin


def makers(model: Any) -> dict[str, str]:
    """For each layer, the group whose channels come out of it: the name of its first convolution; "" is the picture."""
    made: dict[str, str] = {}
    for layer in model.layers:
        sources = [made[name] for name in sources_of(layer)]
        if isinstance(layer, keras.layers.Add):
            made = _joined(made, sources)
            sources = [made[name] for name in sources_of(layer)]
        made[layer.name] = layer.name if makes_channels(layer) else sources[0] if sources else ""
    return made


def _joined(made: dict[str, str], sources: Iterable[str]) -> dict[str, str]:
    """Make one group of several: it takes the name of the one that came first."""
    order = list(made)
    first = min(sources, key=order.index)
    return {layer: first if group in sources else group for layer, group in made.items()}


def sources_of(layer: Any) -> list[str]:
    """Names of the layers whose output a layer takes."""
    if isinstance(layer, keras.layers.InputLayer):
        return []
    inbound = layer.inbound_nodes[0].inbound_layers
    return [layer.name for layer in (inbound if isinstance(inbound, list) else [inbound])]


def makes_channels(layer: Any) -> bool:
    """Whether a layer's output has other channels than its input: an ordinary convolution."""
    return isinstance(layer, keras.layers.Conv2D) and not isinstance(layer, keras.layers.DepthwiseConv2D)


def _into(layer: Any, made: Mapping[str, str], kept: Mapping[str, Kept]) -> Kept | None:
    """Which input channels of a layer are left; None for all."""
    sources = sources_of(layer)
    return kept.get(made[sources[0]]) if sources else None


def _cut(layer: Any, into: Kept | None, out: Kept | None) -> list[NDArray[np.float32]]:
    """The weights of a layer, for the channels that are left."""
    weights = layer.get_weights()
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [_taken(weight, out, 2 if weight.ndim > 1 else 0) for weight in weights]
    if isinstance(layer, keras.layers.BatchNormalization):
        return [_taken(weight, out, 0) for weight in weights]
    if not makes_channels(layer):
        raise ModelError(f"{layer.name}: a {type(layer).__name__} cannot be made narrower; expected a MobileNet")
    return [_taken(_taken(weight, into, 2) if weight.ndim > 1 else weight, out, -1) for weight in weights]


def _taken(weight: NDArray[np.float32], which: Kept | None, axis: int) -> NDArray[np.float32]:
    return weight if which is None else np.take(weight, which, axis=axis)


def _require_known(kept: Mapping[str, Kept], known: Mapping[str, Group]) -> None:
    for name, channels in kept.items():
        if name not in known:
            raise UsageError(f"no group of channels is called {name}; expected one of {', '.join(known)}")
        total = known[name].channels
        is_ascending = len(channels) > 0 and bool((np.diff(channels) > 0).all())
        if not is_ascending or channels[0] < 0 or channels[-1] >= total:
            raise UsageError(f"{name}: channels {list(channels)[:8]}; expected some of 0 to {total - 1}, ascending")
