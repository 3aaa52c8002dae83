"""What is inside a flatbuffer is told right, and damaged ones are refused in one line."""

from __future__ import annotations

import dataclasses
import itertools
import math
import struct
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.tflite import anatomy
from edge.tflite.anatomy import DTYPES, Layer, Tensor, dissect
from edge.tflite.archive import halves
from edge.tflite.runtimes import OPERATORS, Operator
from tests.edge.model import tiny

Row = tuple[str, tuple[int, ...], str, "NDArray[Any] | None", int]  # name, shape, dtype, data, zero point
Step = tuple[str, list[int], list[int]]  # operator, inputs, outputs


CUT_KERNEL = np.ones(8, np.int8)


def built(
    rows: list[Row], steps: list[Step], *, inputs: tuple[int, ...] = (0,), outputs: tuple[int, ...], **more: Any
) -> bytes:
    """A flatbuffer of one graph, written with the schema of the runtime; `more` replaces fields of the model."""
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    names = list(dict.fromkeys(name for name, _, _ in steps))
    graph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes = [tiny._code(schema, name) for name in names]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], list(inputs), list(outputs)
    for name, shape, dtype, data, zero_point in rows:
        graph.tensors.append(tiny._tensor(schema, name, shape, dtype, (0.1, zero_point)))
        if data is not None:
            graph.tensors[-1].buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(data.tobytes(), np.uint8)
    for name, used, made in steps:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = names.index(name), used, made
        graph.operators.append(operator)
    for field, value in more.items():
        setattr(model, field, value)
    builder = import_module("flatbuffers").Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def kernel(shape: tuple[int, ...], zeros: int, dtype: str, zero_point: int = 0) -> NDArray[Any]:
    """Numbers that are not zero, but for `zeros` of them."""
    values = np.full(math.prod(shape), 3 + zero_point, dtype)
    values[:zeros] = zero_point
    return values.reshape(shape)


def network(dtype: str = "int8", zero_point: int = 0) -> bytes:
    """[1, 8, 8, 3] -> convolution 3x3, stride 2 -> [1, 4, 4, 16] -> depthwise 3x3 -> fully connected -> [1, 5]."""
    rows: list[Row] = [
        ("pixels", (1, 8, 8, 3), "INT8", None, 0),
        ("conv", (16, 3, 3, 3), dtype.upper(), kernel((16, 3, 3, 3), 100, dtype, zero_point), zero_point),
        ("bias", (16,), "INT32", np.zeros(16, np.int32), 0),
        ("a", (1, 4, 4, 16), "INT8", None, 0),
        ("depth", (1, 3, 3, 16), dtype.upper(), kernel((1, 3, 3, 16), 20, dtype, zero_point), zero_point),
        ("b", (1, 4, 4, 16), "INT8", None, 0),
        ("dense", (5, 256), dtype.upper(), kernel((5, 256), 0, dtype, zero_point), zero_point),
        ("c", (1, 5), "INT8", None, 0),
        ("d", (1, 5), "UINT8", None, 0),
    ]
    steps: list[Step] = [
        ("CONV_2D", [0, 1, 2], [3]), ("DEPTHWISE_CONV_2D", [3, 4, -1], [5]), ("FULLY_CONNECTED", [5, 6], [7]),
        ("QUANTIZE", [7], [8]),
    ]  # fmt: skip
    return built(rows, steps, outputs=(8,))


def refusal(data: bytes) -> str | None:
    try:
        dissect(data, "strange.tflite")
    except ModelError as error:
        return str(error)
    return None


def test_the_tiny_model_is_taken_apart() -> None:
    found = dissect(tiny.flatbuffer(output="FLOAT32"), "tiny")
    scale, zero_point = np.float32(tiny.PIXELS[0]), tiny.PIXELS[1]
    assert found.inputs == (Tensor("pixels", (1, tiny.SIZE, tiny.SIZE, 3), "uint8", float(scale), zero_point),)
    assert found.outputs == (Tensor("dequantized", (1, 3), "float32", None, None),)
    assert found.output_operators == ("SOFTMAX",)
    assert found.operators == tuple(Operator(name, 1, 1) for name in ("MEAN", "SOFTMAX", "DEQUANTIZE"))
    assert (found.softmax_beta, found.layers, found.metadata) == (tiny.BETA, (), {})
    assert (found.multiply_adds, found.parameters, found.sparsity) == (0, 0, 0.0)


def test_an_operator_that_is_listed_but_not_used_counts_0() -> None:
    assert dissect(tiny.flatbuffer(), "tiny").operators[-1] == Operator("DEQUANTIZE", 1, 0)


@pytest.mark.parametrize(
    ("dtype", "zero_point"), [("int8", 0), ("uint8", 128), ("float32", 0)], ids=["int8", "uint8 around 128", "float32"]
)
def test_layers_are_counted_from_their_shapes(dtype: str, zero_point: int) -> None:
    found = dissect(network(dtype, zero_point), "net")
    assert found.layers == (
        Layer("conv", "CONV_2D", (16, 3, 3, 3), 4 * 4 * 16 * 27, 432, 100),
        Layer("depth", "DEPTHWISE_CONV_2D", (1, 3, 3, 16), 4 * 4 * 16 * 9, 144, 20),
        Layer("dense", "FULLY_CONNECTED", (5, 256), 5 * 256, 1280, 0),
    )
    assert found.multiply_adds == 6912 + 2304 + 1280
    assert found.parameters == 432 + 144 + 1280 + 16
    assert found.sparsity == pytest.approx(120 / 1856)
    assert found.output_operators == ("FULLY_CONNECTED",)
    assert found.softmax_beta is None


def test_a_float16_kernel_is_seen_through_the_operator_that_widens_it() -> None:
    rows: list[Row] = [
        ("pixels", (1, 6), "FLOAT32", None, 0), ("half", (2, 6), "FLOAT16", kernel((2, 6), 5, "float16"), 0),
        ("wide", (2, 6), "FLOAT32", None, 0), ("out", (1, 2), "FLOAT32", None, 0),
    ]  # fmt: skip
    steps: list[Step] = [("DEQUANTIZE", [1], [2]), ("FULLY_CONNECTED", [0, 2], [3])]
    assert dissect(built(rows, steps, outputs=(3,)), "half").layers == (
        Layer("half", "FULLY_CONNECTED", (2, 6), 12, 12, 5),
    )


def test_two_int4_numbers_share_a_byte() -> None:
    packed = np.array([0x30, 0x33, 0x00], np.uint8)  # 0 3, 3 3, 0 and half a byte to spare
    rows: list[Row] = [
        ("pixels", (1, 5), "INT8", None, 0), ("four", (1, 5), "INT4", packed, 0), ("out", (1, 1), "INT8", None, 0),
    ]  # fmt: skip
    assert dissect(built(rows, [("FULLY_CONNECTED", [0, 1], [2])], outputs=(2,)), "four").layers[0].zeros == 2


def test_custom_operators_have_the_name_that_the_file_gives_them() -> None:
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    code = tiny._code(schema, "CUSTOM")
    code.customCode, code.version = "Blur", 4
    data = built([("a", (1,), "INT8", None, 0)], [], outputs=(0,), operatorCodes=[code])
    assert dissect(data, "custom").operators == (Operator("Blur", 4, 0, is_custom=True),)


def with_metadata(*entries: tuple[str, int]) -> bytes:
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    made = []
    for name, buffer in entries:
        made.append(schema.MetadataT())
        made[-1].name, made[-1].buffer = name, buffer
    note = np.frombuffer(b"who made it", np.uint8)
    rows: list[Row] = [("a", (1,), "INT8", note, 0)]
    return built(rows, [], outputs=(0,), metadata=made, description="Made by hand.")


def test_description_and_metadata_are_read() -> None:
    found = dissect(with_metadata(("NOTE", 1), ("EMPTY", 0)), "net")
    assert (found.description, found.metadata) == ("Made by hand.", {"NOTE": b"who made it", "EMPTY": b""})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "TFL3"),
        (b"\x1c\0\0\0TFL3", "byte 28 of 8"),
        (with_metadata(("NOTE", 9)), "buffer 9 of 2"),
        (with_metadata(("NOTE", 1), ("NOTE", 1)), "doubled"),
        (built([("a", (1,), "INT8", None, 0)], [], outputs=(7,)), "tensor 7 of 1"),
        (built([("a", (1, -3), "INT8", None, 0)], [], outputs=(0,)), "[1, -3]"),
        (built([("a", (1,) * 17, "INT8", None, 0)], [], outputs=(0,)), "17 axes"),
        (built([("a", (1,), "INT8", None, 0)], [("CONV_2D", [0], [0])], outputs=(0,)), "no kernel"),
        (built([("a", (1,), "INT8", None, 0)], [("CONV_2D", [0, 0], [0])], outputs=(0,)), "kernel of a CONV_2D is [1]"),
        (built([("a", (9, 9), "INT8", CUT_KERNEL, 0)], [("FULLY_CONNECTED", [0, 0], [0])], outputs=(0,)), "8 stored"),
        (built([], [], outputs=(), subgraphs=[]), "no graph"),
        (tiny.flatbuffer(beta=float("nan")), "a scale is nan"),
        (tiny.flatbuffer(probabilities=(float("inf"), 0)), "a scale is inf"),
        (built([], [], outputs=(), inputs=(0,) * (anatomy.MOST_LINKS + 1)), "inputs or outputs"),
    ],
    ids=[
        "nothing", "cut", "metadata nowhere", "doubled", "no such tensor", "negative", "17 axes", "no kernel",
        "flat kernel", "short kernel", "no graph", "beta", "scale", "endless inputs",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(data: bytes, words: str) -> None:
    line = refusal(data)
    assert line is not None
    assert line.startswith("strange.tflite: its flatbuffer is damaged (")
    assert words in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("limit", ["MOST_LINKS", "MOST_METADATA"])
def test_what_is_read_in_all_is_limited(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    data = network() if limit == "MOST_LINKS" else with_metadata(("NOTE", 1))
    assert refusal(data) is None
    monkeypatch.setattr(anatomy, limit, 6)
    assert refusal(data) is not None


def test_every_cut_is_noticed() -> None:
    data = network()
    assert [length for length in range(0, len(data) - 4, 7) if refusal(data[:length]) is None] == []


def test_mutants_are_taken_apart_or_refused_and_nothing_else() -> None:
    random, outcomes = np.random.default_rng(11), Counter[bool]()
    extremes = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 20]
    for data, number in itertools.product((network(), tiny.flatbuffer()), range(1000)):
        mutant = bytearray(data)
        for place in random.integers(8, len(data) - 4, random.integers(1, 4)):
            if number % 2:
                mutant[place] ^= 1 << random.integers(8)
            else:
                mutant[place : place + 4] = struct.pack("<I", random.choice(extremes))
        line = refusal(bytes(mutant))
        assert line is None or len(line.splitlines()) == 1
        outcomes[line is None] += 1
    assert min(outcomes[True], outcomes[False]) > 200


def test_names_of_types_are_those_of_the_schema() -> None:
    kinds: Any = import_module("ai_edge_litert.schema_py_generated").TensorType
    names = {number: name.lower() for name, number in vars(kinds).items() if isinstance(number, int)}
    assert list(DTYPES) == [names[number] for number in range(len(DTYPES))]


@pytest.mark.photos
def test_a_published_mobilenet_has_300_million_multiply_adds(shared: Path) -> None:
    path = shared / "peers" / "mobilenet_v2_1.0_224_int8.tflite"
    flatbuffer, _ = halves(path, path.read_bytes())
    found = dissect(flatbuffer, path.name)
    assert found.multiply_adds == pytest.approx(300e6, rel=0.005)
    assert found.parameters == pytest.approx(3.49e6, rel=0.005)  # with 1001 classes
    assert 0.005 < found.sparsity < 0.05
    assert found.output_operators == ("SOFTMAX",)
    assert _by_the_schema(flatbuffer) == [(each.name, each.version, each.count) for each in found.operators]


def _by_the_schema(flatbuffer: bytes) -> list[tuple[str, int, int]]:
    schema: Any = import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
    used = Counter(operator.opcodeIndex for operator in model.subgraphs[0].operators)
    return [(OPERATORS[code.builtinCode], code.version, used[i]) for i, code in enumerate(model.operatorCodes)]


def test_an_anatomy_holds_plain_values_only() -> None:
    assert dataclasses.asdict(dissect(network(), "net"))["layers"][0]["kernel"] == (16, 3, 3, 3)
