"""Decisions and events as JSON lines: one object per line, appended to a file or written to a stream.

Out: {"time": "2026-11-23T06:50:00.123Z", "epoch": 1795416600.123, "source": "photos", "frame": 12,
      "name": "roses/7.jpg", "label": "roses", "probability": 0.97, "unknown": false,
      "probabilities": {"roses": 0.97, "tulips": 0.02}, "latency_ms": 3.6, "age_ms": 7.2,
      "captured": "2026-11-23T06:50:00.116Z"}
     A decision that stands because nothing moved also says "held": true, and one that is unknown
     "nearest": {"label": "roses", "probability": 0.45}, the most probable class that is known.
     {"event": "no_picture", "time": "2026-11-23T06:50:10.000Z", "epoch": 1795416610.0, "text": "no picture for 4 s",
      "seconds": 4.0}
     Every event that happened, but not those that only repeat that it still goes on.

Each line goes out whole and at once, so that a reader that follows never sees half an object. A call that raised
OutputError has left nothing that a later, equal call would write twice.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge.base.options import option
from edge.base.streams import abandon
from edge.contract.decision import Decision
from edge.contract.event import Event, iso_utc
from edge.contract.frame import Frame
from edge.contract.result import nearest_record
from edge.contract.sink import ALL, Opened, Run
from edge.errors import OutputError, UsageError

ADVICE = "free some space or choose another path for the JSON lines"
MB = 1_000_000  # bytes
STDOUT = "-"


@dataclass(frozen=True)
class JsonLinesOptions:
    """Where JSON lines go."""

    jsonl: str | None = option(
        None, "append one JSON object per decision and per event to PATH; - is stdout", metavar="PATH"
    )
    jsonl_rotate_mb: float = option(0.0, "begin a new file after so many megabytes; 0 never", metavar="MB")
    jsonl_keep: int = option(5, "that many old files of it are kept", metavar="N")


def open_jsonl(options: JsonLinesOptions, run: Run) -> Opened | None:
    """None where no file is asked for. Raises UsageError and OutputError."""
    if not options.jsonl or options.jsonl == STDOUT:
        return None
    sink = JsonLinesFile(options.jsonl, rotate_mb=options.jsonl_rotate_mb, keep=options.jsonl_keep)
    return Opened(sink, wrote=options.jsonl)


class JsonLinesStream:
    """JSON lines to a stream that somebody else opened and will close, such as stdout."""

    name = "jsonl"
    backlog = ALL
    needs_picture = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._torn = b""  # the line that went out in part
        self._rest = b""  # of it, what is missing

    def show(self, decision: Decision, frame: Frame) -> None:
        self._write(json_line(decision))

    def tell(self, event: Event) -> None:
        if not event.is_update:
            self._write(json.dumps(event.record()))

    def close(self) -> None:
        """The stream is not ours to close."""

    def _write(self, text: str) -> None:
        line = text.encode("ascii") + b"\n"
        try:
            descriptor = _descriptor(self._stream)
            if descriptor is None:
                self._stream.write(text + "\n")
                self._stream.flush()
            else:
                self._write_raw(descriptor, line)
        except BrokenPipeError:
            abandon(self._stream)
            raise
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"JSON lines cannot be written to the output ({reason}); {ADVICE}") from error

    def _write_raw(self, descriptor: int, line: bytes) -> None:
        # Past the stream's own buffer, which would keep a line that failed and send it after the one that repeats it.
        self._stream.flush()
        finished = self._torn if self._rest else b""
        self._drain(descriptor)
        if line != finished:
            self._torn, self._rest = line, line
            self._drain(descriptor)

    def _drain(self, descriptor: int) -> None:
        while self._rest:
            try:
                self._rest = self._rest[os.write(descriptor, self._rest) :]
            except OSError:
                if self._rest == self._torn:  # nothing of it went out
                    self._torn = self._rest = b""
                raise


class JsonLinesFile:
    """JSON lines appended to a file; what is in it stays.

    Before a line would take the file beyond `rotate_mb` (0: never), the file is renamed to `path`.1, what was there
    to `path`.2 and so on; of these old ones `keep` stay. If somebody else moves or deletes the file, the next line
    begins a new one.
    """

    name = "jsonl"
    backlog = ALL
    needs_picture = False

    def __init__(self, path: str | Path, *, rotate_mb: float = 0.0, keep: int = 5) -> None:
        if not 0 <= rotate_mb < float("inf"):
            raise UsageError(f"--jsonl-rotate-mb is {rotate_mb:g}; expected 0 (never) or more megabytes")
        if keep < 1:
            raise UsageError(f"--jsonl-keep is {keep}; expected 1 or more old files")
        self._path = Path(path)
        self._limit_bytes = rotate_mb * MB
        self._keep = keep
        self._file: io.FileIO | None = None
        try:
            self._open()
        except OSError as error:
            raise self._error(error) from error

    def show(self, decision: Decision, frame: Frame) -> None:
        self._append(json_line(decision))

    def tell(self, event: Event) -> None:
        if not event.is_update:
            self._append(json.dumps(event.record()))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, text: str) -> None:
        line = text.encode("ascii") + b"\n"
        try:
            file = self._file_for(len(line))
            written = file.write(line) or 0
            if written < len(line):  # the disk filled up within this line
                size = os.fstat(file.fileno()).st_size
                os.ftruncate(file.fileno(), size - written)
                raise OutputError(f"{self._path}: cannot be written (the disk is full); {ADVICE}")
        except OSError as error:
            self._forget()
            raise self._error(error) from error

    def _file_for(self, line_bytes: int) -> io.FileIO:
        """The file at the path, with room for a line; opened, reopened or begun anew where it must be."""
        if self._file is None or not self._is_in_place(self._file):
            self._forget()
            self._open()
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size  # 0 for what is no file
        if size > 0 and 0 < self._limit_bytes < size + line_bytes:
            self._forget()
            self._rotate()
            self._open()
        return self._file

    def _is_in_place(self, file: io.FileIO) -> bool:
        """False once the path names another file or none: it was moved, deleted, or its disk went and came back."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        # Unbuffered: one line is one write, so a full disk shows at once and leaves nothing behind in a buffer.
        file = io.FileIO(self._path, "ab")
        try:
            if _ends_within_a_line(self._path):  # the power went while it was written
                file.write(b"\n")
        except OSError:
            file.close()
            raise
        self._file = file

    def _rotate(self) -> None:
        # Only up to the first free number: a rotation that was killed half way left one, and nothing is lost by it.
        path = self._path.resolve()  # a link stays, and its file is renamed where it lies
        numbered = [path.with_name(f"{path.name}.{number}") for number in range(1, self._keep + 1)]
        free = next((place for place, old in enumerate(numbered) if not old.exists()), self._keep - 1)
        for place in range(free, 0, -1):
            numbered[place - 1].replace(numbered[place])
        path.replace(numbered[0])

    def _forget(self) -> None:
        """Close the file, so that the next line opens it anew, on a disk that may be another one by then."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # its disk may have gone, which is why it is closed
                file.close()

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path}: cannot be written ({error.strerror or error}); {ADVICE}")


def json_line(decision: Decision) -> str:
    """One decision as one line of ASCII JSON, without its newline; probabilities best first."""
    ranked = decision.top(len(decision.probabilities))
    record = {
        "time": iso_utc(decision.time),
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
        "captured": iso_utc(decision.captured),
    }
    return json.dumps(record | nearest_record(decision) | ({"held": True} if decision.is_held else {}))


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (io.UnsupportedOperation, ValueError):  # in memory, or closed
        return None


def _ends_within_a_line(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
