"""What is inside a TFLite flatbuffer, told without running it.

In:  the flatbuffer's bytes, from anywhere.
Out: Anatomy: inputs and outputs, operators with versions, multiply-adds, parameters, sparsity, metadata entries.

Field numbers are those of the published schema (tensorflow/lite/schema/schema.fbs).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.tflite.flatbuffer import TFLITE, Damaged, Table, root
from edge.tflite.runtimes import CUSTOM, OPERATORS, Operator

# No real model comes near these; they keep a crafted one from costing minutes or gigabytes.
MOST_AXES, MOST_LINKS, MOST_METADATA = 16, 1 << 18, 1 << 24
DTYPES = (  # in the order of the schema's TensorType
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
STORED = {"float32": "<f4", "float16": "<f2", "uint8": "u1", "int8": "i1", "int16": "<i2", "bfloat16": "<u2"}
KERNEL_AXES = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 2}  # the layers that are counted
PASSING_ON = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE"})  # they leave the numbers' meaning alone


@dataclass(frozen=True)
class Tensor:
    """An input or an output."""

    name: str
    shape: tuple[int, ...]
    dtype: str  # as "uint8"
    scale: float | None  # None: not quantised as a whole
    zero_point: int | None


@dataclass(frozen=True)
class Layer:
    """One convolution, depthwise convolution or fully connected layer, in the order of execution."""

    name: str  # of its kernel
    operator: str
    kernel: tuple[int, ...]
    multiply_adds: int  # for one run of the model
    parameters: int  # of the kernel
    zeros: int  # of these parameters


@dataclass(frozen=True)
class Anatomy:
    """What one flatbuffer holds. Names and texts are the file's own and may hold any character."""

    description: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    output_operators: tuple[str, ...]  # what computes each output, seen through changes of type and shape; "": nothing
    operators: tuple[Operator, ...]
    layers: tuple[Layer, ...]
    parameters: int  # of the layers' kernels and biases
    softmax_beta: float | None  # of the last softmax, whose temperature is 1 / beta
    metadata: dict[str, bytes]

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Share of zeros in all kernels together."""
        parameters = sum(layer.parameters for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / parameters if parameters else 0.0


def dissect(flatbuffer: bytes, name: str) -> Anatomy:
    """Take a flatbuffer apart; `name` is for the message. Raises ModelError when it is damaged."""
    try:
        return _Reader(root(flatbuffer, TFLITE)).anatomy()
    except Damaged as error:
        raise ModelError(f"{name}: its flatbuffer is damaged ({error}); copy it again, or export it again") from error


class _Reader:
    """The tables of one model, each read once."""

    def __init__(self, model: Table) -> None:
        self._model = model
        self._codes = [_code(table) for table in model.tables(1)]
        self._buffers = model.tables(4)
        self._used: Counter[int] = Counter()  # operators by index of their code
        self._layers: list[Layer] = []
        self._zeros: dict[tuple[int, str, int], int] = {}  # by buffer, dtype and zero point; buffers are shared
        self._biases = 0
        self._beta: float | None = None

    def anatomy(self) -> Anatomy:
        graphs = [_Graph(table) for table in self._model.tables(2)]
        if not graphs:
            raise Damaged("it holds no graph")
        for graph in graphs:
            self._count(graph)
        main = graphs[0]
        operators = [
            Operator(name, version, self._used[i], is_custom)
            for i, (name, version, is_custom) in enumerate(self._codes)
        ]
        return Anatomy(
            self._model.string(3),
            tuple(main.tensor(i).public() for i in main.inputs),
            tuple(main.tensor(i).public() for i in main.outputs),
            tuple(self._maker(main, i) for i in main.outputs),
            tuple(operators),
            tuple(self._layers),
            sum(layer.parameters for layer in self._layers) + self._biases,
            self._beta,
            self._metadata(),
        )

    def _count(self, graph: _Graph) -> None:
        strange = [step.code for step in graph.steps if step.code >= len(self._codes)]
        if strange:
            raise Damaged(f"an operator has code {strange[0]} of {len(self._codes)}")
        for step in graph.steps:
            self._used[step.code] += 1
            name = self._name(step)
            if name in KERNEL_AXES:
                self._add_layer(graph, step, name)
            elif name == "SOFTMAX" and step.options is not None:
                self._beta = _finite(step.options.scalar(0, "<f", 0.0))

    def _name(self, step: _Step) -> str:
        name, _, is_custom = self._codes[step.code]
        return "" if is_custom else name

    def _add_layer(self, graph: _Graph, step: _Step, name: str) -> None:
        if len(step.inputs) < len(("pixels", "kernel")) or not step.outputs:
            raise Damaged(f"a {name} has no kernel or no output")
        kernel, output = self._stored(graph, step.inputs[1]), graph.tensor(step.outputs[0])
        if len(kernel.shape) != KERNEL_AXES[name]:
            raise Damaged(f"the kernel of a {name} is {list(kernel.shape)}")
        size = math.prod(kernel.shape)
        filters = kernel.shape[3] if name == "DEPTHWISE_CONV_2D" else kernel.shape[0]
        each = size // filters if filters else 0
        zeros = self._zeros_in(kernel, size)
        self._layers.append(Layer(kernel.name, name, kernel.shape, math.prod(output.shape) * each, size, zeros))
        if len(step.inputs) > len(("pixels", "kernel")) and step.inputs[2] >= 0:
            self._biases += math.prod(graph.tensor(step.inputs[2]).shape)

    def _stored(self, graph: _Graph, index: int) -> _TensorTable:
        """The kernel itself where an operator only widens it, as in a float16 file."""
        maker = graph.maker.get(index)
        is_widened = maker is not None and self._name(maker) == "DEQUANTIZE" and len(maker.inputs) == 1
        return graph.tensor(maker.inputs[0] if maker is not None and is_widened else index)

    def _zeros_in(self, kernel: _TensorTable, size: int) -> int:
        """How many of the kernel's numbers mean 0. None are known of one that the device computes."""
        key = kernel.buffer, kernel.dtype, kernel.zero
        if key not in self._zeros:
            self._zeros[key] = self._count_zeros(kernel, size)
        return min(size, self._zeros[key])

    def _count_zeros(self, kernel: _TensorTable, size: int) -> int:
        if kernel.buffer >= len(self._buffers):
            raise Damaged(f"a tensor's data is in buffer {kernel.buffer} of {len(self._buffers)}")
        stored = self._buffers[kernel.buffer].scalars(0, "u1")
        if stored.size == 0:
            return 0
        values = _unpacked(stored, kernel.dtype)
        if values is None:
            return 0
        if values.size < size and not kernel.is_sparse:
            raise Damaged(f"a kernel of {size} numbers has {values.size} stored")
        return size - int(np.count_nonzero(values[:size] != kernel.zero))

    def _maker(self, graph: _Graph, index: int) -> str:
        for _ in range(len(PASSING_ON) + 1):
            step = graph.maker.get(index)
            if step is None:
                return ""
            name = self._codes[step.code][0]
            if name not in PASSING_ON or not step.inputs:
                return name
            index = step.inputs[0]
        return name

    def _metadata(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        room = MOST_METADATA
        for entry in self._model.tables(6):
            name, buffer = entry.string(0), entry.scalar(1, "<I")
            if buffer >= len(self._buffers):
                raise Damaged(f"its metadata is in buffer {buffer} of {len(self._buffers)}")
            if name in found:
                raise Damaged("one of its metadata entries is doubled")
            content = self._buffers[buffer].scalars(0, "u1")
            room -= content.size
            if room < 0:
                raise Damaged(f"it has more than {MOST_METADATA} bytes of metadata")
            found[name] = content.tobytes()
        return found


class _TensorTable:
    """A tensor as the file has it."""

    def __init__(self, table: Table) -> None:
        self.shape = _shape(table)
        number = table.scalar(1, "<b")
        self.dtype = DTYPES[number] if 0 <= number < len(DTYPES) else f"type {number}"
        self.buffer: int = table.scalar(2, "<I")
        self.name = table.string(3)
        self.is_sparse = table.has(6)
        quantization = table.table(4)
        self._scales: NDArray[np.float32] = quantization.scalars(2, "<f4") if quantization else np.empty(0, np.float32)
        self._zeros: NDArray[np.int64] = quantization.scalars(3, "<i8") if quantization else np.empty(0, np.int64)
        self.zero = int(self._zeros[0]) if self._zeros.size == 1 else 0  # of one scale for each filter all are 0

    def public(self) -> Tensor:
        if self._scales.size != 1:
            return Tensor(self.name, self.shape, self.dtype, None, None)
        return Tensor(self.name, self.shape, self.dtype, _finite(float(self._scales[0])), self.zero)


class _Step:
    """One operator in its place."""

    def __init__(self, table: Table) -> None:
        self.code: int = table.scalar(0, "<I")
        self.inputs, self.outputs = _indices(table, 1), _indices(table, 2)
        self.options = table.table(4)


class _Graph:
    """One graph: the first is the model, others are branches and loops."""

    def __init__(self, table: Table) -> None:
        self._tensors = [_TensorTable(tensor) for tensor in table.tables(0)]
        self.inputs, self.outputs = _indices(table, 1), _indices(table, 2)
        self.steps = list(_steps(table))
        self.maker = {output: step for step in self.steps for output in step.outputs}

    def tensor(self, index: int) -> _TensorTable:
        if not 0 <= index < len(self._tensors):
            raise Damaged(f"an operator uses tensor {index} of {len(self._tensors)}")
        return self._tensors[index]


def _steps(graph: Table) -> Iterator[_Step]:
    links = 0
    for table in graph.tables(3):
        step = _Step(table)
        links += len(step.inputs) + len(step.outputs)
        if links > MOST_LINKS:
            raise Damaged("its operators are linked more often than any model's")
        yield step


def _code(table: Table) -> tuple[str, int, bool]:
    """Name, version, whether it is custom. Old files have the number in a byte, new ones beside it in a wider field."""
    number, version = max(table.scalar(0, "<b"), table.scalar(3, "<i")), table.scalar(2, "<i", 1)
    if table.has(1) and number == CUSTOM:
        return table.string(1), version, True
    return (OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator {number}"), version, False


def _indices(table: Table, n: int) -> tuple[int, ...]:
    indices = table.scalars(n, "<i4")
    if indices.size > MOST_LINKS:
        raise Damaged(f"an operator or a graph has {indices.size} inputs or outputs")
    return tuple(indices.tolist())


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise Damaged(f"a scale is {number}")
    return number


def _shape(table: Table) -> tuple[int, ...]:
    stored = table.scalars(0, "<i4")
    if stored.size > MOST_AXES:
        raise Damaged(f"a tensor has {stored.size} axes")
    shape = tuple(stored.tolist())
    if min(shape, default=0) < 0:
        raise Damaged(f"a tensor has the shape {list(shape)}")
    return shape


def _unpacked(stored: NDArray[np.uint8], dtype: str) -> NDArray[np.generic] | None:
    """The stored numbers, one an item; None for a type whose zeros are not counted."""
    if dtype == "int4":
        return np.stack([stored & 15, stored >> 4], axis=1).reshape(-1)
    form = STORED.get(dtype)
    if form is None:
        return None
    width = np.dtype(form).itemsize
    return stored[: stored.size // width * width].view(form)
