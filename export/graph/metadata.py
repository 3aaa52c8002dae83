"""The standard TFLite metadata of an image classifier, so that other programs can load our files as they are.

In:  what the model is called, the side of its picture, the name of its label file.
Out: a flatbuffer with the identifier M001, which goes into the model's buffer named TFLITE_METADATA.

It is written by field number from the published schema (metadata_schema.fbs 1.5.0), because no package that writes
it works on every Python that Flora supports. Readers want the label file *stored* in the appended zip, not deflated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge.model.card import LABELS

METADATA = "TFLITE_METADATA"  # the name of the buffer
IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"  # every field used here is in the first version of the schema

PIXEL_MEAN = PIXEL_STD = 127.5  # (pixel - mean) / std is what the network was trained on
PIXEL_RANGE, PROBABILITY_RANGE = (0.0, 255.0), (0.0, 1.0)

# Tables of the schema: how many fields each has, and the numbers of those that are used.
MODEL_FIELDS, MODEL_NAME, MODEL_DESCRIPTION, MODEL_VERSION, MODEL_SUBGRAPHS = 8, 0, 1, 2, 3
MODEL_AUTHOR, MODEL_LICENCE, MODEL_PARSER_VERSION = 4, 5, 7
SUBGRAPH_FIELDS, SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = 10, 2, 3
TENSOR_FIELDS, TENSOR_NAME, TENSOR_DESCRIPTION, TENSOR_CONTENT = 7, 0, 1, 3
TENSOR_PROCESS_UNITS, TENSOR_STATS, TENSOR_FILES = 4, 5, 6
CONTENT_FIELDS, CONTENT_TYPE, CONTENT_VALUE = 3, 0, 1
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2  # kinds of content
IMAGE_FIELDS, IMAGE_COLOURS, IMAGE_SIZE = 2, 0, 1
RGB = 1
SIZE_FIELDS, SIZE_WIDTH, SIZE_HEIGHT = 2, 0, 1
PROCESS_UNIT_FIELDS, PROCESS_UNIT_TYPE, PROCESS_UNIT_VALUE = 2, 0, 1
NORMALISATION = 1  # kind of process unit
NORMALISATION_FIELDS, NORMALISATION_MEAN, NORMALISATION_STD = 2, 0, 1
STATS_FIELDS, STATS_MAX, STATS_MIN = 2, 0, 1
FILE_FIELDS, FILE_NAME, FILE_DESCRIPTION, FILE_TYPE = 5, 0, 1, 2
TENSOR_AXIS_LABELS = 2

PICTURE = (
    "The picture to classify: RGB, raw pixel values 0 to 255, its centre square resized to {size} x {size} pixels. "
    "The model normalises it itself."
)
PROBABILITY = (
    "The probability of each label: softmax, calibrated by a temperature on validation photos of this very file, so "
    "that answers given with 0.8 are right about 80 % of the time. They add up to 1."
)
EVIDENCE = (
    "Where the answer comes from: the evidence for each label at each place of the picture, from the top left. "
    "The greater its average over all places, the more probable is the label."
)


@dataclass(frozen=True)
class About:
    """What a model says of itself to a person."""

    name: str
    description: str
    version: str
    author: str
    licence: str


def model_metadata(about: About, size: int, *, has_evidence: bool = False) -> bytes:
    """Metadata of a classifier of pictures of `size` x `size` pixels, without or with an evidence map as output 1."""
    builder = import_module("flatbuffers").Builder(4096)
    inputs = _vector(builder, [_picture(builder, size)])
    outputs = _vector(builder, [_probabilities(builder), *([_evidence(builder)] if has_evidence else [])])
    subgraph = _table(builder, SUBGRAPH_FIELDS, {SUBGRAPH_INPUTS: inputs, SUBGRAPH_OUTPUTS: outputs})
    texts = {
        MODEL_NAME: about.name,
        MODEL_DESCRIPTION: about.description,
        MODEL_VERSION: about.version,
        MODEL_AUTHOR: about.author,
        MODEL_LICENCE: about.licence,
        MODEL_PARSER_VERSION: PARSER_VERSION,
    }
    model = _table(builder, MODEL_FIELDS, {MODEL_SUBGRAPHS: _vector(builder, [subgraph])} | _texts(builder, texts))
    builder.Finish(model, IDENTIFIER)
    return bytes(builder.Output())


def _picture(builder: Any, size: int) -> int:
    size_wh = _table(builder, SIZE_FIELDS, {}, {SIZE_WIDTH: size, SIZE_HEIGHT: size})
    image = _table(builder, IMAGE_FIELDS, {IMAGE_SIZE: size_wh}, {}, {IMAGE_COLOURS: RGB})
    mean_and_std = {
        NORMALISATION_MEAN: _floats(builder, [PIXEL_MEAN]),
        NORMALISATION_STD: _floats(builder, [PIXEL_STD]),
    }
    normalisation = _table(builder, NORMALISATION_FIELDS, mean_and_std)
    unit = _table(
        builder, PROCESS_UNIT_FIELDS, {PROCESS_UNIT_VALUE: normalisation}, {}, {PROCESS_UNIT_TYPE: NORMALISATION}
    )
    parts = {
        TENSOR_CONTENT: _content(builder, IMAGE_PROPERTIES, image),
        TENSOR_PROCESS_UNITS: _vector(builder, [unit]),
        TENSOR_STATS: _stats(builder, PIXEL_RANGE),
    }
    return _tensor(builder, "image", PICTURE.format(size=size), parts)


def _probabilities(builder: Any) -> int:
    texts = _texts(
        builder, {FILE_NAME: LABELS, FILE_DESCRIPTION: "The labels, one a line, in the order of the output."}
    )
    file = _table(builder, FILE_FIELDS, texts, {}, {FILE_TYPE: TENSOR_AXIS_LABELS})
    parts = {
        TENSOR_CONTENT: _content(builder, FEATURE_PROPERTIES, _table(builder, 0, {})),
        TENSOR_STATS: _stats(builder, PROBABILITY_RANGE),
        TENSOR_FILES: _vector(builder, [file]),
    }
    return _tensor(builder, "probability", PROBABILITY, parts)


def _evidence(builder: Any) -> int:
    content = _content(builder, FEATURE_PROPERTIES, _table(builder, 0, {}))
    return _tensor(builder, "evidence", EVIDENCE, {TENSOR_CONTENT: content})


def _tensor(builder: Any, name: str, description: str, parts: dict[int, int]) -> int:
    texts = _texts(builder, {TENSOR_NAME: name, TENSOR_DESCRIPTION: description})
    return _table(builder, TENSOR_FIELDS, parts | texts)


def _content(builder: Any, kind: int, properties: int) -> int:
    return _table(builder, CONTENT_FIELDS, {CONTENT_VALUE: properties}, {}, {CONTENT_TYPE: kind})


def _stats(builder: Any, low_and_high: tuple[float, float]) -> int:
    low, high = (_floats(builder, [value]) for value in low_and_high)
    return _table(builder, STATS_FIELDS, {STATS_MAX: high, STATS_MIN: low})


def _texts(builder: Any, texts: dict[int, str]) -> dict[int, int]:
    return {field: builder.CreateString(text) for field, text in texts.items()}


def _table(
    builder: Any,
    fields: int,
    parts: dict[int, int],
    sizes: dict[int, int] | None = None,
    kinds: dict[int, int] | None = None,
) -> int:
    """A table with references (4 bytes), unsigned numbers (4 bytes) and enumerations (1 byte), by field number."""
    builder.StartObject(fields)
    for field, part in parts.items():
        builder.PrependUOffsetTRelativeSlot(field, part, 0)
    for field, value in (sizes or {}).items():
        builder.PrependUint32Slot(field, value, 0)
    for field, kind in (kinds or {}).items():
        builder.PrependInt8Slot(field, kind, 0)
    return int(builder.EndObject())


def _vector(builder: Any, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
