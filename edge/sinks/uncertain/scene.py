"""The scene that a fixed camera sees without its subject, kept as pictures of the class "unknown".

In:  decisions with their frames, whatever the answer, for so many seconds from the first frame on.
Out: FOLDER/labelled/unknown/NAME.png, as edge/sinks/uncertain/kept.py has them. Each says in its note of what source
     and minute it is (GROUP), so that training keeps the frames of one minute in one split; they may be measured on.

Kept is what looks like none of those kept before, at most two frames a second and MOST_FRAMES in all, which are spread
over the time; of a scene that stands still STILL_FRAMES, with the noise of each. They have `max_mb` of their own
beside what waits for a person; those of earlier lessons count, and none is ever deleted.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edge.base.files import write_atomically
from edge.base.text import printable
from edge.contract.decision import Decision
from edge.contract.frame import Frame
from edge.contract.rejection import UNKNOWN
from edge.picture.png import GROUP, LONGEST_GROUP
from edge.sinks.uncertain.kept import (
    LABELLED,
    Mark,
    encoded,
    head_note,
    is_like_one_of,
    mark_in,
    mark_of,
    new_name,
    write_readme,
)

MOST_FRAMES, FASTEST_S = 240, 0.5  # of one lesson; between two of its frames
STILL_FRAMES = 5


class SceneLesson:
    """One lesson. The folder must exist; `max_mb` is checked by whoever opens it."""

    def __init__(self, folder: Path, *, seconds: float, max_mb: float) -> None:
        self.kept = 0
        self.folder = folder / LABELLED / UNKNOWN
        self._root, self._seconds, self._max_bytes = folder, seconds, int(max_mb * 1e6)
        self._gap_s, self._still_s = max(FASTEST_S, seconds / MOST_FRAMES), seconds / STILL_FRAMES
        self._began_at: float | None = None  # on the source's clock
        self._kept_at = float("-inf")
        self._is_full = False
        self._bytes, self._marks = self._found()

    def is_over(self, frame: Frame) -> bool:
        """Whether the time was up before this frame."""
        return self._began_at is not None and frame.captured_at - self._began_at >= self._seconds

    def offer(self, decision: Decision, frame: Frame) -> Path | None:
        """Keep the frame if it teaches something; the file it is in. Raises OutputError, leaving nothing.

        The first one begins the lesson.
        """
        self._began_at = frame.captured_at if self._began_at is None else self._began_at
        waited_s = frame.captured_at - self._kept_at
        if self._is_full or self.kept >= MOST_FRAMES or waited_s < self._gap_s:
            return None
        mark = mark_of(frame.seen_bgr)
        if waited_s < self._still_s and is_like_one_of(mark, self._marks):
            return None
        data = encoded(frame.seen_bgr, decision, mark, {GROUP: minute_of(decision)})
        self._is_full = self._bytes + len(data) > self._max_bytes
        if self._is_full:
            return None
        write_readme(self._root)
        path = self.folder / f"{new_name(self._root, decision.captured)}.png"
        write_atomically(path, data)
        self.kept, self._kept_at, self._bytes = self.kept + 1, frame.captured_at, self._bytes + len(data)
        self._marks.append(mark)
        return path

    def line(self) -> str:
        """What came of it and what to do with that, for a person."""
        full = ", and --keep-mb allows no more" if self._is_full else ""
        if not self.kept:
            return f"no frame of the scene was kept{full or ': there was no picture'}"
        frames = "1 frame" if self.kept == 1 else f"{self.kept} frames"
        return (
            f"kept {frames} of the scene in {self.folder}{full}; to learn it, copy what is in {self._root / LABELLED} "
            "into the folder of photos and train again"
        )

    def _found(self) -> tuple[int, list[Mark]]:
        """Bytes and marks of the frames that earlier lessons left."""
        notes = {path: head_note(path) for path in sorted(self.folder.glob("*.png"))}
        mine = {path: note for path, note in notes.items() if GROUP in note}
        marks = [mark for note in list(mine.values())[-MOST_FRAMES:] if (mark := mark_in(note)) is not None]
        return sum(path.stat().st_size for path in mine), marks


def minute_of(decision: Decision) -> str:
    """The same for all frames of one minute of one source, UTC: "camera 0 2026-11-30T17:26"."""
    minute = f" {datetime.fromtimestamp(decision.captured, timezone.utc):%Y-%m-%dT%H:%M}"
    return printable(decision.source)[: LONGEST_GROUP - len(minute)] + minute
