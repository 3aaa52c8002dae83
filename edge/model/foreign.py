"""A `.tflite` file that Flora did not write: what it says of itself, what it leaves out, and what is assumed instead.

In:  its flatbuffer and the files in the zip behind it, from anywhere.
Out: Stranger: labels, one for each answer; the border that pixels cross; its own words; what is missing and assumed.

Nothing is run here. Field numbers are those of the published metadata schema (metadata_schema.fbs, TFLite Support).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.base.text import is_plain_name
from edge.errors import ModelError
from edge.model.interpreter import ELSEWHERE, Border, told_apart
from edge.tflite.anatomy import Anatomy, Tensor, dissect
from edge.tflite.flatbuffer import Damaged, Table, root

OURS = "Flora"  # how the description of every flatbuffer begins that export finishes
METADATA, IDENTIFIER = "TFLITE_METADATA", b"M001"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXTS = {"name": 0, "description": 1, "version": 2, "author": 4, "licence": 5}  # fields of the metadata
NORMALIZATION, AXIS_LABELS = 1, 2  # kinds of a process unit and of an associated file
LONGEST_WORDS = 300  # characters of one text that a file says of itself
CHANNELS = 3
LEAST_STD = 1e-6  # in pixel values
CLOSE = (
    0.05  # of the range -1 to 1: more than the rounding between a normalisation and a quantisation that mean the same
)
PROBABLE = frozenset({"SOFTMAX", "LOGISTIC"})
NO_CARD = (
    "no card: accuracy, threshold for unknown and golden cases are not known, so its answers cannot be checked here"
)


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


@dataclass(frozen=True)
class Stranger:
    """What is known of a model file without a card."""

    labels: tuple[str, ...]  # in the order of the output; a name may occur twice
    labels_file: str  # the name of the list in the zip
    border: Border
    words: Words
    missing: tuple[str, ...] = field(default=())  # a sentence each
    assumed: tuple[str, ...] = field(default=())


def meet(name: str, flatbuffer: bytes, entries: Mapping[str, bytes]) -> Stranger:
    """Read a file without a card; `entries` are the files in its zip, `name` is for the message.

    Raises ModelError when it is damaged, was ours, or carries no labels that fit its output.
    """
    anatomy = dissect(flatbuffer, name)
    if anatomy.description.startswith(OURS):
        raise ModelError(f"{name}: written by Flora, but its card is cut off; copy it again")
    index, classes = _answer(name, anatomy)
    words = _words(name, anatomy.metadata.get(METADATA), index)
    labels_file = _labels_file(name, words.labels_file, entries, classes)
    labels = _labels(name, labels_file, entries[labels_file])
    if len(labels) != classes:
        raise ModelError(
            f"{name}: {labels_file!r:.60} inside has {len(labels)} labels, its output has {classes} classes; "
            "expected as many, for which is which cannot be guessed; get a file whose list fits"
        )
    picture = anatomy.inputs[0] if anatomy.inputs else None
    maker = anatomy.output_operators[index]
    border = Border(words.mean, words.std, is_logits=maker not in PROBABLE)
    has_metadata = METADATA in anatomy.metadata
    assumed = (*_assumed_of_input(picture, words), *_assumed_of_output(maker), *_assumed_of_labels(labels, words))
    return Stranger(labels, labels_file, border, words, tuple(_missing(words, has_metadata)), assumed)


def standard_labels(name: str, flatbuffer: bytes, entries: Mapping[str, bytes]) -> tuple[str, ...] | None:
    """The labels by the standard metadata, None where these name none. Raises ModelError when they cannot be read.

    For a file of ours, whose card has them as well: its card and other programs must read the same.
    """
    try:
        data = _entry(root(flatbuffer, b"TFL3"), METADATA)
    except Damaged as error:
        raise _damaged(name, error) from error
    labels_file = _words(name, data, 0).labels_file
    if not labels_file:
        return None
    return _labels(name, labels_file, _existing(name, labels_file, entries))


def _entry(model: Table, wanted: str) -> bytes | None:
    """The content of one metadata entry of a flatbuffer, None if there is none of that name."""
    buffers = [entry.scalar(1, "<I") for entry in model.tables(6) if entry.string(0) == wanted]
    tables = model.tables(4) if buffers else []
    if buffers and buffers[0] >= len(tables):
        raise Damaged(f"its metadata is in buffer {buffers[0]} of {len(tables)}")
    return tables[buffers[0]].raw(0) if buffers else None


def _answer(name: str, anatomy: Anatomy) -> tuple[int, int]:
    """Which output is the vector of answers, and how many classes it has."""
    outputs: list[dict[str, Any]] = [{"name": output.name, "shape": output.shape} for output in anatomy.outputs]
    answer, _ = told_apart(outputs)
    if not answer:
        shapes = " and ".join(f"{list(output['shape'])}" for output in outputs) or "missing"
        raise ModelError(f"{name}: its output is {shapes:.160}; expected one [1, classes]; {ELSEWHERE}")
    return next(i for i, output in enumerate(outputs) if output is answer), int(answer["shape"][-1])


def _words(name: str, data: bytes | None, output: int) -> Words:
    if data is None:
        return Words()
    try:
        metadata = root(data, IDENTIFIER)
        graph = next(iter(metadata.tables(3)), None)
        mean, std = _normalisation(graph.tables(2) if graph else [])
        texts = {key: _plain(metadata.string(n)) for key, n in TEXTS.items()}
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


def _labels_file(name: str, told: str, entries: Mapping[str, bytes], classes: int) -> str:
    """The name of the list of labels: that which the metadata name, else the only text file, or the only that fits."""
    if told:
        _existing(name, told, entries)
        return told
    texts = [entry for entry in entries if entry.lower().endswith(".txt")]
    fitting = [entry for entry in texts if len(_lines(entries[entry])) == classes]
    found = texts if len(texts) == 1 else fitting
    if not texts:
        raise ModelError(
            f"{name}: no labels and no card inside, or its end is cut off; copy it again, or write it with flora export"
        )
    if len(found) != 1:
        raise ModelError(
            f"{name}: {len(texts)} text files inside, {len(found)} of them with {classes} lines; expected one list of "
            f"labels, named in the metadata; {ELSEWHERE}"
        )
    return found[0]


def _existing(name: str, labels_file: str, entries: Mapping[str, bytes]) -> bytes:
    if labels_file not in entries:
        raise ModelError(
            f"{name}: its metadata name the labels {labels_file!r:.60}, which is not inside; its end is cut off "
            "or changed; copy it again"
        )
    return entries[labels_file]


def _lines(text: bytes) -> list[bytes]:
    return text.rstrip(b"\r\n").split(b"\n") if text.strip() else []


def _labels(name: str, labels_file: str, text: bytes) -> tuple[str, ...]:
    """One label a line. A line without one is called after its number, from 0."""
    try:
        labels = [line.decode().rstrip("\r") for line in _lines(text.removeprefix(BYTE_ORDER_MARK))]
    except UnicodeDecodeError as error:
        raise ModelError(f"{name}: {labels_file!r:.60} inside is not UTF-8 text; {ELSEWHERE}") from error
    odd = next((label for label in labels if not is_plain_name(label) or len(label) > LONGEST_WORDS), None)
    if odd is not None:
        raise ModelError(f"{name}: a label inside is {odd!r:.60}; expected a line of text; {ELSEWHERE}")
    return tuple(label if label.strip() else f"class {number}" for number, label in enumerate(labels))


def _plain(text: str) -> str:
    """Fit to be shown in one line: a file from elsewhere may hold line breaks and escapes."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:LONGEST_WORDS]


def _missing(words: Words, has_metadata: bool) -> list[str]:
    found = [NO_CARD]
    if not has_metadata:
        return [*found, "no standard metadata: neither name, licence, author nor normalisation are told"]
    told = {"name": words.name, "licence": words.licence, "author": words.author, "normalisation": words.mean}
    silent = [what for what, value in told.items() if not value]
    return [*found, f"its metadata do not tell: {', '.join(silent)}"] if silent else found


def _assumed_of_input(picture: Tensor | None, words: Words) -> list[str]:
    shape = "pictures are RGB, their centre square resized to the input"
    if picture is None or picture.dtype == "uint8":
        doubt = ", though its metadata tell another normalisation" if picture and _contradicts(picture, words) else ""
        return [shape, f"pixels go in as they are, 0 to 255{doubt}"]
    if words.mean:
        return [shape]
    how = "less 128, -128 to 127" if picture.dtype == "int8" else "as (pixel - 127.5) / 127.5, -1 to 1"
    return [shape, f"pixels go in {how}"]


def _contradicts(picture: Tensor, words: Words) -> bool:
    """Whether the quantisation of a uint8 input makes other numbers of black and white than the metadata would."""
    if not words.mean or not picture.scale:
        return False
    ends = np.array([[0.0], [255.0]])
    told = (ends - np.array(words.mean)) / np.array(words.std)
    is_raw = bool((np.abs(told - ends) < CLOSE).all())  # mean 0 and std 1: nothing is to be done to the pixels
    made = (ends - (picture.zero_point or 0)) * picture.scale
    return not is_raw and bool((np.abs(told - made) > CLOSE).any())


def _assumed_of_output(maker: str) -> list[str]:
    if maker == "SOFTMAX":
        return []
    if maker == "LOGISTIC":
        return ["each class is scored by itself (LOGISTIC), so the answers need not add up to 1"]
    return [f"what comes out are logits (of {_plain(maker) or 'no operator'}), so a softmax is added"]


def _assumed_of_labels(labels: tuple[str, ...], words: Words) -> list[str]:
    found = [] if words.labels_file else ["the text file inside lists the labels in the order of the output"]
    doubled = len(labels) - len(set(labels))
    return [*found, f"labels that occur twice ({doubled} do) are classes of their own"] if doubled else found
