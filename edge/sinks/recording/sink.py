"""A run as a folder that replays exactly: `flora run --record DIR`, then `flora run --source DIR --replay`.

Out: DIR/<time>/session.jsonl (edge/sinks/recording/journal.py), DIR/<time>/inputs/0000/0000012.png, the model's own
     input of each decision, lossless, and DIR/<time>/clip.avi, a few annotated pictures a second to look at.

Each run gets a folder of its own, so that a service that restarts never spoils what is there. All recordings in DIR
together stay below `max_mb`, and some room stays free on the disk: then recording ends with an event, and the run
goes on. A picture is whole before its line is written, so what is there replays, whenever the process was killed.
One 224-pixel input takes about 85 kB and 2.5 ms of a core: PNG with Huffman coding alone, which is smaller than the
raw pixels in an .npz (118 kB, 2.7 ms) and can be looked at.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from edge.base.files import write_atomically
from edge.contract.decision import Decision
from edge.contract.event import OUTPUT_FAILED, STARTED, STOPPED, Event, Tell
from edge.contract.frame import Frame
from edge.drawing.overlay import draw_overlay
from edge.errors import OutputError, UsageError
from edge.picture.geometry import model_input
from edge.picture.png import FAST_PNG
from edge.picture.video import VideoWriter
from edge.sinks.recording.journal import DERIVED, JOURNAL, Answered, Header, Lost, entry_line, header_line

MAX_MB = 1000.0
FREE_MB = 100.0  # that a recording leaves on the disk
BACKLOG = 32  # decisions, with pictures of 640x480 30 MB: one second in which the disk may be busy
PER_FOLDER = 1000  # pictures
CLIP_FPS = 5.0  # enough to look at, and a sixth of the work
ADVICE = "free some space or choose another folder for the recording"


class RecordSink:
    """One recording. `tell` hears, once, that it is full; `lost` says how many decisions never got here."""

    name = "record"
    backlog = BACKLOG
    needs_picture = True

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        max_mb: float = MAX_MB,
        tell: Tell = lambda event: None,
        lost: Callable[[], int] = lambda: 0,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """Raises UsageError for a limit that is none, OutputError where nothing can be written."""
        if not 0 < max_mb < float("inf"):
            raise UsageError(f"--record-mb is {max_mb:g}; expected more than 0")
        self._header, self._tell, self._lost, self._free_bytes = header, tell, lost, free_bytes
        self._root, self._max_bytes = folder, max_mb * 1e6
        self._answers = self._events = self._told_lost = 0
        self._clip_due_at = float("-inf")
        self._is_full = False
        self.folder, self._bytes = _new_folder(folder, header.created)
        self._journal = _Journal(self.folder / JOURNAL)
        self._journal.add(header_line(header))
        self._clip: VideoWriter | None = VideoWriter(self.folder / "clip.avi", CLIP_FPS)

    def show(self, decision: Decision, frame: Frame) -> None:
        if self._is_full or self._fills_up(decision.time):
            return
        file = f"inputs/{self._answers // PER_FOLDER:04}/{self._answers:07}.png"
        rgb = model_input(frame.seen_bgr, self._header.size)
        picture = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), FAST_PNG)[1].tobytes()
        write_atomically(self.folder / file, picture)
        self._note_lost()
        self._journal.add(entry_line(_answered(decision, frame, file)))
        self._answers += 1
        self._bytes += len(picture)
        self._add_to_clip(decision, frame)

    def tell(self, event: Event) -> None:
        if self._is_full or event.is_update or event.kind in DERIVED:
            return
        self._journal.add(entry_line(event))
        self._events += event.kind not in (STARTED, STOPPED)

    def close(self) -> None:
        """Finish; where nothing happened at all, nothing is left behind."""
        self._journal.close()
        clip, self._clip = self._clip, None
        if clip is not None:
            clip.close()
        if not self._answers and not self._events:
            (self.folder / JOURNAL).unlink(missing_ok=True)
            if self.folder.exists():
                self.folder.rmdir()

    def _note_lost(self) -> None:
        lost = self._lost()
        if lost > self._told_lost:
            self._journal.add(entry_line(Lost(lost - self._told_lost)))
            self._told_lost = lost

    def _fills_up(self, now: float) -> bool:
        """End the recording when it has reached its limit, or the disk's."""
        reason = None
        if self._bytes + _bytes_in(self.folder) >= self._max_bytes:
            reason = f"{self._root} holds {self._max_bytes / 1e6:g} MB; for more: --record-mb"
        elif self._free_bytes(self.folder) < FREE_MB * 1e6:
            reason = f"less than {FREE_MB:g} MB are free on the disk of {self._root}; {ADVICE}"
        if reason is None:
            return False
        self._is_full = True
        try:
            self.close()
        except OutputError as error:
            reason = f"{reason}; {error}"
        self._tell(Event(OUTPUT_FAILED, now, f"recording has ended: {reason}", {"output": self.name, "reason": reason}))
        return True

    def _add_to_clip(self, decision: Decision, frame: Frame) -> None:
        at = frame.captured_at
        if self._clip is None or (self._header.is_live and at < self._clip_due_at):
            return
        # In step with the clock, so that it plays as fast as it went; a stall is left out.
        self._clip_due_at = (self._clip_due_at if at - self._clip_due_at < 1 / CLIP_FPS else at) + 1 / CLIP_FPS
        try:
            self._clip.add(draw_overlay(frame, decision))
        except OutputError:  # the recording itself stands; without its clip it replays as well
            self._clip.discard()
            self._clip = None


class _Journal:
    """Lines appended to a file, each whole or not at all, and there as soon as it is added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def add(self, line: str) -> None:
        data = line.encode("ascii")
        try:
            written = self._file.write(data) or 0
            if written != len(data):  # the disk filled up within this line
                os.ftruncate(self._file.fileno(), os.fstat(self._file.fileno()).st_size - written)
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error
        if written != len(data):
            raise self._error("the disk is full")

    def close(self) -> None:
        self._file.close()

    def _error(self, reason: str) -> OutputError:
        return OutputError(f"{self._path}: cannot be written ({reason}); {ADVICE}")


def _answered(decision: Decision, frame: Frame, file: str) -> Answered:
    result = decision.result
    return Answered(
        file=file,
        frame=frame.number,
        name=frame.name,
        captured_at=float(frame.captured_at),
        time=float(decision.time),
        age_ms=float(decision.age_ms),
        wait_ms=float(decision.wait_ms),
        geometry_ms=float(result.geometry_ms),
        invoke_ms=float(result.invoke_ms),
        held=bool(decision.is_held),
        shown=decision.shown,
        probability=decision.probability,
    )


def _new_folder(root: Path, created: float) -> tuple[Path, int]:
    """Make root/2026-11-23T100211Z, numbered where that is taken; also the bytes of what is in root already."""
    name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(created))
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = {path.name for path in root.iterdir()}
        number = next(number for number in itertools.count(1) if _numbered(name, number) not in taken)
        folder = root / _numbered(name, number)
        folder.mkdir()
        return folder, sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    except OSError as error:
        raise OutputError(f"{root}: cannot be written ({error.strerror or error}); {ADVICE}") from error


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _bytes_in(folder: Path) -> int:
    """Of the journal and the clip, which grow."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
