"""A recorded session through the loop once more, exactly as it went, without waiting.

In:  a folder that edge/sinks/recording/sink.py wrote.
Out: a Session with all that `edge.live.loop` takes from outside: a source, a clock, the time of day, a gate.

With the same model on the same machine the decisions are the same, byte for byte in the JSON lines. With another
model the same frames are answered anew: a model with another input size sees the recorded input resized. The
session's clock and time of day only move when its source is read.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.base.formats import remark
from edge.contract.decision import Decision
from edge.contract.event import REOPENING, STARTED, STOPPED, Event, Tell
from edge.contract.frame import Frame
from edge.contract.result import PictureClassifier, Result
from edge.contract.sink import ALL
from edge.errors import PhotoError, SourceError, UsageError
from edge.live.loop import LiveConfig
from edge.live.stand_in import StandIn
from edge.photos.damage import read_whole
from edge.picture.geometry import Picture, decode
from edge.sinks.recording.journal import (
    JOURNAL,
    Answered,
    Entry,
    Header,
    Lost,
    Strange,
    model_hash,
    parse_entry,
    parse_header,
    strange_fields,
)

EXPECTED = "expected a folder that flora run --record wrote"


def read_session(folder: str | Path) -> Session:
    """Read the session in `folder`, or the only one in a folder of sessions. Raises SourceError."""
    folder = _session_folder(Path(folder))
    journal = folder / JOURNAL
    try:
        text = journal.read_bytes().decode("ascii")
    except OSError as error:
        raise SourceError(f"{journal}: cannot be read ({error.strerror or error}); {EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{journal}: is not text; {EXPECTED}") from error
    lines = text.split("\n")[:-1]  # what follows the last newline was cut off when the process was killed
    try:
        header = parse_header(lines[0] if lines else "")
    except ValueError as error:
        raise SourceError(f"{journal}: {error}; {EXPECTED}") from error
    found = [_entry(journal, number, line) for number, line in enumerate(lines[1:], 2)]
    entries: list[Entry] = [entry for entry in found if not isinstance(entry, Strange)]
    kept = _without_torn_end(folder, entries, header.size)
    if not any(isinstance(entry, Answered) for entry in kept):
        raise SourceError(f"{folder}: holds no answer; {EXPECTED}, and that ran for a while")
    unknown = remark(journal, strange_fields(header, found))
    return Session(folder, header, kept, cut=len(entries) - len(kept), unknown=unknown)


class Session:
    """A recorded session. `clock`, `wall` and `gate` belong to the source that was asked for last."""

    def __init__(
        self, folder: Path, header: Header, entries: Sequence[Entry], cut: int = 0, unknown: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.header = folder, header
        self._entries, self._cut, self._unknown = entries, cut, unknown
        self._now, self._wall, self._answer_at = self._beginning()
        self._answer: Answered | None = None

    @property
    def answers(self) -> list[Answered]:
        return [entry for entry in self._entries if isinstance(entry, Answered)]

    @property
    def threshold(self) -> float | None:
        """What --threshold was; None: the model's own."""
        return _number(self.header.settings.get("threshold"))

    def config(self, given: LiveConfig) -> LiveConfig:
        """How to run the loop: as given, and as recorded where nothing was given. Raises UsageError."""
        if given.roi is not None:
            raise UsageError("--roi cannot be used with --replay: the recording holds what the model saw")
        default, settings = LiveConfig(), self.header.settings
        recorded = {
            name: _number(settings[name])
            for name in ("smoothing_s", "hysteresis")
            if getattr(given, name) == getattr(default, name) and settings.get(name) is not None
        }
        changes: dict[str, Any] = {"max_fps": None} | recorded
        return replace(given, **changes)

    def source(self, tell: Tell = lambda event: None) -> ReplaySource:
        """The recorded frames from the beginning; `tell` hears what happened between them."""
        self._now, self._wall, self._answer_at = self._beginning()
        self._answer = None
        return ReplaySource(self, tell)

    def clock(self) -> float:
        """Seconds on the recorded source's clock."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch; with it the loop's answer is ready."""
        self._now = self._answer_at
        return self._wall

    def gate(self, frame: Frame) -> bool:
        """True where nothing had moved."""
        return self._answer is not None and self._answer.held

    def timed(self, classifier: PictureClassifier) -> Timed:
        """`classifier`, reporting the recorded times."""
        return Timed(classifier, self)

    def entries(self) -> Iterator[Entry]:
        """All that happened, the clock and the time of day in step."""
        for entry in self._entries:
            if isinstance(entry, Answered):
                self._step_to(entry)
            elif isinstance(entry, Event):
                self._wall = entry.time
            yield entry

    def remark(self, model: Path) -> str | None:
        """One line if `model` is not the one that answered when this was recorded."""
        found, recorded = model_hash(model), self.header.model_sha256
        if found == recorded and found is not None:
            return None
        return f"recorded with {self.header.model} ({(recorded or 'no file')[:12]}); {model.name} answers anew"

    def damage(self) -> list[str]:
        """What is missing, and what is not known, a line each."""
        lost = sum(entry.decisions for entry in self._entries if isinstance(entry, Lost))
        lines = [f"{self.folder}: {lost} decisions were not recorded; from there on the replay differs"] if lost else []
        cut = f"{self.folder}: left out {self._cut} entries at the end, whose pictures were not written whole"
        return lines + [cut] * bool(self._cut) + list(self._unknown)

    @property
    def answer(self) -> Answered | None:
        """The one of the frame that was read last."""
        return self._answer

    def _beginning(self) -> tuple[float, float, float]:
        first = next(entry for entry in self._entries if isinstance(entry, Answered))
        ready_at = _ready_at(first)
        opened = self._entries[0]
        wall = opened.time if isinstance(opened, Event) else self.header.created
        now = ready_at - (first.geometry_ms + first.invoke_ms + first.wait_ms) / 1000
        return now, wall, now

    def _step_to(self, answer: Answered) -> None:
        self._answer, self._wall = answer, answer.time
        self._answer_at = _ready_at(answer)
        self._now = min(_after(self._now, answer.wait_ms), self._answer_at)


class ReplaySource:
    """The frames of a session, one after another; what happened between them goes to `tell`."""

    def __init__(self, session: Session, tell: Tell) -> None:
        self.name, self.is_live = session.header.source, session.header.is_live
        self.dropped = self.reopened = 0
        self.warnings: list[str] = session.damage()
        self._session, self._tell = session, tell
        self._entries = session.entries()
        self._next_number = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        """The next frame; raises SourceError where the recorded source did, or for a damaged picture."""
        if stop is not None and stop.is_set():
            return None
        for entry in self._entries:
            if isinstance(entry, Answered):
                return self._frame(entry)
            if isinstance(entry, Event):
                self._pass_on(entry)
        return None

    def close(self) -> None:
        self._entries = iter(())

    def _frame(self, answer: Answered) -> Frame:
        if self.is_live:
            self.dropped += max(0, answer.frame - self._next_number)
        self._next_number = answer.frame + 1
        path, size = self._session.folder / answer.file, self._session.header.size
        return Frame(_picture(path, size), answer.frame, answer.captured_at, answer.name)

    def _pass_on(self, event: Event) -> None:
        if event.kind == STOPPED and (reason := event.data.get("reason")):
            raise SourceError(str(reason))
        self.reopened += event.kind == REOPENING
        if event.kind not in (STARTED, STOPPED):  # the loop tells of these by itself
            self._tell(event)


class Timed(StandIn):
    """A classifier that reports the recorded times in place of its own."""

    def __init__(self, classifier: PictureClassifier, session: Session) -> None:
        super().__init__(classifier)
        self._session = session

    def __call__(self, frame_bgr: Picture) -> Result:
        result, recorded = super().__call__(frame_bgr), self._session.answer
        if recorded is None:
            return result
        return replace(result, geometry_ms=recorded.geometry_ms, invoke_ms=recorded.invoke_ms)


class Comparison:
    """A sink that counts how many answers of a replay are as they were recorded."""

    name = "comparison"
    backlog = ALL
    needs_picture = False

    def __init__(self, session: Session) -> None:
        self.answers = self.same = 0
        self._recorded = iter(session.answers)
        self._model = session.header.model

    def show(self, decision: Decision, frame: Frame) -> None:
        recorded = next(self._recorded, None)
        self.answers += 1
        self.same += recorded is not None and decision.shown == recorded.shown

    def tell(self, event: Event) -> None:
        """Events are not compared."""

    def close(self) -> None:
        """Nothing is held."""

    def line(self) -> str:
        return f"{self.same} of {self.answers} answers are as they were recorded with {self._model}"


def _session_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise SourceError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; {EXPECTED}")
    if (folder / JOURNAL).exists():
        return folder
    try:
        found = sorted(path.parent for path in folder.glob(f"*/{JOURNAL}"))
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed ({error.strerror or error}); {EXPECTED}") from error
    if len(found) > 1:
        raise SourceError(f"{folder}: holds {len(found)} sessions; name one of them, such as {found[-1]}, the latest")
    if not found:
        raise SourceError(f"{folder}: no {JOURNAL} in it; {EXPECTED}")
    return found[0]


def _entry(journal: Path, number: int, line: str) -> Entry:
    try:
        return parse_entry(line)
    except ValueError as error:
        raise SourceError(f"{journal}: line {number} is damaged ({error}); {EXPECTED}") from error


def _without_torn_end(folder: Path, entries: list[Entry], size: int) -> list[Entry]:
    """`entries` without those at the end whose pictures a power cut left unwritten."""
    kept = list(entries)
    for at in range(len(kept))[::-1]:
        answer = kept[at]
        if not isinstance(answer, Answered):
            continue
        try:
            _picture(folder / answer.file, size)
        except SourceError:
            del kept[at:]
        else:
            break
    return kept


def _picture(path: Path, size: int) -> Picture:
    """One model input, BGR uint8 (size, size, 3)."""
    try:
        data = read_whole(path)
        # Looked up before decoding: a session comes from elsewhere, and a small PNG can unpack to gigabytes.
        found_wh = tuple(int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
        if found_wh != (size, size):
            raise PhotoError(f"is not the PNG of {size}x{size} pixels that was recorded")
        return decode(data, "damaged")
    except PhotoError as error:
        raise SourceError(f"{path}: {error}; {EXPECTED}, unchanged") from error


def _ready_at(answer: Answered) -> float:
    return _after(answer.captured_at, answer.age_ms)


def _after(start_s: float, span_ms: float) -> float:
    """The second at which (it - start_s) * 1000 is exactly `span_ms`, as the loop works it out; the nearest if none."""
    estimate = start_s + span_ms / 1000
    below = above = estimate
    for _ in range(8):
        for at in (below, above):
            if (at - start_s) * 1000 == span_ms:
                return at
        below, above = math.nextafter(below, -math.inf), math.nextafter(above, math.inf)
    return estimate


def _number(value: Any) -> float | None:
    """A setting; None for none."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise SourceError(f"the recorded settings hold {str(value)[:60]!a}; expected a number; {EXPECTED}")
