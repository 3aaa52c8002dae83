"""A model small enough to check by hand: the answer is the softmax of a picture's mean red, green and blue.

In:  uint8 RGB [1, N, N, 3], scale 1/127.5 and zero point 128, as in a real file.
Out: uint8 [1, 3], scale 1/256: softmax(BETA * mean colour), the mean in -1 to 1.

It is put together with the runtime's own flatbuffer schema, so no test of the device side needs TensorFlow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.model.card import Accuracy, ModelCard, labels_text, pack

LABELS = ("red", "green", "blue")
SIZE = 32  # pixels
BETA = 8.0
COLOURS_BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
PIXELS, PROBABILITIES = (1 / 127.5, 128), (1 / 256, 0)


def flatbuffer(
    shape: Sequence[int] = (1, SIZE, SIZE, 3),
    *,
    dtype: str = "UINT8",
    output: str = "UINT8",
    keep_dims: bool = False,
    beta: float = BETA,
    probabilities: tuple[float, int] = PROBABILITIES,
) -> bytes:
    """MEAN over height and width, SOFTMAX, and DEQUANTIZE when `output` is FLOAT32."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    reduced = [shape[0], 1, 1, shape[3]] if keep_dims else [shape[0], shape[3]]
    tensors = [
        _tensor(schema, "pixels", shape, dtype, PIXELS),
        _tensor(schema, "axes", (2,), "INT32", None, buffer=1),
        _tensor(schema, "mean", reduced, dtype, PIXELS),
        _tensor(schema, "answer", reduced, dtype, probabilities),
    ]
    operators = [
        _operator(schema, 0, [0, 1], 2, "ReducerOptions", keepDims=keep_dims),
        _operator(schema, 1, [2], 3, "SoftmaxOptions", beta=beta),
    ]
    if output != dtype:
        tensors.append(_tensor(schema, "dequantized", reduced, output, None))
        operators.append(_operator(schema, 2, [3], 4, "DequantizeOptions"))
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [len(tensors) - 1]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [_code(schema, name) for name in ("MEAN", "SOFTMAX", "DEQUANTIZE")]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(np.array([1, 2], np.int32).tobytes(), np.uint8)
    builder = import_module("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def card(content: bytes, labels: Sequence[str] = LABELS, **changes: Any) -> ModelCard:
    """A card that fits a flatbuffer, but for `changes`."""
    names = tuple(labels)
    fields: dict[str, Any] = {
        "labels": names,
        "input_size": SIZE,
        "variant": "int8",
        "sha256": hashlib.sha256(content).hexdigest(),
        "labels_sha256": hashlib.sha256(labels_text(names)).hexdigest(),
        "accuracy": Accuracy(0.9, 0.85, 0.94, 100),
        "float_accuracy": None,
        "calibration": None,
        "rejection": None,
        "golden": (),
        "flatbuffer_bytes": len(content),
        "multiply_adds": 0,
        "minimum_runtime": {},
        "manifest_sha256": "0" * 64,
        "config_sha256": "1" * 64,
        "tools": {"numpy": "2.0"},
        "created": "2026-01-31",
        "licence": "CC0-1.0",
        "attribution": "nobody",
    }
    return ModelCard(**(fields | changes))


def write_model(path: Path, content: bytes | None = None, labels: Sequence[str] = LABELS, **changes: Any) -> Path:
    """A model file with its card."""
    content = flatbuffer() if content is None else content
    path.write_bytes(pack(content, card(content, labels, **changes)))
    return path


def plain(colour: str, size_wh: tuple[int, int] = (SIZE, SIZE)) -> NDArray[np.uint8]:
    """A frame of one colour, BGR uint8 (H, W, 3)."""
    return np.full((size_wh[1], size_wh[0], 3), COLOURS_BGR[colour], np.uint8)


def write_photo(path: Path, colour: str, size_wh: tuple[int, int] = (48, 40)) -> Path:
    """A picture file of one colour; the name's ending says of which kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, plain(colour, size_wh))[1].tobytes())
    return path


def expected(rgb: NDArray[np.uint8], beta: float = BETA) -> NDArray[np.float64]:
    """What the model answers to an RGB picture (N, N, 3), but for rounding."""
    mean = (rgb.reshape(-1, 3).mean(axis=0) - PIXELS[1]) * PIXELS[0]
    powers = np.exp(beta * (mean - mean.max()))
    return np.asarray(powers / powers.sum(), np.float64)


def _tensor(
    schema: Any, name: str, shape: Sequence[int], dtype: str, quantization: tuple[float, int] | None, buffer: int = 0
) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.type = getattr(schema.TensorType, dtype)
    if quantization and dtype != "FLOAT32":
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [quantization[0]], [quantization[1]]
    return tensor


def _operator(schema: Any, code: int, inputs: list[int], output: int, options: str, **values: Any) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, options + "T")()
    for name, value in values.items():
        setattr(operator.builtinOptions, name, value)
    return operator


def _code(schema: Any, name: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = 1
    return code
