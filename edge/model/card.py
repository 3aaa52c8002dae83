"""The model card: the contract between export and device, inside the `.tflite` file.

A model file is a flatbuffer followed by a zip (the TFLite convention for associated files) that holds
`card.json` and `labels.txt`. The card says what the model expects, how good it is, where it comes from and which
answers it gives to golden frames; its hashes tie it to the flatbuffer and to the labels. A card may have fewer fields
than this, or more (edge/base/formats.py); it cannot be without `labels`, `input_size` and `sha256`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.base.formats import FIRST, Lasting, if_missing, plain, read_fields, require_readable
from edge.base.text import first_line, is_plain_name
from edge.contract.rejection import SURETIES, Rejection
from edge.errors import ModelError
from edge.model.golden import GoldenCase, cases_from
from edge.picture import geometry
from edge.tflite.archive import AGAIN, appended, halves
from edge.tflite.flatbuffer import TFLITE

FORMAT = 2  # a reader refuses one whose major number is newer
CARD, LABELS = "card.json", "labels.txt"
LARGEST_MODEL = 1 << 30  # bytes
LARGEST_INPUT = 4096  # pixels


@dataclass(frozen=True)
class Accuracy(Lasting):
    """Top-1 accuracy with its 95 % Wilson interval, on `photos` held-out photos that nothing was chosen by."""

    top1: float
    low: float = field(metadata=if_missing(0.0))
    high: float = field(metadata=if_missing(1.0))
    photos: int = field(metadata=if_missing(0))  # 0: not said


@dataclass(frozen=True)
class Calibration(Lasting):
    """How far probabilities can be believed: the expected calibration error (15 bins) on held-out photos."""

    temperature: float = field(metadata=if_missing(1.0))  # that the logits are divided by, within the file
    # of the subspace whose residual divides them too, picture by picture; 0: none
    components: int = field(metadata=if_missing(0))
    ece_before: float  # with a temperature of 1 and no residual
    ece_after: float
    photos: int = field(metadata=if_missing(0))  # 0: not said


@dataclass(frozen=True)
class Share(Lasting):
    """A share of `pictures` held-out pictures, with its 95 % Wilson interval."""

    value: float
    low: float = field(metadata=if_missing(0.0))
    high: float = field(metadata=if_missing(1.0))
    pictures: int = field(metadata=if_missing(0))  # 0: not said


@dataclass(frozen=True)
class OtherThings(Lasting):
    """Held-out pictures of one folder, which show none of the classes."""

    name: str  # of the folder
    named: Share  # as one of the classes all the same
    named_surely: Share  # with a probability of 0.9 and more
    auroc: float | None = field(metadata=if_missing(None))  # against held-out photos of the classes


@dataclass(frozen=True)
class Unknown(Lasting):
    """What "none of these" was learned from, and how well it is told."""

    pictures: int = field(metadata=if_missing(0))  # of other things that were trained on
    made: int = field(metadata=if_missing(0))  # and pictures of nothing
    sources: tuple[str, ...] = field(metadata=if_missing(()))  # names of their folders
    known: Share | None = field(metadata=if_missing(None))  # of held-out photos of the classes, called unknown
    measured: tuple[OtherThings, ...] = field(metadata=if_missing(()))


@dataclass(frozen=True)
class ModelCard(Lasting):
    """What one model file says of itself. Written by export, read on the device."""

    labels: tuple[str, ...]  # in the order of the output
    input_size: int  # pixels, side of the square input
    variant: str = field(metadata=if_missing(""))  # how it was made: "int8", "int8_pruned50", ...
    sha256: str  # of the flatbuffer, without the zip
    labels_sha256: str = field(metadata=if_missing(""))  # of labels.txt; empty: not said
    accuracy: Accuracy | None = field(metadata=if_missing(None))  # of this file
    float_accuracy: Accuracy | None = field(metadata=if_missing(None))  # of the network it was made from
    calibration: Calibration | None = field(metadata=if_missing(None))
    rejection: Rejection | None = field(metadata=if_missing(None))  # when the answer is "unknown"; None: never
    # frames by formula, with the answers that a device must give
    golden: tuple[GoldenCase, ...] = field(metadata=if_missing(()))
    flatbuffer_bytes: int = field(metadata=if_missing(0))  # 0: not said
    multiply_adds: int = field(metadata=if_missing(0))  # of one answer
    # package -> oldest version known to have every operator
    minimum_runtime: dict[str, str] = field(metadata=if_missing({}))
    manifest_sha256: str = field(metadata=if_missing(""))  # of the list of training photos
    config_sha256: str = field(metadata=if_missing(""))  # of the training configuration
    tools: dict[str, str] = field(metadata=if_missing({}))  # package -> version
    created: str = field(metadata=if_missing(""))  # ISO 8601 date
    licence: str = field(metadata=if_missing(""))
    attribution: str = field(metadata=if_missing(""))
    colour_order: str = "RGB"
    geometry: str = geometry.RULE  # the first there was; a card that follows another must say so
    unknown: Unknown | None = None  # what it was taught of "none of these"; None: not said
    format: int | str = FORMAT


@dataclass(frozen=True)
class ModelFile:
    """The parts of a model file. One from elsewhere has no card."""

    path: Path
    flatbuffer: bytes
    card: ModelCard | None
    entries: dict[str, bytes]  # of the zip


def labels_text(labels: tuple[str, ...]) -> bytes:
    """The content of labels.txt: one label a line, UTF-8."""
    return ("\n".join(labels) + "\n").encode()


def pack(flatbuffer: bytes, card: ModelCard) -> bytes:
    """The bytes of a model file. Pack last: rewriting the flatbuffer drops the zip."""
    text = json.dumps(plain(card), separators=(",", ":"), sort_keys=True)
    return appended(flatbuffer, {CARD: text.encode(), LABELS: labels_text(card.labels)})


def read_model(path: str | Path) -> ModelFile:
    """Read a model file and check that its parts belong together.

    Raises ModelError for a missing or damaged file, a newer card, or a hash that does not fit. A file without a card
    is for edge.model.foreign to judge.
    """
    path = Path(path)
    data = _read(path)
    flatbuffer, entries = halves(path, data)
    if CARD not in entries:
        if CARD.encode() in data:
            raise ModelError(f"{path}: the end of the file, with its card, is damaged or cut off; {AGAIN}")
        return ModelFile(path, flatbuffer, None, entries)
    card = _card(path, entries[CARD])
    if _sha256(flatbuffer) != card.sha256 or card.flatbuffer_bytes not in (0, len(flatbuffer)):
        raise ModelError(
            f"{path}: the card inside is of another model, or the file is damaged (sha256 differs); {AGAIN}"
        )
    if entries.get(LABELS) != labels_text(card.labels) or card.labels_sha256 not in ("", _sha256(entries[LABELS])):
        raise ModelError(f"{path}: {LABELS} and the card inside disagree; {AGAIN}")
    return ModelFile(path, flatbuffer, card, entries)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    expected = "expected a .tflite file written by: flora export"
    try:
        if path.is_dir():
            raise ModelError(f"{path}: a folder without config.json; {expected}, or a run folder")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: not a file; {expected}")
        if path.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"{path}: {path.stat().st_size} bytes; expected a model of at most {LARGEST_MODEL}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {expected}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data[4:8] != TFLITE:
        raise ModelError(f"{path}: not a TFLite model ({len(data)} bytes, no {TFLITE.decode()} mark); {expected}")
    return data


def _card(path: Path, text: bytes) -> ModelCard:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: the card inside is not valid ({first_line(error)}); {AGAIN}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: the card inside is not valid (no JSON object); {AGAIN}")
    try:
        require_readable(content.get("format", FIRST), FORMAT)
    except ValueError as error:
        raise ModelError(f"{path}: its card {error} or export it again") from error
    golden = content.get("golden", [])
    try:
        card = read_fields(ModelCard, content, golden=())
    except ValueError as error:
        raise ModelError(f"{path}: the card's {error}; {AGAIN}") from error
    _require_possible(path, card)
    return replace(card, golden=cases_from(golden, card.labels, str(path)))


def _require_possible(path: Path, card: ModelCard) -> None:
    """Raises ModelError for a value that no model of ours has, and for pictures by a rule that is not known."""
    if card.geometry != geometry.RULE or card.colour_order != "RGB":
        raise ModelError(
            f"{path}: it expects pictures by the rule {card.geometry!r:.60} in {card.colour_order!r:.20} "
            f"order; this Flora knows {geometry.RULE!r} in RGB; update Flora or export it again"
        )
    for name, is_right, expected in _RULES:
        _require(path, name, getattr(card, name), is_right, expected)
    if card.rejection is not None:
        score, threshold, coverage = card.rejection.score, card.rejection.threshold, card.rejection.coverage
        _require(path, "rejection score", score, SURETIES.__contains__, f"one of {', '.join(SURETIES)}")
        _require(path, "rejection threshold", threshold, _is_share, "0 to 1")
        _require(path, "rejection coverage", coverage, lambda v: v is None or _is_share(v), "0 to 1, or null")


def _require(path: Path, name: str, value: Any, is_right: Callable[[Any], bool], expected: str) -> None:
    if not is_right(value):
        raise ModelError(f"{path}: the card's {name} is {value!r:.80}; expected {expected}; {AGAIN}")


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def _is_count(value: int) -> bool:
    return value >= 0


def _are_labels(labels: tuple[str, ...]) -> bool:
    are_names = all(is_plain_name(label) and label.strip() != "" for label in labels)
    return len(labels) > 1 and are_names and len(set(labels)) == len(labels)


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("labels", _are_labels, "at least two different names"),
    ("input_size", lambda value: 0 < value <= LARGEST_INPUT, f"pixels, 1 to {LARGEST_INPUT}"),
    ("flatbuffer_bytes", _is_count, "a number of bytes"),
    ("multiply_adds", _is_count, "a number, 0 or more"),
)
