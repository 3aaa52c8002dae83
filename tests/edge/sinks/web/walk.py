"""A walk past real flowers, with the bundled model: what the page looks like after ten minutes of use.

In:  the shared flower photos.
Out: a site that has seen ten of them, a minute each, and goes on looking at the last.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from edge.base.intervals import Percentiles
from edge.contract.decision import Decision
from edge.contract.event import NO_PICTURE, PICTURE_BACK, STARTED, Event
from edge.contract.frame import Frame
from edge.live.sightings import Sightings
from edge.live.smoothing import Smoother
from edge.model.classifier import Classifier
from edge.picture.geometry import Picture, read_photo
from edge.sinks.uncertain.store import UncertainStore
from tests.edge.sinks.web.serving import Served, health, with_evidence

SECONDS, EACH_S, GAP_S = 600, 60, 6  # in all; of one photo; of them without a picture, at its end
VIEW_WH = (640, 480)
SOURCE = "camera 0"


class Walk:
    """Pictures with answers, for one site and one store of uncertain frames."""

    def __init__(self, run: Served, store: UncertainStore, classify: Classifier, shared: Path) -> None:
        self._run, self._store, self._classify = run, store, classify
        self._photos = [_enlarged(read_photo(path)) for path in _photos(shared)]
        self._smoother, self._sightings = Smoother(0.5, 0.1), Sightings()
        run.now[0] = health(
            labels=classify.labels, model=classify.name, source=SOURCE, uptime_s=float(SECONDS), frames=8931,
            age_ms=Percentiles(38.2, 47.5, 61.0), invoke_ms=Percentiles(14.1, 16.9, 21.3), cpu_share=0.31,
            dropped=17, memory_mb=84.0, temperature_c=56.0, is_throttled=False, changes_per_minute=1.4,
        )  # fmt: skip

    def past(self) -> None:
        """The ten minutes, at once."""
        began = time.time() - SECONDS
        self._run.site.scene.tell(Event(STARTED, began, f"started: {SOURCE} with {self._classify.name}"))
        for second in range(SECONDS):
            photo, within = divmod(second, EACH_S)
            if within < EACH_S - GAP_S:
                self._look(self._photos[photo % len(self._photos)], within / EACH_S, second, began + second)
        self._miss(began + 4 * EACH_S - GAP_S)

    @contextmanager
    def live(self) -> Iterator[None]:
        """The present, at fifteen pictures a second."""
        stop = threading.Event()

        def look() -> None:
            for number in count(SECONDS):
                self._look(self._photos[-1], number % 150 / 300, number, time.time())
                if stop.wait(1 / 15):
                    return

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, photo: Picture, progress: float, number: int, at: float) -> None:
        frame = Frame(_view(photo, progress), number, at, SOURCE)
        result = self._classify(frame.seen_bgr)
        probabilities, index = self._smoother.update(result.probabilities, at)
        shown = Decision(at, SOURCE, number, SOURCE, result, probabilities, index, wait_ms=30.0, age_ms=38.0)
        for event in self._sightings.add(shown):
            self._run.site.scene.tell(event)
        self._store.offer(shown, frame)
        self._run.show(_with_own_evidence(shown, frame.seen_bgr), frame)

    def _miss(self, at: float) -> None:
        reason = "no frame from the camera"
        self._run.site.scene.tell(Event(NO_PICTURE, at, reason, {"seconds": 2.0, "reason": reason}))
        self._run.site.scene.tell(Event(PICTURE_BACK, at + GAP_S, f"picture back after {GAP_S} s", {}))


def _with_own_evidence(shown: Decision, seen_bgr: Picture) -> Decision:
    """The bundled file puts out no evidence: a coarse map of what is colourful stands in for it."""
    height, width = seen_bgr.shape[:2]
    left = (width - height) // 2
    hsv = cv2.cvtColor(np.ascontiguousarray(seen_bgr[:, left : left + height]), cv2.COLOR_BGR2HSV)
    coarse = cv2.resize(hsv[..., 1], (7, 7), interpolation=cv2.INTER_AREA).astype(np.float32) - 110
    evidence = np.repeat(coarse[..., None], len(shown.probabilities), axis=2)
    return replace(with_evidence(shown, evidence), probabilities=shown.probabilities)


def _photos(shared: Path) -> list[Path]:
    """Two of each class; the same ones every time, sunflowers last."""
    folders = sorted(path for path in (shared / "flower_photos").iterdir() if path.is_dir())
    two_each = [random.Random(2).sample(sorted(folder.glob("*.jpg")), 2) for folder in folders]
    mixed = random.Random(5).sample(two_each, len(two_each))
    return [path for two in sorted(mixed, key=_are_sunflowers) for path in two]


def _are_sunflowers(photos: list[Path]) -> bool:
    return photos[0].parent.name == "sunflowers"


def _enlarged(photo: Picture) -> Picture:
    """A little larger than the view, so that the view can move."""
    factor = 1.15 * max(VIEW_WH[0] / photo.shape[1], VIEW_WH[1] / photo.shape[0])
    return np.asarray(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def _view(photo: Picture, progress: float) -> Picture:
    """A part of the photo; `progress` 0..1 moves it from corner to corner."""
    top = int((photo.shape[0] - VIEW_WH[1]) * progress)
    left = int((photo.shape[1] - VIEW_WH[0]) * progress)
    return np.ascontiguousarray(photo[top : top + VIEW_WH[1], left : left + VIEW_WH[0]])
