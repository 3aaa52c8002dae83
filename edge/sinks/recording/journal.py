"""The journal of a recorded run: `session.jsonl`, which `--record` writes and `--replay` reads.

In/out: one JSON object with one key a line: {"session": Header} first, then {"answer": Answered} for each decision,
        {"event": Event} for what happened between them and {"lost": n} where decisions went unrecorded.

Numbers are written so that they are read back bit by bit; times are in milliseconds or seconds, as their names say.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from edge.contract.event import SIGHTING, SIGHTING_BEGAN, Event
from edge.contract.frame import Source
from edge.contract.result import PictureClassifier

FORMAT = 1  # a reader refuses a newer one
JOURNAL = "session.jsonl"
PICTURE = re.compile(r"inputs/\d{4,12}/\d{7,15}\.png")
DERIVED = frozenset({SIGHTING_BEGAN, SIGHTING})  # come of the decisions, in a replay once more


@dataclass(frozen=True)
class Header:
    """What the run was."""

    model: str  # file name
    model_sha256: str | None  # of the file; None where it is not one file
    labels: tuple[str, ...]
    size: int  # pixels, side of the model's input
    source: str  # its name
    is_live: bool
    created: float  # seconds since the epoch
    settings: Mapping[str, Any] = field(default_factory=dict)  # as given: smoothing_s, hysteresis, threshold, roi ...


@dataclass(frozen=True)
class Answered:
    """One decision, and the model's input that it is about."""

    file: str  # PNG below the session's folder
    frame: int  # number in its source
    name: str
    captured_at: float  # seconds on the source's clock
    time: float  # seconds since the epoch, when the answer was ready
    age_ms: float
    wait_ms: float
    geometry_ms: float
    invoke_ms: float
    held: bool
    shown: str  # the answer, "unknown" being one
    probability: float


@dataclass(frozen=True)
class Lost:
    """So many decisions are missing here: the recording could not keep up."""

    decisions: int


Entry = Answered | Event | Lost


def header_of(
    classifier: PictureClassifier, model: Path, source: Source, settings: Mapping[str, Any], created: float
) -> Header:
    """What a run over `source` is; `model` is the classifier's file or folder, `created` seconds since the epoch."""
    return Header(
        classifier.name, model_hash(model), classifier.labels, classifier.size, source.name, source.is_live, created,
        dict(settings),
    )  # fmt: skip


def model_hash(model: Path) -> str | None:
    """Hex sha256 of a model file; None where it is no single file."""
    return hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else None


def header_line(header: Header) -> str:
    return _line("session", {"format": FORMAT} | asdict(header))


def entry_line(entry: Entry) -> str:
    if isinstance(entry, Lost):
        return _line("lost", entry.decisions)
    if isinstance(entry, Answered):
        return _line("answer", vars(entry))
    return _line("event", {"kind": entry.kind, "time": entry.time, "text": entry.text, "data": dict(entry.data)})


def parse_header(line: str) -> Header:
    """Raises ValueError, saying what is odd."""
    key, content = _parsed(line)
    if key != "session" or not isinstance(content, dict):
        raise ValueError("does not begin with what the session was")
    if content.pop("format", None) != FORMAT:
        raise ValueError(f"not of format {FORMAT}; it was recorded by another version of Flora")
    labels, settings = content.get("labels"), content.get("settings")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its labels are not words")
    if not isinstance(settings, dict) or not isinstance(content.get("model_sha256"), str | None):
        raise ValueError("its settings or its model are not what they should be")
    if not isinstance(content.get("size"), int) or not 1 <= content["size"] <= 4096:
        raise ValueError("its size is not one of a model's input")
    return Header(**_checked(Header, content | {"labels": tuple(labels)}))


def parse_entry(line: str) -> Entry:
    """Raises ValueError, saying what is odd."""
    key, content = _parsed(line)
    if key == "lost" and isinstance(content, int):
        return Lost(content)
    if not isinstance(content, dict) or key not in ("answer", "event"):
        raise ValueError("neither an answer nor an event")
    if key == "event":
        if not isinstance(content.get("data"), dict):
            raise ValueError("an event without data")
        return Event(**_checked(Event, content | {"is_update": False}))
    answer = Answered(**_checked(Answered, content))
    if not PICTURE.fullmatch(answer.file) or answer.frame < 0:
        raise ValueError(f"its picture {answer.file[:60]!a} or its number {answer.frame} cannot be")
    return answer


def _line(key: str, content: Any) -> str:
    return json.dumps({key: content}, allow_nan=False) + "\n"


def _parsed(line: str) -> tuple[str, Any]:
    try:
        content = json.loads(line, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict) or len(content) != 1:
        raise ValueError("not one JSON object with one key")
    return next(iter(content.items()))


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number")


_FITS: dict[Any, Callable[[Any], bool]] = {
    int: lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53,
    float: lambda value: isinstance(value, float) and math.isfinite(value),
    bool: lambda value: isinstance(value, bool),
    str: lambda value: isinstance(value, str),
}


def _checked(kind: type[Any], content: dict[str, Any]) -> dict[str, Any]:
    """`content` if it has the fields of `kind`, each of its type."""
    hints = get_type_hints(kind)
    if set(content) != set(hints):
        raise ValueError(f"unexpected or missing fields {', '.join(sorted(set(content) ^ set(hints)))[:200]!a}")
    wrong = [name for name, hint in hints.items() if hint in _FITS and not _FITS[hint](content[name])]
    if wrong:
        raise ValueError(f"{wrong[0]} is {str(content[wrong[0]])[:60]!a}")
    return content
