"""The model card: the contract between export and device, inside the `.tflite` file.

A model file is a flatbuffer followed by a zip (the TFLite convention for associated files) that holds
`card.json` and `labels.txt`. The card says what the model expects, how good it is and where it comes from;
its hashes tie it to the flatbuffer and to the labels, so a card of another model is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge import geometry
from edge.errors import ModelError

FORMAT = 1
CARD, LABELS = "card.json", "labels.txt"
LARGEST_ENTRY = 1 << 20  # bytes; a card has a few thousand, so more is no card
LARGEST_MODEL = 1 << 30
IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every TFLite flatbuffer


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
            f"{path}: no labels and no card inside; expected a file written by: flora export RUN -o {path.name}"
        )
    card = _card(path, entries[CARD])
    if hashlib.sha256(flatbuffer).hexdigest() != card.sha256:
        raise ModelError(
            f"{path}: the card inside is of another model, or the file is damaged (sha256 differs); copy or export it again"
        )
    if entries.get(LABELS) != labels_text(card.labels):
        raise ModelError(f"{path}: {LABELS} and the card inside disagree; copy or export it again")
    return ModelFile(path, flatbuffer, card)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # a fixed date, so that the same model gives the same bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"{path}: a folder without config.json; expected a .tflite file or a run folder")
        if path.stat().st_size > LARGEST_MODEL:
            raise ModelError(f"{path}: {path.stat().st_size} bytes; expected a model of at most {LARGEST_MODEL}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; expected a .tflite file written by: flora export") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data[4:8] != IDENTIFIER:
        raise ModelError(
            f"{path}: not a TFLite model ({len(data)} bytes, no {IDENTIFIER.decode()} mark); expected a file written by: flora export"
        )
    return data


def _halves(path: Path, data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split into the flatbuffer and the zip's entries; a file without a zip has no entries."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            known = [info for info in infos if info.filename in {CARD, LABELS}]
            if len({info.filename for info in known}) != len(known) or any(
                info.file_size > LARGEST_ENTRY for info in known
            ):
                raise ModelError(f"{path}: the card inside is doubled or too large; copy or export it again")
            entries = {info.filename: archive.read(info) for info in known}
            start = min((info.header_offset for info in infos), default=len(data))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, zipfile.BadZipFile) and "not a zip" in str(error):
            return data, {}
        raise ModelError(f"{path}: the card inside cannot be read ({error}); copy or export it again") from error
    except Exception as error:  # zlib.error has no public base class
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: the card inside cannot be unpacked ({error}); copy or export it again") from error
    return data[:start], entries


def _card(path: Path, text: bytes) -> ModelCard:
    try:
        content = json.loads(text)
        version = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the card inside is not valid ({error!r}); copy or export it again") from error
    if version != FORMAT:
        raise ModelError(
            f"{path}: its card is of format {version}, this Flora reads format {FORMAT}; update Flora or export it again"
        )
    expected = {field.name for field in fields(ModelCard)}
    if set(content) != expected:
        raise ModelError(
            f"{path}: fields missing from or unknown in the card: {', '.join(sorted(set(content) ^ expected))}"
        )
    return _checked(path, content)


def _checked(path: Path, content: dict[str, Any]) -> ModelCard:
    for name in ("accuracy", "float_accuracy"):
        if content[name] is not None:
            content[name] = Accuracy(**content[name])
    labels = content["labels"]
    if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) and label for label in labels):
        raise ModelError(f"{path}: the card's labels are {labels!r:.80}; expected at least two names")
    if content["geometry"] != geometry.RULE or content["colour_order"] != "RGB":
        raise ModelError(
            f"{path}: it expects pictures by the rule {content['geometry']!r} in {content['colour_order']!r} order; "
            f"this Flora knows {geometry.RULE!r} in RGB; update Flora or export it again"
        )
    return ModelCard(**{**content, "labels": tuple(labels)})
