"""Doubt that grows with strangeness, which is how far the features of a picture are from the usual.

In:  pooled features (n, d) of training photos of the classes, as the quantised network computes them.
Out: a Subspace; `raise_unknown` and `divide_by_residual`, which build it into a flatbuffer as operators.

What lies outside the principal subspace of the training photos' features is large for pictures of other things (the
residual of ViM, Wang et al. 2022). Where the network has the class "unknown", the logarithm of it is added to the logit
of that class: the classes stay to each other as they are. Where it has not, all logits are divided by it: the order of
the classes stays, and the greatest probability tells known from unknown. STUDIES.md has the scores that this
was compared with, UNKNOWN.md the strengths and the numbers of directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from export.graph.edit import Pooled, dump, load, pooled, softmax_of

# isort: split
from tensorflow.lite.python import schema_py_generated as schema  # after export.graph.edit, which chooses Keras 2

COMPONENTS = 64  # of the subspace
PHOTOS_PER_COMPONENT, FEATURES_PER_COMPONENT = 10, 4  # with fewer, the directions are noise
DEQUANTIZE_INT8, DEQUANTIZE_FLOAT16 = 2, 3  # the first versions of the operator that take these
FLOOR = 0.5  # of the typical squared residual: hardly any picture is less strange, and none is believed for it
LARGEST = 127  # of a direction's entries as they are stored
NONE_SO_LOW = -1e9  # a logit
STRENGTH = 4.0  # what the logit of "unknown" gains where the squared residual grows e times


@dataclass(frozen=True, eq=False)  # arrays have no single answer to ==
class Subspace:
    """Where the features of training photos lie."""

    mean: NDArray[np.float32]  # (d,)
    steps: NDArray[np.int8]  # (k, d), whole steps of `scale`
    scale: float
    typical: float  # mean square of the residual over the training photos

    @property
    def components(self) -> int:
        return len(self.steps)

    @property
    def directions(self) -> NDArray[np.float64]:
        """(k, d), orthonormal but for rounding."""
        return self.steps.astype(np.float64) * self.scale

    def strangeness(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Squared residuals (n,) of features (n, d), 1 for a typical training photo, no less than the floor."""
        centred = features.astype(np.float64) - self.mean
        within = centred @ self.directions.T
        return np.asarray(np.maximum(((centred**2).sum(1) - (within**2).sum(1)) / self.typical, FLOOR), np.float64)


def subspace(features: NDArray[np.float32]) -> Subspace | None:
    """The principal subspace of features (n, d); None for too few of them to tell."""
    photos, width = features.shape
    components = min(COMPONENTS, photos // PHOTOS_PER_COMPONENT, width // FEATURES_PER_COMPONENT)
    if components < 1:
        return None
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    directions = vectors[:, ::-1][:, :components].T
    scale = float(np.float32(np.abs(directions).max() / LARGEST))
    steps = np.rint(directions / scale).astype(np.int8)
    within = centred @ (steps.T.astype(np.float64) * scale)
    typical = float(((centred**2).sum(axis=1) - (within**2).sum(axis=1)).mean())
    return Subspace(mean.astype(np.float32), steps, scale, typical) if typical > 0 else None


def has_features(flatbuffer: bytes) -> bool:
    """Whether a model has pooled features; all of ours have, some from elsewhere have not."""
    return pooled(load(flatbuffer)) is not None


def features_of(flatbuffer: bytes) -> bytes:
    """The model that puts out its pooled features, float32 (1, d), in place of probabilities. Raises ModelError."""
    model = load(flatbuffer)
    tail, found, graph = _Tail(model), _pooled(model), model.subgraphs[0]
    graph.operators = graph.operators[: graph.operators.index(found.operator)]
    graph.outputs, model.signatureDefs = [tail.features(found)], None
    return dump(model)


def divide_by_residual(flatbuffer: bytes, usual: Subspace) -> bytes:
    """The model whose softmax gets logits / residual, which is the root of the strangeness."""

    def divided(tail: _Tail, logits: int, strangeness: int, classes: tuple[int, ...]) -> int:
        doubt = tail.add("RSQRT", [strangeness], (1, 1))
        return tail.add("MUL", [logits, doubt], classes, "MulOptions")

    return _before_softmax(flatbuffer, usual, divided)


@dataclass(frozen=True)
class Raise:
    """What becomes of the logit of "unknown"."""

    index: int  # which one it is
    least: float  # it is no less: what it learned from may have been like none of what is strange here
    offset: float  # is added

    def of(self, logit: NDArray[np.float64], strangeness: NDArray[np.float64]) -> NDArray[np.float64]:
        """As the graph computes it, of each picture (n,)."""
        return np.asarray(np.maximum(logit, self.least) + STRENGTH * np.log(strangeness) + self.offset, np.float64)


def raise_unknown(flatbuffer: bytes, usual: Subspace, how: Raise) -> bytes:
    """The model whose logit of "unknown" grows with the logarithm of the strangeness."""

    def raised(tail: _Tail, logits: int, strangeness: int, classes: tuple[int, ...]) -> int:
        unit, least = np.zeros(classes, np.float32), np.full(classes, NONE_SO_LOW, np.float32)
        unit[..., how.index], least[..., how.index] = 1, how.least
        logits = tail.add("MAXIMUM", [logits, tail.constant(least, name="least")], classes, "MaximumMinimumOptions")
        logarithm = tail.add("LOG", [strangeness], (1, 1))
        strength = tail.constant(unit * np.float32(STRENGTH), name="strength")
        gained = tail.add("MUL", [strength, logarithm], classes, "MulOptions")
        constant = tail.constant(unit * np.float32(how.offset), name="offset")
        gained = tail.add("ADD", [gained, constant], classes, "AddOptions")
        return tail.add("ADD", [logits, gained], classes, "AddOptions")

    return _before_softmax(flatbuffer, usual, raised)


def _before_softmax(
    flatbuffer: bytes, usual: Subspace, change: Callable[[_Tail, int, int, tuple[int, ...]], int]
) -> bytes:
    """The model whose softmax gets what `change` makes of (logits, strangeness), all of it float32."""
    model = load(flatbuffer)
    graph, softmax, found = model.subgraphs[0], softmax_of(model), _pooled(model)
    at = graph.operators.index(softmax)
    behind, graph.operators = graph.operators[at + 1 :], graph.operators[:at]
    tail, logits = _Tail(model), int(softmax.inputs[0])
    classes = tuple(int(side) for side in graph.tensors[logits].shape)
    strangeness = tail.residual(tail.features(found), usual)
    softmax.inputs = [change(tail, tail.real(logits), strangeness, classes)]
    graph.operators.append(softmax)
    old = int(softmax.outputs[0])
    if graph.tensors[old].type != schema.TensorType.FLOAT32:
        softmax.outputs = [tail.tensor(classes, "probabilities_float32")]
        for operator in behind:
            operator.inputs = [softmax.outputs[0] if int(index) == old else index for index in operator.inputs]
    graph.operators += behind
    return dump(model)


def _pooled(model: Any) -> Pooled:
    found = pooled(model)
    if found is None:
        raise ModelError("no pooled features before the softmax; expected a mean or a fully connected layer on a row")
    return found


class _Tail:
    """Appends float32 operators, and the tensors they write, to the end of a graph."""

    def __init__(self, model: Any) -> None:
        self._model, self._graph = model, model.subgraphs[0]

    def features(self, found: Pooled) -> int:
        """Features averaged over all places, float32 (1, d)."""
        if found.axes is None:
            return self.real(found.features)
        source = self._graph.tensors[found.features]
        width = int(source.shape[-1])
        averaged = self.add("MEAN", [found.features, found.axes], (1, width), "ReducerOptions", like=source)
        return self.real(averaged)

    def residual(self, features: int, usual: Subspace) -> int:
        """The squared residual over that of a typical photo, (1, 1), no less than the floor."""
        width = len(usual.mean)
        last = self.constant(np.array([1], np.int32), "INT32", "last_axis")
        centred = self.add("SUB", [features, self.constant(usual.mean[None], name="mean")], (1, width), "SubOptions")
        stored = self.constant(usual.steps, "INT8", "directions", usual.scale)
        directions = self.real(stored)
        within = self.add("FULLY_CONNECTED", [centred, directions, -1], (1, usual.components), "FullyConnectedOptions")
        squares = [self._square_sum(tensor, last) for tensor in (centred, within)]
        outside = self.add("SUB", squares, (1, 1), "SubOptions")
        unit = self.constant(np.array([[1 / usual.typical]], np.float32), name="typical")
        relative = self.add("MUL", [outside, unit], (1, 1), "MulOptions")
        floor = self.constant(np.array([[FLOOR]], np.float32), name="floor")
        return self.add("MAXIMUM", [relative, floor], (1, 1), "MaximumMinimumOptions")

    def _square_sum(self, tensor: int, last: int) -> int:
        shape = tuple(int(side) for side in self._graph.tensors[tensor].shape)
        squares = self.add("MUL", [tensor, tensor], shape, "MulOptions")
        return self.add("SUM", [squares, last], (1, 1), "ReducerOptions", keepDims=True)

    def real(self, tensor: int) -> int:
        """The tensor as float32."""
        source = self._graph.tensors[tensor]
        if source.type == schema.TensorType.FLOAT32:
            return tensor
        version = DEQUANTIZE_FLOAT16 if source.type == schema.TensorType.FLOAT16 else DEQUANTIZE_INT8
        return self.add("DEQUANTIZE", [tensor], tuple(int(side) for side in source.shape), version=version)

    def add(
        self, name: str, inputs: list[int], shape: tuple[int, ...], options: str = "", *,
        version: int = 1, like: Any = None, **values: Any,
    ) -> int:  # fmt: skip
        """Append an operator; returns its output, float32 unless it is to be of the type of `like`."""
        output = self.tensor(shape, f"residual/{name.lower()}_{len(self._graph.tensors)}", like)
        operator = schema.OperatorT()
        if like is not None and like.type != schema.TensorType.FLOAT32:
            version = 2  # the first that takes int8
        operator.opcodeIndex, operator.inputs, operator.outputs = self._code(name, version), inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self._graph.operators.append(operator)
        return output

    def tensor(self, shape: tuple[int, ...], name: str, like: Any = None) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), schema.TensorType.FLOAT32
        if like is not None:
            tensor.type, tensor.quantization = like.type, like.quantization
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, values: NDArray[Any], kind: str = "FLOAT32", name: str = "", scale: float = 0.0) -> int:
        """`scale` is that of integers, in steps from 0."""
        index = self.tensor(values.shape, f"residual/{name}")
        tensor, buffer = self._graph.tensors[index], schema.BufferT()
        buffer.data = np.frombuffer(
            np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes(), np.uint8
        )
        tensor.type, tensor.buffer = getattr(schema.TensorType, kind), len(self._model.buffers)
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
        self._model.buffers.append(buffer)
        return index

    def _code(self, name: str, version: int) -> int:
        wanted = getattr(schema.BuiltinOperator, name)
        for index, code in enumerate(self._model.operatorCodes):
            if (max(code.builtinCode, code.deprecatedBuiltinCode), code.version) == (wanted, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), version
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1
