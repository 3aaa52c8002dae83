"""Edits of a finished flatbuffer: temperature, logits, names, class evidence map, standard metadata.

In:  a TFLite flatbuffer of ours, of any variant, and without an appended zip, which an edit would drop.
Out: another one. Weights stay bit for bit as they are, and so do answers, but for what the edit is meant to change.

The end of our graphs: 1x1 convolution (evidence) -> mean (logits) -> softmax (-> quantize to uint8). A network from
elsewhere may have a fully connected layer (logits) before the softmax, and then no map.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

import training.network.keras  # noqa: F401 - chooses Keras 2, before TensorFlow is imported
from edge.base.text import first_line
from edge.errors import ModelError
from edge.model.foreign import OURS
from edge.model.interpreter import ANSWER, EVIDENCE
from export.graph.metadata import METADATA, About, model_metadata

# isort: split
from tensorflow.lite.python import schema_py_generated as schema

IDENTIFIER = b"TFL3"
PIXELS = "pixels"
ALIGNMENT = 16  # bytes; the schema asks it of every buffer, and kernels read weights in such blocks
SIGNATURE = "serving_default"
DEQUANTIZE_VERSION = 2  # the first that takes int8
RESCALING = ("MUL", "DEQUANTIZE")  # what a residual puts between the mean and the softmax
KINDS = ("MEAN", "CONV_2D", "FULLY_CONNECTED", *RESCALING)
WIDEST_ROW = 2048  # features; more are a flattened map, and too many for a covariance matrix
TEMPERATURES = (0.01, 100.0)  # outside, something else is wrong


_Builder: Any = import_module("flatbuffers").Builder


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data begins at a multiple of 16 bytes: the generated code ignores that the schema asks for it."""

    def Pack(self, builder: Any) -> Any:  # the generated code's name
        data = None
        if self.data is not None:
            content = bytes(np.asarray(self.data, np.uint8))
            builder.Prep(ALIGNMENT, len(content))
            data = builder.CreateByteVector(content)
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _SharingBuilder(_Builder):
    """Writes equal vectors of zero points once: eight bytes a channel, nearly all of them 0, are 9 % of a file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.written: dict[bytes, Any] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> Any:  # flatbuffers' name
        if x.dtype != np.int64:
            return super().CreateNumpyVector(x)
        content = x.tobytes()
        if content not in self.written:
            self.written[content] = super().CreateNumpyVector(x)
        return self.written[content]


def set_temperature(flatbuffer: bytes, temperature: float) -> bytes:
    """The model whose softmax divides logits by `temperature`, whatever it was before: beta = 1 / temperature."""
    low, high = TEMPERATURES
    if not (math.isfinite(temperature) and low <= temperature <= high):
        raise ModelError(
            f"temperature {temperature}: expected {low} to {high}; look at the validation photos, or export without one"
        )
    model = load(flatbuffer)
    softmax_of(model).builtinOptions.beta = 1.0 / temperature
    return dump(model)


def logits(flatbuffer: bytes) -> bytes:
    """The model that puts out what goes into the softmax, float32 (1, num_classes), in place of probabilities."""
    model = load(flatbuffer)
    graph = model.subgraphs[0]
    softmax = softmax_of(model)
    output = int(softmax.inputs[0])
    graph.operators = graph.operators[: graph.operators.index(softmax)]
    if graph.tensors[output].type != schema.TensorType.FLOAT32:
        output = _dequantize(model, output)
    graph.outputs, model.signatureDefs = [output], None
    return dump(model)


def finish(flatbuffer: bytes, labels: Sequence[str], about: About, *, has_evidence: bool = False) -> bytes:
    """The model with our names for its borders, what it is in standard metadata, and the evidence map if asked for.

    The map is output 1, (1, h, w, num_classes), as the 1x1 convolution has it: int8 in an int8 model. Raises
    ModelError when the number of labels is not that of the outputs, or the graph does not end as ours do.
    """
    model = load(flatbuffer)
    graph = model.subgraphs[0]
    pixels, probabilities = int(graph.inputs[0]), int(graph.outputs[0])
    _require_labels(graph.tensors[probabilities], labels)
    outputs = {ANSWER: probabilities} | ({EVIDENCE: _evidence(model)} if has_evidence else {})
    for name, index in ({PIXELS: pixels} | outputs).items():
        _rename(graph, index, name)
    graph.outputs = list(outputs.values())
    model.signatureDefs = [_signature({PIXELS: pixels}, outputs)]
    model.description = f"{OURS} {about.name}: {about.description}"
    size = int(graph.tensors[pixels].shape[1])
    _set_metadata(model, METADATA, model_metadata(about, size, has_evidence=has_evidence))
    return dump(model)


def compact(flatbuffer: bytes) -> bytes:
    """The same model with equal zero points written once: a converter writes them for each channel of each layer."""
    return dump(load(flatbuffer))


def load(flatbuffer: bytes) -> Any:
    """The object form of a flatbuffer. Raises ModelError for what is none."""
    try:
        if flatbuffer[4:8] != IDENTIFIER:
            raise ValueError(f"{len(flatbuffer)} bytes without the mark {IDENTIFIER.decode()}")
        return schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    except (ValueError, struct.error, IndexError, TypeError, OverflowError) as error:
        # The generated reader checks nothing, and fails in the way of whatever it stumbles over.
        raise ModelError(
            f"not a TFLite model that can be edited ({first_line(error)}); expected one converted by: flora export"
        ) from error


def dump(model: Any) -> bytes:
    buffers = model.buffers
    model.buffers = [_AlignedBuffer(buffer.data) for buffer in buffers]
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in buffers)
    builder = _SharingBuilder(size + size // 4 + 4096)  # grown by doubling, it would copy itself
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _operators(model: Any, name: str) -> list[Any]:
    code = getattr(schema.BuiltinOperator, name)
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    return [operator for operator in model.subgraphs[0].operators if codes[operator.opcodeIndex] == code]


def softmax_of(model: Any) -> Any:
    found = _operators(model, "SOFTMAX")
    if len(found) != 1:
        raise ModelError(
            f"the graph has {len(found)} softmax operators, expected 1, at its end; train with: flora train"
        )
    return found[0]


def maker(model: Any, tensor: int, name: str) -> Any:
    """The operator `name` that a tensor comes from, seen through what rescales it. Raises ModelError."""
    operator = _source(model, tensor)
    if operator is None or _kind(model, operator) != name:
        raise ModelError(
            f"the graph does not end in convolution, mean, softmax: no {name} there, and so no map of evidence; "
            "leave out --evidence, or train with: flora train"
        )
    return operator


@dataclass(frozen=True)
class Pooled:
    """Where a graph has the features that its classifier is given, by numbers of tensors."""

    operator: Any  # that needs them first
    features: int  # (1, h, w, d) to be averaged, or (1, d)
    axes: int | None  # to average over; None: they are (1, d) already


def pooled(model: Any) -> Pooled | None:
    """The features before the softmax: of mean and 1x1 convolution, or of a fully connected layer; None for others."""
    last = _source(model, int(softmax_of(model).inputs[0]))
    kind = last and _kind(model, last)
    if kind == "FULLY_CONNECTED":
        shape = model.subgraphs[0].tensors[int(last.inputs[0])].shape
        return Pooled(last, int(last.inputs[0]), None) if len(shape) == 2 and shape[1] <= WIDEST_ROW else None
    before = _source(model, int(last.inputs[0])) if kind == "MEAN" else None
    if before is None or _kind(model, before) != "CONV_2D":
        return None
    return Pooled(last, int(before.inputs[0]), int(last.inputs[1]))


def _source(model: Any, tensor: int) -> Any:
    """The operator that a tensor comes from, seen through what rescales it; None for an input or a constant."""
    while True:
        found = [operator for operator in model.subgraphs[0].operators if tensor in operator.outputs]
        if not found or _kind(model, found[0]) not in RESCALING:
            return found[0] if found else None
        tensor = int(found[0].inputs[0])


def _evidence(model: Any) -> int:
    """The tensor that the mean before the softmax averages: the output of the 1x1 convolution."""
    evidence = int(maker(model, int(softmax_of(model).inputs[0]), "MEAN").inputs[0])
    maker(model, evidence, "CONV_2D")
    return evidence


def _kind(model: Any, operator: Any) -> str | None:
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next((name for name in KINDS if getattr(schema.BuiltinOperator, name) == number), None)


def _dequantize(model: Any, tensor: int) -> int:
    """Append the operator that turns a quantised tensor into float32; returns its output."""
    graph, code = model.subgraphs[0], schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = DEQUANTIZE_VERSION
    output = schema.TensorT()
    output.name, output.shape, output.type = "logits", graph.tensors[tensor].shape, schema.TensorType.FLOAT32
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), [tensor], [len(graph.tensors)]
    model.operatorCodes.append(code)
    graph.tensors.append(output)
    graph.operators.append(operator)
    return len(graph.tensors) - 1


def _require_labels(output: Any, labels: Sequence[str]) -> None:
    classes = int(output.shape[-1])
    if classes != len(labels):
        raise ModelError(f"{len(labels)} labels for a model with {classes} outputs; expected as many; train it again")


def _rename(graph: Any, index: int, name: str) -> None:
    """Give a tensor its name, and take it from any other that happened to have it."""
    for number, tensor in enumerate(graph.tensors):
        if tensor.name in (name, name.encode()):
            tensor.name = f"{name}:{number}"
    graph.tensors[index].name = name


def _signature(inputs: dict[str, int], outputs: dict[str, int]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
    signature.inputs, signature.outputs = _tensor_map(inputs), _tensor_map(outputs)
    return signature


def _tensor_map(tensors: dict[str, int]) -> list[Any]:
    entries = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    return entries


def _set_metadata(model: Any, name: str, content: bytes) -> None:
    """Put an entry among the model's metadata, in place of one of that name."""
    data = np.frombuffer(content, np.uint8)
    model.metadata = model.metadata or []
    for entry in model.metadata:
        if entry.name == name.encode():
            model.buffers[entry.buffer].data = data
            return
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer, buffer.data = name, len(model.buffers), data
    model.metadata.append(entry)
    model.buffers.append(buffer)
