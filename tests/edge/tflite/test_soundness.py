"""Offsets that lead out of a flatbuffer are found, wherever a runtime would follow them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.tflite.flatbuffer import Damaged
from edge.tflite.soundness import KINDS, SCHEMA, UNIONS, require_sound
from tests.edge.model import strangers, tiny


def elaborate() -> bytes:
    """The tiny model with one of everything that few files have."""

    def add(model: Any, schema: Any) -> None:
        graph, signature, name = model.subgraphs[0], schema.SignatureDefT(), schema.TensorMapT()
        name.name, name.tensorIndex = "pixels", 0
        signature.signatureKey, signature.inputs, signature.outputs = "serving", [name], [name]
        model.signatureDefs = [signature]
        graph.tensors[0].shapeSignature = [1, -1, -1, 3]
        sparsity, dimension = schema.SparsityParametersT(), schema.DimensionMetadataT()
        dimension.format, dimension.arraySegmentsType = 1, schema.SparseIndexVector.Uint16Vector
        dimension.arraySegments = schema.Uint16VectorT()
        dimension.arraySegments.values = np.array([0, 1], np.uint16)
        sparsity.traversalOrder, sparsity.dimMetadata = [0], [dimension]
        graph.tensors[1].sparsity = sparsity
        graph.tensors[2].quantization.detailsType = schema.QuantizationDetails.CustomQuantization
        graph.tensors[2].quantization.details = schema.CustomQuantizationT()
        graph.tensors[2].quantization.details.custom = np.array([1, 2], np.uint8)
        reshape = schema.OperatorT()
        reshape.inputs, reshape.outputs, reshape.customOptions = [0], [0], np.array([1], np.uint8)
        reshape.builtinOptionsType, reshape.builtinOptions = 17, schema.ReshapeOptionsT()
        reshape.builtinOptions.newShape = [7, 7, 7]
        graph.operators.append(reshape)

    return strangers.edited(tiny.flatbuffer(), add)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(tiny.flatbuffer(), id="plain"),
        pytest.param(strangers.convolution(), id="convolution"),
        pytest.param(strangers.with_metadata(strangers.signed(), strangers.told()), id="metadata"),
        pytest.param(elaborate(), id="elaborate"),
    ],
)
def test_a_sound_flatbuffer_passes(content: bytes) -> None:
    require_sound(content)


@pytest.mark.parametrize("beyond", [1 << 20, 1 << 30, 0xFFFFFFFF], ids=hex)
def test_every_length_and_offset_is_checked(beyond: int) -> None:
    """Each vector of the file in turn claims to be longer than the file: it is found by its first items."""
    content = elaborate()
    signature, segments = np.array([1, -1, -1, 3], "<i4"), np.array([0, 1], "<u2")
    shape, details = np.array([7, 7, 7], "<i4"), np.array([1, 2], np.uint8)
    for items in (signature, segments, shape, details):
        at = content.index(np.uint32(len(items)).tobytes() + items.tobytes())
        with pytest.raises(Damaged, match=rf"a vector of {beyond} items begins at byte"):
            require_sound(content[:at] + np.uint32(beyond).tobytes() + content[at + 4 :])


@pytest.mark.parametrize("text", [b"pixels", b"serving"])
def test_a_text_is_checked(text: bytes) -> None:
    content = elaborate()
    at = content.index(np.uint32(len(text)).tobytes() + text)
    with pytest.raises(Damaged):
        require_sound(content[:at] + np.uint32(1 << 24).tobytes() + content[at + 4 :])


def test_a_file_that_is_cut_is_found() -> None:
    content = elaborate()
    for end in range(0, len(content) - 64, 16):
        with pytest.raises(Damaged):
            require_sound(content[:end])


def test_every_kind_of_table_is_described() -> None:
    fields = {what.strip("[]") for table in SCHEMA.values() for what in table.values()}
    named = {kind for kind in fields if kind[0].isupper()} | {
        kind for kinds in KINDS.values() for kind in kinds.values()
    }
    assert named | {"Model"} == set(SCHEMA)
    assert set(UNIONS) == set(KINDS)
