"""The model card: the contract between export and device, inside the `.tflite` file.

A model file is a flatbuffer followed by a zip (the TFLite convention for associated files) that holds
`card.json` and `labels.txt`. The card says what the model expects, how good it is, where it comes from and which
answers it gives to golden frames; its hashes tie it to the flatbuffer and to the labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from edge.base.text import first_line, is_plain_name
from edge.contract.rejection import SCORES, Rejection
from edge.errors import ModelError
from edge.model.golden import GoldenCase, cases_from
from edge.picture import geometry
from edge.tflite.archive import AGAIN, appended, halves

FORMAT = 2
CARD, LABELS = "card.json", "labels.txt"
LARGEST_MODEL = 1 << 30  # bytes
LARGEST_INPUT = 4096  # pixels
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every TFLite flatbuffer


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy with its 95 % Wilson interval, on `photos` held-out photos that nothing was chosen by."""

    top1: float
    low: float
    high: float
    photos: int


@dataclass(frozen=True)
class Calibration:
    """How far probabilities can be believed: the expected calibration error (15 bins) on held-out photos."""

    temperature: float  # that the logits are divided by, within the file
    components: int  # of the subspace whose residual divides them too, picture by picture; 0: none
    ece_before: float  # with a temperature of 1 and no residual
    ece_after: float
    photos: int


@dataclass(frozen=True)
class ModelCard:
    """What one model file says of itself. Written by export, read on the device."""

    labels: tuple[str, ...]  # in the order of the output
    input_size: int  # pixels, side of the square input
    variant: str  # how it was made: "int8", "int8_pruned50", ...
    sha256: str  # of the flatbuffer, without the zip
    labels_sha256: str  # of labels.txt
    accuracy: Accuracy | None  # of this file
    float_accuracy: Accuracy | None  # of the network it was made from
    calibration: Calibration | None
    rejection: Rejection | None  # when the answer is "unknown"; None: never
    golden: tuple[GoldenCase, ...]  # frames by formula, with the answers that a device must give
    flatbuffer_bytes: int
    multiply_adds: int  # of one answer
    minimum_runtime: dict[str, str]  # package -> oldest version known to have every operator
    manifest_sha256: str  # of the list of training photos
    config_sha256: str  # of the training configuration
    tools: dict[str, str]  # package -> version
    created: str  # ISO 8601 date
    licence: str
    attribution: str
    colour_order: str = "RGB"
    geometry: str = geometry.RULE
    format: int = FORMAT


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
    text = json.dumps(asdict(card), separators=(",", ":"), sort_keys=True)
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
    if _sha256(flatbuffer) != card.sha256 or len(flatbuffer) != card.flatbuffer_bytes:
        raise ModelError(
            f"{path}: the card inside is of another model, or the file is damaged (sha256 differs); {AGAIN}"
        )
    if entries.get(LABELS) != labels_text(card.labels) or _sha256(entries[LABELS]) != card.labels_sha256:
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
    if data[4:8] != IDENTIFIER:
        raise ModelError(f"{path}: not a TFLite model ({len(data)} bytes, no {IDENTIFIER.decode()} mark); {expected}")
    return data


def _card(path: Path, text: bytes) -> ModelCard:
    try:
        content = json.loads(text)
        version = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: the card inside is not valid ({first_line(error)}); {AGAIN}") from error
    if version != FORMAT:
        raise ModelError(
            f"{path}: its card is of format {version!r:.20}, this Flora reads format {FORMAT}; "
            "update Flora or export it again"
        )
    strange = {field.name for field in fields(ModelCard)} ^ set(content)
    if strange:
        raise ModelError(
            f"{path}: fields missing from or unknown in the card: {', '.join(sorted(strange))[:160]}; export it again"
        )
    if content["geometry"] != geometry.RULE or content["colour_order"] != "RGB":
        raise ModelError(
            f"{path}: it expects pictures by the rule {content['geometry']!r:.60} in {content['colour_order']!r:.20} "
            f"order; this Flora knows {geometry.RULE!r} in RGB; update Flora or export it again"
        )
    return _built(path, content)


def _built(path: Path, content: dict[str, Any]) -> ModelCard:
    for name, is_right, expected in _RULES:
        _require(path, name, content[name], is_right, expected)
    labels = tuple(content["labels"])
    nested = {
        "accuracy": _record(path, "accuracy", content["accuracy"], Accuracy, _is_number),
        "float_accuracy": _record(path, "float_accuracy", content["float_accuracy"], Accuracy, _is_number),
        "calibration": _record(path, "calibration", content["calibration"], Calibration, _is_number),
        "rejection": _rejection(path, content["rejection"]),
        "golden": cases_from(content["golden"], labels, str(path)),
    }
    return ModelCard(**{**content, **nested, "labels": labels})


def _require(path: Path, name: str, value: Any, is_right: Callable[[Any], bool], expected: str) -> None:
    if not is_right(value):
        raise ModelError(f"{path}: the card's {name} is {value!r:.80}; expected {expected}; {AGAIN}")


Record = TypeVar("Record")


def _record(path: Path, name: str, content: Any, kind: type[Record], is_value: Callable[[Any], bool]) -> Record | None:
    """A nested dataclass of numbers, or null."""
    if content is None:
        return None
    expected = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(content, dict) or set(content) != expected or not all(map(is_value, content.values())):
        raise ModelError(
            f"{path}: the card's {name} is {content!r:.80}; expected numbers {', '.join(sorted(expected))}; {AGAIN}"
        )
    return kind(**content)


def _rejection(path: Path, content: Any) -> Rejection | None:
    found = _record(path, "rejection", content, Rejection, lambda value: True)
    if found is not None:
        _require(path, "rejection score", found.score, SCORES.__contains__, f"one of {', '.join(SCORES)}")
        _require(path, "rejection threshold", found.threshold, _is_share, "0 to 1")
        _require(path, "rejection coverage", found.coverage, lambda v: v is None or _is_share(v), "0 to 1, or null")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value: Any) -> bool:
    return _is_count(value) and 0 < value <= LARGEST_INPUT


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_labels(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2:
        return False
    is_name = [isinstance(label, str) and is_plain_name(label) and label.strip() != "" for label in value]
    return all(is_name) and len(set(value)) == len(value)


def _are_versions(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(version, str) for version in value.values())


_TEXTS = ("variant", "sha256", "labels_sha256", "manifest_sha256", "config_sha256", "created", "licence", "attribution")
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("labels", _are_labels, "at least two different names"),
    ("input_size", _is_size, f"pixels, 1 to {LARGEST_INPUT}"),
    ("flatbuffer_bytes", _is_count, "a number of bytes"),
    ("multiply_adds", _is_count, "a number, 0 or more"),
    ("minimum_runtime", _are_versions, "packages with versions"),
    ("tools", _are_versions, "packages with versions"),
    *((name, _is_text, "text") for name in _TEXTS),
)
