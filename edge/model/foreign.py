"""A `.tflite` file that Flora did not write: what it says of itself, what it leaves out, and what is assumed instead.

In:  its flatbuffer and the files in the zip behind it, from anywhere.
Out: ForeignModel: labels, one an answer; the border that pixels cross; its own words; what is missing and assumed.

Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.base.text import one_line
from edge.errors import ModelError
from edge.model.interpreter import ELSEWHERE, Border, told_apart
from edge.model.metadata import LONGEST_WORDS, METADATA, Words, existing_file, label_lines, read_labels, read_words
from edge.tflite.anatomy import Anatomy, Tensor, dissect

OURS = "Flora"  # how the description of every flatbuffer begins that export finishes
CLOSE = 0.05  # of the range -1 to 1: more than the rounding of a quantisation that means the same normalisation
PROBABLE = frozenset({"SOFTMAX", "LOGISTIC"})
NO_CARD = (
    "no card: accuracy, threshold for unknown and golden cases are not known, so its answers cannot be checked here"
)


@dataclass(frozen=True)
class ForeignModel:
    """What is known of a model file without a card."""

    labels: tuple[str, ...]  # in the order of the output; a name may occur twice
    labels_file: str  # the name of the list in the zip
    border: Border
    words: Words
    missing: tuple[str, ...] = field(default=())  # a sentence each
    assumed: tuple[str, ...] = field(default=())


def read_foreign(name: str, flatbuffer: bytes, entries: Mapping[str, bytes]) -> ForeignModel:
    """Read a file without a card; `entries` are the files in its zip, `name` is for the message.

    Raises ModelError when it is damaged, was ours, or carries no labels that fit its output.
    """
    anatomy = dissect(flatbuffer, name)
    if anatomy.description.startswith(OURS):
        raise ModelError(f"{name}: written by Flora, but its card is cut off; copy it again")
    index, classes = _answer(name, anatomy)
    words = read_words(name, anatomy.metadata.get(METADATA), index)
    labels_file = _labels_file(name, words.labels_file, entries, classes)
    labels = read_labels(name, labels_file, entries[labels_file])
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
    return ForeignModel(labels, labels_file, border, words, tuple(_missing(words, has_metadata)), assumed)


def _answer(name: str, anatomy: Anatomy) -> tuple[int, int]:
    """Which output is the vector of answers, and how many classes it has."""
    outputs: list[dict[str, Any]] = [{"name": output.name, "shape": output.shape} for output in anatomy.outputs]
    answer, _ = told_apart(outputs)
    if not answer:
        shapes = " and ".join(f"{list(output['shape'])}" for output in outputs) or "missing"
        raise ModelError(f"{name}: its output is {shapes:.160}; expected one [1, classes]; {ELSEWHERE}")
    return next(i for i, output in enumerate(outputs) if output is answer), int(answer["shape"][-1])


def _labels_file(name: str, told: str, entries: Mapping[str, bytes], classes: int) -> str:
    """The name of the list of labels: that which the metadata name, else the only text file, or the only that fits."""
    if told:
        existing_file(name, told, entries)
        return told
    texts = [entry for entry in entries if entry.lower().endswith(".txt")]
    fitting = [entry for entry in texts if len(label_lines(entries[entry])) == classes]
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
    return [f"what comes out are logits (of {one_line(maker, LONGEST_WORDS) or 'no operator'}), so a softmax is added"]


def _assumed_of_labels(labels: tuple[str, ...], words: Words) -> list[str]:
    found = [] if words.labels_file else ["the text file inside lists the labels in the order of the output"]
    doubled = len(labels) - len(set(labels))
    return [*found, f"labels that occur twice ({doubled} do) are classes of their own"] if doubled else found
