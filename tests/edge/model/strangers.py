"""Model files as others write them: the tiny model of tiny.py without a card, with or without the standard metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edge.tflite.archive import appended
from tests.edge.model import tiny

LABELS_FILE = "names.txt"
LABELS_TEXT = ("\n".join(tiny.LABELS) + "\n").encode()
HALF = 127.5
Fields = dict[int, Any]  # by field number


def told(
    *,
    mean: Sequence[float] = (HALF,),
    std: Sequence[float] = (HALF,),
    labels_file: str = LABELS_FILE,
    texts: Fields | None = None,
) -> bytes:
    """The content of the standard metadata; an empty mean or name is left out. `texts` are those of the whole model."""
    unit = {0: 1, 1: {0: np.array(mean, np.float32), 1: np.array(std, np.float32)}}  # NormalizationOptions
    files = [{0: "in German", 2: 2, 3: "de"}, {0: labels_file, 2: 2}]  # TENSOR_AXIS_LABELS, one of them in a language
    graph = {2: [{4: [unit] if len(mean) else []}], 3: [{6: files if labels_file else []}]}
    return encoded({3: [graph]} | (texts or {}), b"M001")


def encoded(fields: Fields, identifier: bytes) -> bytes:
    """A flatbuffer of tables (dict), vectors of tables (list) or of floats (array), texts and small numbers (int)."""
    builder = import_module("flatbuffers").Builder(256)
    builder.Finish(_built(builder, fields), identifier)
    return bytes(builder.Output())


def _built(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, list):
        offsets = [_built(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    offsets_by_field = {n: _built(builder, part) for n, part in value.items() if not isinstance(part, int)}
    builder.StartObject(max(value, default=-1) + 1)
    for n, part in value.items():
        if isinstance(part, int):
            builder.PrependInt8Slot(n, part, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(n, offsets_by_field[n], 0)
    return int(builder.EndObject())


def edited(content: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """A flatbuffer after `change(model, schema)`, both of the published schema's object form."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    change(model, schema)
    builder = import_module("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_metadata(content: bytes, metadata: bytes) -> bytes:
    def add(model: Any, schema: Any) -> None:
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(metadata, np.uint8)
        entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [entry]

    return edited(content, add)


def described(content: bytes, description: str) -> bytes:
    def describe(model: Any, schema: Any) -> None:
        model.description = description

    return edited(content, describe)


def logits(content: bytes) -> bytes:
    """The tiny model without its softmax: the mean red, green and blue come out, in the numbers that went in."""

    def cut(model: Any, schema: Any) -> None:
        graph = model.subgraphs[0]
        graph.operators, graph.outputs = graph.operators[:1], [2]

    return edited(content, cut)


def signed() -> bytes:
    """The tiny model with int8 at both borders: pixels less 128, with the same meaning."""

    def shift(model: Any, schema: Any) -> None:
        _, _, mean, answer = tensors = model.subgraphs[0].tensors
        for tensor in (tensors[0], mean):
            tensor.quantization.zeroPoint = [0]
        answer.quantization.zeroPoint = [-128]

    return edited(tiny.flatbuffer(dtype="INT8", output="INT8"), shift)


def rescaled(scale: float, zero_point: int) -> bytes:
    """The tiny model with another quantisation of its pixels."""

    def rescale(model: Any, schema: Any) -> None:
        for tensor in (model.subgraphs[0].tensors[0], model.subgraphs[0].tensors[2]):
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]

    return edited(tiny.flatbuffer(), rescale)


def with_map(answer: str, evidence: str, *, is_first: bool) -> bytes:
    """The tiny model with its pixels above 0 as a second output [1, N, N, 3]: as many channels as classes."""

    def widen(model: Any, schema: Any) -> None:
        graph, code = model.subgraphs[0], schema.OperatorCodeT()
        graph.tensors[3].name, graph.tensors[0].name = answer, "input"
        tensor, operator = copy(graph.tensors[0]), schema.OperatorT()
        tensor.name = evidence
        graph.tensors.append(tensor)
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
        operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), [0], [4]
        model.operatorCodes.append(code)
        graph.operators.append(operator)
        graph.outputs = [4, 3] if is_first else [3, 4]

    return edited(tiny.flatbuffer(), widen)


def convolution() -> bytes:
    """A float model with weights: a 3x3 convolution (stride 2, RELU6) before the mean and the softmax of tiny.py."""

    def convolve(model: Any, schema: Any) -> None:
        graph, code, convolution = model.subgraphs[0], schema.OperatorCodeT(), schema.OperatorT()
        half = tiny.SIZE // 2
        weights = np.random.default_rng(5).normal(size=(3, 3, 3, 3)).astype(np.float32)
        bias = np.zeros(3, np.float32)
        for name, shape, content in (
            ("kernel", [3, 3, 3, 3], weights), ("bias", [3], bias), ("features", [1, half, half, 3], None),
        ):  # fmt: skip
            tensor, buffer = schema.TensorT(), schema.BufferT()
            tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, schema.TensorType.FLOAT32, 0
            if content is not None:
                tensor.buffer, buffer.data = len(model.buffers), np.frombuffer(content.tobytes(), np.uint8)
                model.buffers.append(buffer)
            graph.tensors.append(tensor)
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
        code.version = 1
        convolution.opcodeIndex, convolution.inputs, convolution.outputs = len(model.operatorCodes), [0, 4, 5], [6]
        options = convolution.builtinOptions = schema.Conv2DOptionsT()
        convolution.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        options.strideW = options.strideH = 2
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
        model.operatorCodes.append(code)
        graph.operators.insert(0, convolution)
        graph.operators[1].inputs = [6, 1]

    return edited(tiny.flatbuffer(dtype="FLOAT32", output="FLOAT32"), convolve)


def write(path: Path, content: bytes | None = None, **entries: bytes) -> Path:
    """A model file with a zip of `entries` (two underscores stand for the dot); by default the list of labels."""
    files = {name.replace("__", "."): text for name, text in entries.items()} or {LABELS_FILE: LABELS_TEXT}
    path.write_bytes(appended(tiny.flatbuffer() if content is None else content, files))
    return path
