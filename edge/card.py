"""The model card: the contract between export and device, inside the `.tflite` file.

A model file is a flatbuffer followed by a zip (the TFLite convention for associated files) that holds
`card.json` and `labels.txt`. The card says what the model expects, how good it is and where it comes from;
its hashes tie it to the flatbuffer and to the labels, so a card of another model is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge import geometry
from edge.dependencies import first_line
from edge.errors import ModelError

FORMAT = 1
CARD, LABELS = "card.json", "labels.txt"
LARGEST_ENTRY = 1 << 20  # bytes; a card has a few thousand, so more is no card
LARGEST_MODEL = 1 << 30
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every TFLite flatbuffer
AGAIN = "copy or export it again"


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy with its 95 % Wilson interval, on `photos` held-out photos that nothing was chosen by."""

    top1: float
    low: float
    high: float
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
    unknown_threshold: float | None  # a top probability below this means "unknown"
    coverage: float | None  # share of known photos the threshold was chosen to keep
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
    """The two halves of a model file."""

    path: Path
    flatbuffer: bytes
    card: ModelCard


def labels_text(labels: tuple[str, ...]) -> bytes:
    """The content of labels.txt: one label a line, UTF-8."""
    return ("\n".join(labels) + "\n").encode()


def pack(flatbuffer: bytes, card: ModelCard) -> bytes:
    """The bytes of a model file. Pack last: rewriting the flatbuffer drops the zip."""
    store = io.BytesIO()
    store.write(flatbuffer)
    with zipfile.ZipFile(store, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(CARD), json.dumps(asdict(card), indent=1, sort_keys=True))
        archive.writestr(_entry(LABELS), labels_text(card.labels))
    return store.getvalue()


def read_model(path: str | Path) -> ModelFile:
    """Read a model file and check that its parts belong together.

    Raises ModelError for a missing, cut or foreign file, one without card or labels, a newer card, or a hash
    that does not fit.
    """
    path = Path(path)
    data = _read(path)
    flatbuffer, entries = _halves(path, data)
    if CARD not in entries:
        raise ModelError(
            f"{path}: no labels and no card inside, or its end is cut off; copy it again, or write it with flora export"
        )
    card = _card(path, entries[CARD])
    if _sha256(flatbuffer) != card.sha256:
        raise ModelError(
            f"{path}: the card inside is of another model, or the file is damaged (sha256 differs); {AGAIN}"
        )
    if entries.get(LABELS) != labels_text(card.labels) or _sha256(entries[LABELS]) != card.labels_sha256:
        raise ModelError(f"{path}: {LABELS} and the card inside disagree; {AGAIN}")
    return ModelFile(path, flatbuffer, card)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # a fixed date, so that the same model gives the same bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


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


def _halves(path: Path, data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split into the flatbuffer and the zip's entries; a file without a zip has no entries."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data, {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            known = [info for info in infos if info.filename in {CARD, LABELS}]
            _require_plain(path, known)
            entries = {info.filename: archive.read(info) for info in known}
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the card inside cannot be unpacked ({first_line(error)}); {AGAIN}") from error
    return data[: min((info.header_offset for info in infos), default=len(data))], entries


def _require_plain(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Nothing but what `pack` writes is unpacked: no bomb, no cipher, no second card."""
    if len({entry.filename for entry in entries}) != len(entries):
        raise ModelError(f"{path}: the card inside is doubled; {AGAIN}")
    for entry in entries:
        if entry.file_size > LARGEST_ENTRY or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(
                f"{path}: {entry.filename} inside has {entry.file_size} bytes, compressed by method "
                f"{entry.compress_type}; expected at most {LARGEST_ENTRY}, by method 0 or 8; {AGAIN}"
            )


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
    accuracies = {name: _accuracy(path, name, content[name]) for name in ("accuracy", "float_accuracy")}
    for name, is_right, expected in _RULES:
        if not is_right(content[name]):
            raise ModelError(f"{path}: the card's {name} is {content[name]!r:.80}; expected {expected}; {AGAIN}")
    return ModelCard(**{**content, **accuracies, "labels": tuple(content["labels"])})


def _accuracy(path: Path, name: str, content: Any) -> Accuracy | None:
    if content is None:
        return None
    expected = {field.name for field in fields(Accuracy)}
    if not isinstance(content, dict) or set(content) != expected or not all(map(_is_number, content.values())):
        raise ModelError(
            f"{path}: the card's {name} is {content!r:.80}; expected numbers {', '.join(sorted(expected))}; {AGAIN}"
        )
    return Accuracy(**content)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value <= 1)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_labels(value: Any) -> bool:
    if not isinstance(value, list) or len(value) < 2:
        return False
    is_name = [isinstance(label, str) and label != "" and "\n" not in label for label in value]
    return all(is_name) and len(set(value)) == len(value)


def _are_tools(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(version, str) for version in value.values())


_TEXTS = ("variant", "sha256", "labels_sha256", "manifest_sha256", "config_sha256", "created", "licence", "attribution")
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("labels", _are_labels, "at least two different names"),
    ("input_size", _is_size, "pixels, 1 or more"),
    ("unknown_threshold", _is_share, "a probability from 0 to 1, or null"),
    ("coverage", _is_share, "a share from 0 to 1, or null"),
    ("tools", _are_tools, "names with versions"),
    *((name, _is_text, "text") for name in _TEXTS),
)
