"""The standard metadata of a `.tflite` file, whoever wrote it: its own words, and the labels that they name.

In:  a flatbuffer, or its entry TFLITE_METADATA; the files in the zip behind it.
Out: Words; labels, one for each answer.

Field numbers are those of the published schema (metadata_schema.fbs, TFLite Support).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.base.text import is_plain_name, one_line
from edge.errors import ModelError
from edge.model.interpreter import ELSEWHERE
from edge.tflite.flatbuffer import Damaged, Table, root

METADATA, IDENTIFIER = "TFLITE_METADATA", b"M001"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXTS = {"name": 0, "description": 1, "version": 2, "author": 4, "licence": 5}  # fields of the metadata
NORMALIZATION, AXIS_LABELS = 1, 2  # kinds of a process unit and of an associated file
LONGEST_WORDS = 300  # characters of one text that a file says of itself
CHANNELS = 3
LEAST_STD = 1e-6  # in pixel values


@dataclass(frozen=True)
class Words:
    """What the standard metadata say; "" and () where they say nothing."""

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    licence: str = ""
    mean: tuple[float, ...] = ()  # of pixel values: (pixel - mean) / std goes in; one for all channels or three
    std: tuple[float, ...] = ()
    labels_file: str = ""


def standard_labels(name: str, flatbuffer: bytes, entries: Mapping[str, bytes]) -> tuple[str, ...] | None:
    """The labels by the standard metadata, None where these name none. Raises ModelError when they cannot be read.

    For a file of ours, whose card has them as well: its card and other programs must read the same.
    """
    try:
        data = _entry(root(flatbuffer, b"TFL3"), METADATA)
    except Damaged as error:
        raise _damaged(name, error) from error
    labels_file = read_words(name, data, 0).labels_file
    if not labels_file:
        return None
    return read_labels(name, labels_file, existing_file(name, labels_file, entries))


def _entry(model: Table, wanted: str) -> bytes | None:
    """The content of one metadata entry of a flatbuffer, None if there is none of that name."""
    buffers = [entry.scalar(1, "<I") for entry in model.tables(6) if entry.string(0) == wanted]
    tables = model.tables(4) if buffers else []
    if buffers and buffers[0] >= len(tables):
        raise Damaged(f"its metadata is in buffer {buffers[0]} of {len(tables)}")
    return tables[buffers[0]].raw(0) if buffers else None


def read_words(name: str, data: bytes | None, output: int) -> Words:
    """What the entry `data` says, None: there is none; labels are those of the output of that number.

    `name` is for the message. Raises ModelError where it is damaged or normalises impossibly.
    """
    if data is None:
        return Words()
    try:
        metadata = root(data, IDENTIFIER)
        graph = next(iter(metadata.tables(3)), None)
        mean, std = _normalisation(graph.tables(2) if graph else [])
        texts = {key: one_line(metadata.string(n), LONGEST_WORDS) for key, n in TEXTS.items()}
        labels_file = _named_labels(graph.tables(3)[output:] if graph else [])
        words = Words(mean=mean, std=std, labels_file=labels_file, **texts)
    except Damaged as error:
        raise _damaged(name, error) from error
    is_complete = len(mean) == len(std) and len(mean) in (0, 1, CHANNELS)
    if not is_complete or not np.isfinite((*mean, *std)).all() or not all(abs(one) > LEAST_STD for one in std):
        raise ModelError(
            f"{name}: its metadata normalise by mean {list(mean)!s:.60} and std {list(std)!s:.60}; expected one or "
            f"three numbers each, std not 0; {ELSEWHERE}"
        )
    return words


def _damaged(name: str, error: Damaged) -> ModelError:
    return ModelError(f"{name}: its metadata are damaged ({error}); copy it again")


def _normalisation(inputs: list[Table]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of the first input, in pixel values; () where they are not told."""
    for unit in inputs[0].tables(4) if inputs else []:
        options = unit.table(1) if unit.scalar(0, "<B") == NORMALIZATION else None
        if options is not None:
            return tuple(options.scalars(0, "<f4").tolist()), tuple(options.scalars(1, "<f4").tolist())
    return (), ()


def _named_labels(outputs: list[Table]) -> str:
    """The file with the labels of the first of these outputs; the one in no particular language, if there are more."""
    files = [file for file in (outputs[0].tables(6) if outputs else []) if file.scalar(2, "<b") == AXIS_LABELS]
    files.sort(key=lambda file: file.string(3) != "")
    return files[0].string(0) if files else ""


def existing_file(name: str, labels_file: str, entries: Mapping[str, bytes]) -> bytes:
    """The list of labels that the metadata name. Raises ModelError where it is not in the zip."""
    if labels_file not in entries:
        raise ModelError(
            f"{name}: its metadata name the labels {labels_file!r:.60}, which is not inside; its end is cut off "
            "or changed; copy it again"
        )
    return entries[labels_file]


def label_lines(text: bytes) -> list[bytes]:
    """One for each label."""
    return text.rstrip(b"\r\n").split(b"\n") if text.strip() else []


def read_labels(name: str, labels_file: str, text: bytes) -> tuple[str, ...]:
    """One label a line. A line without one is called after its number, from 0. Raises ModelError for other text."""
    try:
        labels = [line.decode().rstrip("\r") for line in label_lines(text.removeprefix(BYTE_ORDER_MARK))]
    except UnicodeDecodeError as error:
        raise ModelError(f"{name}: {labels_file!r:.60} inside is not UTF-8 text; {ELSEWHERE}") from error
    odd = next((label for label in labels if not is_plain_name(label) or len(label) > LONGEST_WORDS), None)
    if odd is not None:
        raise ModelError(f"{name}: a label inside is {odd!r:.60}; expected a line of text; {ELSEWHERE}")
    return tuple(label if label.strip() else f"class {number}" for number, label in enumerate(labels))
