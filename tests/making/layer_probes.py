"""Write edge/models/layers.zip: the probes that `flora benchmark --layers` times.

In:  where to write; a path.
Out: a deflated zip of int8 networks as `edge.machine.layers` reads them: single layers, several times side by side on
     one input, and MobileNetV2s, whole and slimmed, without their last softmax. All weights are zero, so that they
     deflate to nothing: the kernels of int8 are dense and take as long for zeros as for other numbers.

The grid holds the sides and the numbers of channels that a MobileNetV2 of 96 to 224 pixels has, whole or slimmed. All
are put together with the runtime's own flatbuffer schema: the converter would take minutes and choose scales by data.

example: python -m tests.making.layer_probes edge/models/layers.zip
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base.files import write_atomically
from edge.machine.layers import NETWORKS, SUFFIX, ConvLayer, Probe, single

schema: Any = import_module("ai_edge_litert.schema_py_generated")

SCALE = 1 / 127.5  # of every activation, whatever its meaning
WEIGHT_SCALE = 0.01
RELU6 = 3
CODES = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "ADD": 2, "QUANTIZE": 1}  # operators and their versions
WORK = 4_000_000  # multiply-adds that a probe's copies make up together, so that a call's own time weighs little
MOST_COPIES = 8
SAME_DATE = (1980, 1, 1, 0, 0, 0)  # the same probes make the same bytes

STREAM = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)  # channels between the blocks
STRIDES = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)
FULL = tuple(6 * width for width in STREAM[:-1])
SHAPES: dict[str, tuple[int, int, Sequence[int], int]] = {  # size, stem, widths inside the blocks, last
    "full_224": (224, 32, FULL, 1280),
    "full_144": (144, 32, FULL, 1280),
    "half_192": (192, 16, [width // 2 for width in FULL], 640),
    "late_128": (128, 16, [32, 48, 48, 96, 96, 96, 256, 256, 256, 256, 384, 384, 384, 960, 960, 960], 960),
    "early_160": (160, 16, [48, 96, 96, 128, 128, 128, 128, 128, 128, 128, 192, 192, 192, 256, 256, 256], 320),
    "third_128": (128, 16, [32, 48, 48, 64, 64, 64, 128, 128, 128, 192, 192, 192, 192, 320, 320, 320], 480),
    "thin_96": (96, 8, [32, 32, 32, 48, 48, 48, 96, 96, 96, 96, 128, 128, 128, 192, 192, 192], 320),
}


def grid() -> tuple[Probe, ...]:
    """The probes, each once."""
    layers = [*_stems(), *_depthwise(), *_pointwise(), *_adds()]
    networks = [Probe(name + SUFFIX, tuple(mobilenet(*shape))) for name, shape in SHAPES.items()]
    return (*(single(layer, _copies(layer)) for layer in layers), *networks)


def mobilenet(size: int, stem: int, widths: Sequence[int], last: int) -> Iterator[ConvLayer]:
    """The layers of a MobileNetV2 with five classes; `widths` are the channels inside its blocks but for the first."""
    side = size // 2
    yield ConvLayer("stem", side, 3, stem, 2)
    yield ConvLayer("depthwise", side, stem, stem, 1)
    yield ConvLayer("pointwise", side, stem, STREAM[0], 1)
    for before, after, width, stride in zip(STREAM, STREAM[1:], widths, STRIDES, strict=False):
        yield ConvLayer("pointwise", side, before, width, 1)
        side = -(-side // stride)
        yield ConvLayer("depthwise", side, width, width, stride)
        yield ConvLayer("pointwise", side, width, after, 1)
        if stride == 1 and before == after:
            yield ConvLayer("add", side, after, after, 1)
    yield ConvLayer("pointwise", side, STREAM[-1], last, 1)
    yield ConvLayer("pointwise", side, last, 5, 1)


def _stems() -> Iterator[ConvLayer]:
    for side, widths in {112: (16, 32), 80: (8, 16, 24, 32), 64: (8, 16, 32), 48: (8, 16, 32)}.items():
        yield from (ConvLayer("stem", side, 3, width, 2) for width in widths)


def _depthwise() -> Iterator[ConvLayer]:
    same = {112: (16, 32), 80: (8, 16, 32), 64: (16, 32), 56: (72, 144), 48: (16, 32), 40: (48, 144), 32: (48, 96),
            28: (64, 192), 20: (64, 192), 16: (32, 96), 14: (128, 384), 10: (96, 256, 576), 8: (64, 192, 384),
            7: (320, 960), 5: (480, 960), 4: (192, 480), 3: (320, 768)}  # fmt: skip
    halving = {56: (32, 96), 40: (24, 48, 96), 32: (32, 64), 28: (48, 144), 20: (48, 144), 16: (32, 96), 14: (64, 192),
               10: (64, 192), 8: (48, 128), 7: (192, 576), 5: (192, 576), 4: (192, 384)}  # fmt: skip
    for stride, widths_of in ((1, same), (2, halving)):
        for side, widths in widths_of.items():
            yield from (ConvLayer("depthwise", side, width, width, stride) for width in widths)


def _pointwise() -> Iterator[ConvLayer]:
    pairs = {
        112: ((32, 16), (16, 16), (16, 32), (16, 96)), 80: ((16, 16), (16, 32), (32, 16), (16, 96)),
        64: ((16, 16), (16, 24), (16, 48)), 56: ((96, 24), (24, 144), (32, 24), (144, 24)),
        48: ((16, 16), (16, 32), (16, 96)), 40: ((48, 24), (24, 48), (24, 144), (144, 24)),
        32: ((32, 24), (24, 48), (48, 16), (24, 96)), 28: ((64, 32), (32, 192), (192, 32), (32, 64)),
        20: ((64, 32), (32, 64), (32, 192), (192, 32)), 16: ((48, 32), (32, 48), (32, 96), (128, 32)),
        14: ((64, 384), (384, 64), (96, 288), (128, 64)), 10: ((64, 128), (128, 64), (64, 384), (256, 96), (96, 576)),
        8: ((64, 64), (64, 192), (192, 96), (96, 288)), 7: ((160, 960), (960, 160), (320, 1280), (480, 160)),
        5: ((160, 320), (384, 160), (160, 960), (320, 640)), 4: ((160, 320), (480, 160), (320, 640), (768, 320)),
        3: ((160, 320), (320, 512), (320, 160)),
    }  # fmt: skip
    for side, sizes in pairs.items():
        yield from (ConvLayer("pointwise", side, inputs, outputs, 1) for inputs, outputs in sizes)


def _adds() -> Iterator[ConvLayer]:
    for side, width in ((56, 24), (32, 24), (28, 32), (14, 64), (8, 96), (7, 160), (1, 8)):
        yield ConvLayer("add", side, width, width, 1)


def _copies(layer: ConvLayer) -> int:
    taps = {"stem": 27, "pointwise": layer.inputs, "depthwise": 72, "add": 9}[
        layer.kind
    ]  # of depthwise each counts as 8
    return 1 if layer.kind == "stem" else max(1, min(MOST_COPIES, WORK // (layer.side**2 * layer.outputs * taps)))


def network(probe: Probe, weights: np.random.Generator | None = None) -> bytes:
    """The flatbuffer of a probe; `weights` draws random ones in place of zeros."""
    first = probe.layers[0]
    drawn = _Drawing(first.side * first.stride, first.inputs, "UINT8" if first.kind == "stem" else "INT8", weights)
    if len(probe.layers) > 1:
        for layer in probe.layers:
            drawn.outputs = [drawn.layer(layer, drawn.outputs[0])]
    else:
        drawn.outputs = [drawn.layer(first, drawn.input) for _ in range(probe.copies)]
    return drawn.finished()


class _Drawing:
    """A graph, drawn layer by layer. Tensors are known by their numbers."""

    def __init__(self, side: int, channels: int, dtype: str, weights: np.random.Generator | None) -> None:
        self._graph, self._model, self._weights = schema.SubGraphT(), schema.ModelT(), weights
        self._graph.tensors, self._graph.operators, self._model.buffers = [], [], [schema.BufferT()]
        self.input = self._activation(side, channels, dtype)
        self.outputs = [self.input]

    def finished(self) -> bytes:
        self._graph.inputs, self._graph.outputs = [self.input], self.outputs
        self._model.version, self._model.subgraphs = 3, [self._graph]
        self._model.operatorCodes = [_code(name, version) for name, version in CODES.items()]
        builder = import_module("flatbuffers").Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def layer(self, layer: ConvLayer, source: int) -> int:
        """Draw a layer that takes `source`; the tensor that it makes."""
        if layer.kind == "stem":
            pixels = self._activation(layer.side * layer.stride, layer.inputs)
            self._operator("QUANTIZE", [source], pixels)
            source = pixels
        made = self._activation(layer.side, layer.outputs)
        if layer.kind == "add":
            self._operator("ADD", [source, self._like(source)], made, "AddOptions")
        else:
            self._convolution(layer, source, made)
        return made

    def _like(self, source: int) -> int:
        """The last tensor of the same shape before this one: where a residual begins. None: the tensor itself."""
        shapes = [tensor.shape for tensor in self._graph.tensors]
        return next((i for i in range(source - 1, -1, -1) if shapes[i] == shapes[source]), source)

    def _convolution(self, layer: ConvLayer, source: int, made: int) -> None:
        is_depthwise, side = layer.kind == "depthwise", 1 if layer.kind == "pointwise" else 3
        shape = (1, side, side, layer.outputs) if is_depthwise else (layer.outputs, side, side, layer.inputs)
        kernel = (
            np.zeros(shape, np.int8) if self._weights is None else self._weights.integers(-127, 128, shape, np.int8)
        )
        inputs = [
            source,
            self._constant(kernel, "INT8", WEIGHT_SCALE, 3 if is_depthwise else 0),
            self._constant(np.zeros(layer.outputs, np.int32), "INT32", WEIGHT_SCALE * SCALE, 0),
        ]
        options = {"strideH": layer.stride, "strideW": layer.stride, "dilationHFactor": 1, "dilationWFactor": 1}
        if is_depthwise:
            self._operator(
                "DEPTHWISE_CONV_2D", inputs, made, "DepthwiseConv2DOptions",
                fusedActivationFunction=RELU6, depthMultiplier=1, **options,
            )  # fmt: skip
        else:
            self._operator("CONV_2D", inputs, made, "Conv2DOptions", fusedActivationFunction=RELU6, **options)

    def _activation(self, side: int, channels: int, dtype: str = "INT8") -> int:
        zero_point = 128 if dtype == "UINT8" else 0
        return self._tensor((1, side, side, channels), dtype, [SCALE], [zero_point], axis=0, buffer=0)

    def _constant(self, values: NDArray[Any], dtype: str, scale: float, axis: int) -> int:
        """A kernel or a bias, quantised per channel."""
        buffer, count = schema.BufferT(), values.shape[axis]
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        number = len(self._model.buffers) - 1
        return self._tensor(values.shape, dtype, [scale] * count, [0] * count, axis=axis, buffer=number)

    def _tensor(
        self, shape: Sequence[int], dtype: str, scales: list[float], zeros: list[int], *, axis: int, buffer: int
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"t{len(self._graph.tensors)}", list(shape), buffer
        tensor.type = getattr(schema.TensorType, dtype)
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zeros
        tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, name: str, inputs: list[int], output: int, options: str = "", **values: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = list(CODES).index(name), inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, options + "T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self._graph.operators.append(operator)


def _code(name: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    return code


def main(path: str) -> None:
    packed, probes = io.BytesIO(), grid()
    networks = {probe.name: [astuple(layer) for layer in probe.layers] for probe in probes if len(probe.layers) > 1}
    entries = {NETWORKS: json.dumps(networks).encode()} | {probe.name: network(probe) for probe in probes}
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, SAME_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    write_atomically(Path(path), packed.getvalue())
    print(f"{path}: {len(probes)} probes, {packed.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
