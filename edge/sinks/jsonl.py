"""Decisions as JSON lines: one object per decision, appended to a file or written to a stream.

Out: {"time": "2026-11-23T06:50:00.123Z", "epoch": 1795416600.123, "source": "photos", "frame": 12,
      "name": "roses/7.jpg", "label": "roses", "probability": 0.97, "unknown": false,
      "probabilities": {"roses": 0.97, "tulips": 0.02}, "latency_ms": 3.6, "age_ms": 7.2}

Each line goes out whole and at once, so that a reader that follows never sees half an object.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from edge.errors import OutputError
from edge.frames import Frame
from edge.sinks import abandon
from edge.smoothing import Decision

ADVICE = "free some space or choose another path for the JSON lines"


class JsonLinesStream:
    """JSON lines to a stream that somebody else opened and will close, such as stdout."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, decision: Decision, frame: Frame) -> None:
        try:
            self._stream.write(json_line(decision) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            abandon(self._stream)
            raise
        except OSError as error:
            abandon(self._stream)
            raise OutputError(f"JSON lines cannot be written to the output ({error.strerror}); {ADVICE}") from error

    def close(self) -> None:
        """The stream is not ours to close."""


class JsonLinesFile:
    """JSON lines appended to a file; what is in it stays."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            # Unbuffered: one line is one write, so a full disk shows at once and leaves nothing behind in a buffer.
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise self._error(error) from error

    def show(self, decision: Decision, frame: Frame) -> None:
        line = json_line(decision).encode("ascii") + b"\n"
        try:
            written = self._file.write(line)
            if written != len(line):  # the disk filled up within this line
                os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - (written or 0))
        except OSError as error:
            raise self._error(error) from error
        if written != len(line):
            raise OutputError(f"{self._path}: cannot be written (the disk is full); {ADVICE}")

    def close(self) -> None:
        self._file.close()

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path}: cannot be written ({error.strerror or error}); {ADVICE}")


def json_line(decision: Decision) -> str:
    """One decision as one line of ASCII JSON, without its newline; probabilities best first."""
    ranked = decision.top(len(decision.probabilities))
    record = {
        "time": _iso_utc(decision.time),
        "epoch": round(decision.time, 3),
        "source": decision.source,
        "frame": decision.frame,
        "name": decision.name,
        "label": decision.label,
        "probability": round(decision.probability, 6),
        "unknown": decision.is_unknown,
        "probabilities": {label: round(probability, 6) for label, probability in ranked},
        "latency_ms": round(decision.latency_ms, 3),
        "age_ms": round(decision.age_ms, 3),
    }
    return json.dumps(record)


def _iso_utc(epoch_s: float) -> str:
    moment = datetime.fromtimestamp(epoch_s, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
