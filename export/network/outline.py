"""What of a network decides how long it takes: its layers and their sizes, for any widths of its groups of channels.

In:  a flat Keras network; then how many channels its groups keep, and the side of its input.
Out: its layers, as a device's table of layers has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import ModelError
from edge.machine.layers import ConvLayer
from export.network.channels import groups, makers, sources_of
from training.network.keras import keras

STEM, POINTWISE, DEPTHWISE, ADD = KINDS = ("stem", "pointwise", "depthwise", "add")


@dataclass(frozen=True)
class _Step:
    """One layer of a network that has a time or changes the side of the map."""

    name: str
    kind: str  # "" takes no time of its own
    source: str  # name of the layer whose output it takes
    inputs: str  # group of the channels that go in; "" is the picture
    outputs: str  # group of the channels that come out
    kernel: int
    stride: int
    padding: int  # pixels on both edges together; -1: as many as keep the side

    def side(self, before: int) -> int:
        """Of the map that comes out."""
        if self.padding < 0:
            return -(-before // self.stride)
        return (before + self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Outline:
    """What of a network decides its time: made once, then asked for many widths and sizes."""

    steps: tuple[_Step, ...]
    channels: Mapping[str, int]  # of each group, and of the head and the picture

    @classmethod
    def of(cls, model: Any) -> Outline:
        """Raises ModelError for layers that no table has."""
        made = makers(model)
        channels = {"": int(model.input_shape[-1])} | {group.name: group.channels for group in groups(model)}
        for layer in model.layers:
            channels.setdefault(made[layer.name], int(layer.output_shape[-1]) if made[layer.name] else 0)
        return cls(tuple(_step(layer, made) for layer in model.layers if sources_of(layer)), channels)

    def layers(self, widths: Mapping[str, int], size: int) -> tuple[ConvLayer, ...]:
        """The layers, with so many channels left of each group that is named, at this side of the input."""
        channels = {**self.channels, **widths}
        sides: dict[str, int] = {}
        found = []
        for step in self.steps:
            side = sides[step.name] = step.side(sides.get(step.source, size))
            inputs, outputs = channels[step.inputs], channels[step.outputs]
            if step.kind == POINTWISE:
                found.append(ConvLayer(POINTWISE, side, inputs * step.kernel**2, outputs, 1))
            elif step.kind:
                found.append(ConvLayer(step.kind, side, inputs, outputs, step.stride))
        return tuple(found)


def _step(layer: Any, made: Mapping[str, str]) -> _Step:
    source = sources_of(layer)[0]
    kernel, stride, padding = _window(layer)
    return _Step(layer.name, _kind(layer), source, made[source], made[layer.name], kernel, stride, padding)


def _window(layer: Any) -> tuple[int, int, int]:
    """Kernel, stride and padding of a layer."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return 1, 1, sum(layer.padding[0])
    if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
        return layer.kernel_size[0], layer.strides[0], -1 if layer.padding == "same" else 0
    return 1, 1, 0


def _kind(layer: Any) -> str:
    if isinstance(layer, keras.layers.Add):
        return ADD
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        if layer.kernel_size != (3, 3):
            raise ModelError(
                f"{layer.name}: a depthwise kernel of {layer.kernel_size}; expected 3 x 3, as in MobileNets"
            )
        return DEPTHWISE
    if not isinstance(layer, keras.layers.Conv2D):
        return ""
    return STEM if layer.kernel_size == (3, 3) and layer.strides == (2, 2) else POINTWISE
