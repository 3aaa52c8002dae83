"""The journal of a recorded run: `session.jsonl`, which `--record` writes and `--replay` reads.

In/out: one JSON object with one key a line: {"session": Header} first, then {"answer": Answered} for each decision,
        {"event": Event} for what happened between them and {"lost": n} where decisions went unrecorded. A line, and
        each object in it, may hold more, or lack what has a default (edge/base/formats.py).

Numbers are written so that they are read back bit by bit; times are in milliseconds or seconds, as their names say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.base.formats import FIRST, Lasting, if_missing, plain, read_fields, require_readable, strange
from edge.contract.event import SIGHTING, SIGHTING_BEGAN, Event
from edge.contract.frame import Source
from edge.contract.result import PictureClassifier

FORMAT = 1  # a reader refuses one whose major number is newer
JOURNAL = "session.jsonl"
PICTURE = re.compile(r"inputs/\d{4,12}/\d{7,15}\.png")
DERIVED = frozenset({SIGHTING_BEGAN, SIGHTING})  # come of the decisions, in a replay once more


@dataclass(frozen=True)
class Header(Lasting):
    """What the run was."""

    model: str = field(metadata=if_missing("a model without a name"))  # file name
    model_sha256: str | None = field(metadata=if_missing(None))  # of the file; None where it is not one file
    labels: tuple[str, ...] = field(metadata=if_missing(()))
    size: int  # pixels, side of the model's input
    source: str = field(metadata=if_missing("a recording"))  # its name
    is_live: bool = field(metadata=if_missing(False))
    created: float = field(metadata=if_missing(0.0))  # seconds since the epoch
    settings: Mapping[str, Any] = field(default_factory=dict)  # as given: smoothing_s, hysteresis, threshold, roi ...


@dataclass(frozen=True)
class Answered(Lasting):
    """One decision, and the model's input that it is about."""

    file: str  # PNG below the session's folder
    frame: int  # number in its source
    name: str = field(metadata=if_missing(""))
    captured_at: float  # seconds on the source's clock
    time: float  # seconds since the epoch, when the answer was ready
    age_ms: float
    wait_ms: float = field(metadata=if_missing(0.0))
    geometry_ms: float = field(metadata=if_missing(0.0))
    invoke_ms: float = field(metadata=if_missing(0.0))
    held: bool = field(metadata=if_missing(False))
    shown: str = field(metadata=if_missing(""))  # the answer, "unknown" being one
    probability: float = field(metadata=if_missing(0.0))


@dataclass(frozen=True)
class Lost(Lasting):
    """So many decisions are missing here: the recording could not keep up."""

    decisions: int


@dataclass(frozen=True)
class Strange(Lasting):
    """A line of a kind that this Flora does not know."""



Entry = Answered | Event | Lost | Strange


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
    return _line("session", {"format": FORMAT} | plain(header))


def entry_line(entry: Entry) -> str:
    if isinstance(entry, Lost):
        return _line("lost", entry.decisions)
    if isinstance(entry, Answered):
        return _line("answer", plain(entry))
    if isinstance(entry, Strange):
        return json.dumps(entry.others) + "\n"
    told = {"kind": entry.kind, "time": entry.time, "text": entry.text, "data": dict(entry.data)}
    return _line("event", told | entry.others)


def parse_header(line: str) -> Header:
    """Raises ValueError, saying what is odd."""
    key, content = _parsed(line)
    if key != "session" or not isinstance(content, dict):
        raise ValueError("does not begin with what the session was")
    require_readable(content.pop("format", FIRST), FORMAT)
    header = read_fields(Header, content)
    if not 1 <= header.size <= 4096:
        raise ValueError("its size is not one of a model's input")
    return header


def parse_entry(line: str) -> Entry:
    """Raises ValueError, saying what is odd."""
    key, content = _parsed(line)
    if key == "lost":
        return read_fields(Lost, {"decisions": content})
    if key == "event":
        return read_fields(Event, content)
    if key != "answer":
        return Strange(others={key: content})
    answer = read_fields(Answered, content)
    if not PICTURE.fullmatch(answer.file) or answer.frame < 0:
        raise ValueError(f"its picture {answer.file[:60]!a} or its number {answer.frame} cannot be")
    return answer


def strange_fields(header: Header, entries: Iterable[Entry]) -> list[str]:
    """What a recording holds that this Flora does not know, as in "answer.brightness"; each once."""
    within = {Answered: "answer.", Event: "event."}
    found = [name for entry in entries for name in strange(entry, within.get(type(entry), ""))]
    return list(dict.fromkeys(strange(header, "session.") + found))


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
