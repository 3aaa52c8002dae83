"""Frames that the model was unsure about, kept until a person says what they show.

In:  decisions with their frames.
Out: FOLDER/waiting/NAME.png, as edge/sinks/uncertain/kept.py has them, for training only. Once labelled it is
     FOLDER/labelled/<label>/NAME.png: a folder of class folders, as `flora train` takes it.

Unsure is what the model's own rule calls unknown, or a greatest probability below SURE, both before smoothing: of
234 held-out flower photos the rule keeps 11 %, among them 69 % of the wrong answers. A model that was taught other
things and is sure that this is one of them, as of an empty room, leaves nothing to ask. Kept is at most one frame in
so many seconds, and none that looks like one of the last kept. Beyond `max_mb` the oldest that waits goes; what a
person labelled is never deleted and does not count.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.base.files import write_atomically, writing
from edge.contract.decision import Decision
from edge.contract.frame import Clock, Frame
from edge.contract.rejection import UNKNOWN
from edge.contract.result import Result
from edge.errors import UsageError
from edge.picture.png import TRAIN_ONLY
from edge.sinks.uncertain.kept import (
    LABELLED,
    NAME,
    WAITING,
    Mark,
    encoded,
    head_note,
    is_like_one_of,
    mark_in,
    mark_of,
    new_name,
    write_readme,
)

SURE = 0.7  # a greatest probability from here on is sure
REMEMBERED = 64  # of the last kept, what they look like


@dataclass(frozen=True)
class Waiting:
    """A frame that nobody has labelled yet."""

    name: str  # of the file, without .png; in the order of time
    time: float  # seconds since the epoch
    answers: list[tuple[str, float]]  # the most probable labels with their probabilities, best first


class UncertainStore:
    """The folder of one device. One thread may offer while others label."""

    def __init__(
        self,
        folder: Path,
        labels: Sequence[str],
        *,
        max_mb: float = 200,
        per_minute: float = 6,
        clock: Clock = time.monotonic,
    ) -> None:
        """Raises UsageError for limits that are none, OutputError where nothing can be written."""
        if not 0 < max_mb < float("inf"):
            raise UsageError(f"--keep-mb is {max_mb:g}; expected more than 0")
        if not 0 < per_minute < float("inf"):
            raise UsageError(f"--keep-per-minute is {per_minute:g}; expected more than 0")
        self.labels = tuple(labels)
        self._folder, self._clock = folder, clock
        self._max_bytes, self._gap_s = int(max_mb * 1e6), 60 / per_minute
        self._lock = threading.Lock()
        self._kept_at = float("-inf")
        self._bytes: dict[str, int] = self._found()  # of what waits, oldest first
        self._marks: deque[Mark] = deque(self._found_marks(), maxlen=REMEMBERED)

    def offer(self, decision: Decision, frame: Frame) -> Path | None:
        """Keep the frame if it is worth a person's time; the file it is in. Raises OutputError, leaving nothing."""
        if decision.is_held or not is_unsure(decision.result) or self._clock() - self._kept_at < self._gap_s:
            return None
        mark = mark_of(frame.seen_bgr)
        if is_like_one_of(mark, self._marks):
            return None
        path = self._write(encoded(frame.seen_bgr, decision, mark, {TRAIN_ONLY: True}), decision.captured)
        if path is not None:
            self._kept_at = self._clock()
            self._marks.append(mark)
        return path

    def waiting(self, limit: int = 50) -> list[Waiting]:
        """What nobody has labelled yet, newest first."""
        with self._lock:
            names = list(self._bytes)[: -limit - 1 : -1] if limit > 0 else []
        return [_waiting(name, head_note(self._path(name))) for name in names]

    def count(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._bytes)

    def png(self, name: str) -> bytes:
        """The picture as a PNG file. Raises UsageError where there is no such one."""
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise _gone(name) from error

    def label(self, name: str, label: str) -> Path:
        """Move a frame to the folder of its class, "unknown" for what is none of the model's.

        Raises UsageError for a name or label that is none, or OutputError.
        """
        if label not in choices(self.labels) or not _is_folder_name(label):
            raise UsageError(f"label {label!a}: expected one of {', '.join(choices(self.labels))}")
        path, target = self._path(name), self._folder / LABELLED / label / f"{name}.png"
        write_readme(self._folder)
        with self._lock, writing(target):
            self._require(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            self._bytes.pop(name, None)
        return target

    def discard(self, name: str) -> None:
        """Delete a frame. Raises UsageError where there is no such one, or OutputError."""
        path = self._path(name)
        with self._lock, writing(path):
            self._require(name)
            path.unlink()
            self._bytes.pop(name, None)

    def _require(self, name: str) -> None:
        if not self._path(name).exists():  # also where somebody took the file away by hand
            self._bytes.pop(name, None)
            raise _gone(name)

    def _write(self, data: bytes, captured: float) -> Path | None:
        """None for a picture larger than all the room there is."""
        if len(data) > self._max_bytes:
            return None
        with self._lock:
            self._make_room(len(data))
            name = new_name(self._folder, captured)
            path = self._path(name)
            write_atomically(path, data)
            self._bytes[name] = len(data)
            self._bytes = dict(sorted(self._bytes.items()))
        return path

    def _make_room(self, size: int) -> None:
        total = sum(self._bytes.values())
        for name in list(self._bytes):
            if total + size <= self._max_bytes:
                return
            with writing(self._path(name)):
                self._path(name).unlink(missing_ok=True)
            total -= self._bytes.pop(name)

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise UsageError(f"frame {name[:60]!a}: no such name; expected one that the list of waiting frames has")
        return self._folder / WAITING / f"{name}.png"

    def _found(self) -> dict[str, int]:
        """What an earlier run left; what it had only half written is deleted."""
        folder = self._folder / WAITING
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".*.png.*.tmp"):
                leftover.unlink(missing_ok=True)
            paths = sorted(path for path in folder.glob("*.png") if NAME.fullmatch(path.stem))
            return {path.stem: path.stat().st_size for path in paths}

    def _found_marks(self) -> list[Mark]:
        notes = [head_note(self._path(name)) for name in list(self._bytes)[-REMEMBERED:]]
        return [mark for note in notes if (mark := mark_in(note)) is not None]


def is_unsure(result: Result) -> bool:
    """True if the model's own answer, before smoothing, leaves room for doubt."""
    if result.probabilities.max() < np.float32(SURE):  # float32 as they are
        return True
    return result.is_unknown and result.label != UNKNOWN  # one that was taught what is unknown may be sure of it


def choices(labels: Sequence[str]) -> tuple[str, ...]:
    """What a person may call a frame: a class of the model, or "unknown", none of these."""
    return tuple(dict.fromkeys((*labels, UNKNOWN)))


def _waiting(name: str, note: dict[str, Any]) -> Waiting:
    try:
        answers = [(str(label), float(probability)) for label, probability in note.get("answers", [])]
        return Waiting(name, float(note.get("time", 0.0)), answers)
    except (TypeError, ValueError):  # a picture that somebody put there
        return Waiting(name, 0.0, [])


def _is_folder_name(label: str) -> bool:
    """Labels of a stranger's model may be anything; a hidden folder would not be trained on either."""
    return bool(label) and not label.startswith(".") and not any(letter in label for letter in "/\\\0")


def _gone(name: str) -> UsageError:
    return UsageError(f"frame {name}: no such one is waiting; it was labelled, discarded or made room for a newer one")
