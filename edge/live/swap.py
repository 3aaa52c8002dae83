"""A model file that is replaced while it is in use: the new one is proved, then takes over between two frames.

In:  the path of the model in use, a function that opens it, the classifier opened from it, frames BGR uint8 (H, W, 3).
Out: Results, of the old model until the new one has opened, passed its golden cases and answered once; Events
     MODEL_CHANGED and MODEL_REFUSED.

A file that is still being written is waited for: it is opened once two looks in a row, `every_s` apart, found the same
change. One that is refused is not tried again until it changes. The new classifier is called by the watching thread
until it takes over and by the loop from then on, never by both, since an interpreter is not for several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge.contract.event import MODEL_CHANGED, MODEL_REFUSED, Event, Tell
from edge.contract.frame import Clock
from edge.contract.result import PictureClassifier
from edge.errors import FloraError, ModelError
from edge.live.stand_in import StandIn

EVERY_S = 2.0

_Mark = tuple[int, int, int]


class ModelWatch(StandIn):
    """Call it as the classifier that it stands for; `name`, `labels` and all else are those of the one in use.

    `must_prove` False takes a new file without its golden cases, as --no-verify does. `start` begins to watch in a
    thread, `close` ends that; without a thread, `look` is one look.
    """

    def __init__(
        self,
        path: Path,
        open_model: Callable[[], PictureClassifier],
        current: PictureClassifier,
        *,
        tell: Tell,
        must_prove: bool = True,
        every_s: float = EVERY_S,
        wall: Clock = time.time,
    ) -> None:
        super().__init__(current)
        self._path, self._open, self._tell = path, open_model, tell
        self._must_prove, self._every_s, self._wall = must_prove, every_s, wall
        self._settled = self._mark()  # of the file that was last opened, or refused
        self._changing: _Mark | None = None  # as the last look found it
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, name=f"watch {self._path.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching. May be called twice."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Look once at the file; if it has changed and settled, put it in place of the current one or refuse it."""
        found = self._mark()
        if found is None or found == self._settled:  # where it has gone, the model in memory lives on
            self._changing = None
        elif found != self._changing:
            self._changing = found
        else:
            self._settled, self._changing = found, None
            self._replace(found)

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            self.look()

    def _mark(self) -> _Mark | None:
        """What tells one file from another without reading it; None where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _replace(self, mark: _Mark) -> None:
        try:
            new = self._proved()
        except (FloraError, MemoryError) as error:
            if self._mark() == mark:  # else it was judged half-written, and the next look sees to it
                reason = "not enough memory for a second model" if isinstance(error, MemoryError) else str(error)
                self._say(MODEL_REFUSED, f"{self.name} stays, its new file is refused: {reason}", reason=reason)
            return
        if self._mark() != mark:
            return
        before, self._current = self._current.labels, new
        changes = label_changes(before, new.labels)
        self._say(MODEL_CHANGED, f"{new.name} has a new file, now in use; {changes}", labels=list(new.labels))

    def _proved(self) -> PictureClassifier:
        new = self._open()
        if self._must_prove:
            new.require_right_answers()
        # The first answer is slow, since it lays out memory; here it holds nobody up.
        answer = new(np.zeros((new.size, new.size, 3), np.uint8))
        if not np.isfinite(answer.probabilities).all():
            raise ModelError(f"{self._path}: its answer to a black picture is no number; export it again")
        return new

    def _say(self, kind: str, text: str, **data: object) -> None:
        self._tell(Event(kind, self._wall(), text, {"model": self._path.name, **data}))


def label_changes(before: Sequence[str], after: Sequence[str]) -> str:
    """In words for a person, as in "same labels" or "labels added: lily; gone: tulips"."""
    if tuple(before) == tuple(after):
        return "same labels"
    added, gone = ([label for label in one if label not in other] for one, other in ((after, before), (before, after)))
    parts = (f"{word}: {', '.join(labels)}" for word, labels in (("added", added), ("gone", gone)) if labels)
    return "labels " + ("; ".join(parts) or "in another order")
