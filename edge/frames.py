"""Frames, and the kinds of source that need no thread; `edge.source` opens the right one.

Out: `Frame`s, BGR uint8 (H, W, 3), each stamped with the second of its capture.

A file is read frame by frame, unless it is to play in real time. From a camera or a stream the newest frame wins:
see `edge.grabber` and `edge.watchdog`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from edge.errors import PhotoError, SourceError
from edge.geometry import Picture, read_photo
from edge.roi import WHOLE, Roi

Clock = Callable[[], float]
Sleep = Callable[[float], object]

DAMAGED_FRAMES = 5  # in a row; after that a video is at its end
USUAL_FPS = 25.0  # for a video that does not say
FASTEST_FPS = 1000.0  # above this, and below 1, the number in the file is a fault
TEST_FPS = 30.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and where it is from."""

    image_bgr: Picture  # uint8 (H, W, 3)
    number: int  # from 0 in its source, frames that were dropped included
    captured_at: float  # seconds on the source's clock
    name: str  # the photo within its folder, else the name of the source
    roi: Roi = WHOLE  # the region that is looked at

    @property
    def seen_bgr(self) -> Picture:
        """The region that is looked at, a view (h, w, 3); the model sees its centre square."""
        return self.image_bgr if self.roi is WHOLE else self.roi.crop(self.image_bgr)

    @property
    def square(self) -> tuple[int, int, int]:
        """(top, left, side) of what the model sees, in pixels of `image_bgr`."""
        height, width = self.image_bgr.shape[:2]
        return self.roi.square(height, width)


class Source(Protocol):
    """Frames, one after another. `close` may be called twice."""

    @property
    def name(self) -> str: ...
    @property
    def is_live(self) -> bool:
        """True if frames arrive at their own pace and the newest wins."""

    @property
    def dropped(self) -> int:
        """Frames that a newer one replaced before they were read."""

    @property
    def reopened(self) -> int:
        """Times that it was opened again after it had failed."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was left out so far, or is not as it was asked for, one line each."""

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        """The next frame; None at the end, or once `stop` is set. Raises SourceError if the source has gone."""

    def close(self) -> None: ...


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here; `grab` and `retrieve` may also raise SourceError."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class PhotoSource:
    """Photos in order. One that cannot be read is left out with a warning; if none can, SourceError."""

    is_live = False
    dropped = reopened = 0

    def __init__(self, name: str, photos: Sequence[tuple[Path, str]], *, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._photos = iter(photos)
        self._clock = clock
        self._delivered = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        for path, name in self._photos:
            if is_set(stop):
                return None
            try:
                image = read_photo(path)
            except PhotoError as error:
                self.warnings.append(str(error))
                continue
            self._delivered += 1
            return Frame(image, self._delivered - 1, self._clock(), name)
        if self._delivered == 0 and self.warnings:
            raise SourceError(self._nothing_readable())
        return None

    def close(self) -> None:
        self._photos = iter(())

    def _nothing_readable(self) -> str:
        if len(self.warnings) == 1:
            return self.warnings[0]
        return f"{self.name}: none of its {len(self.warnings)} photos can be read; the first: {self.warnings[0]}"


class VideoSource:
    """A video file, every frame in order."""

    is_live = False
    dropped = reopened = 0
    warnings: Sequence[str] = ()

    def __init__(self, name: str, capture: Capture, *, clock: Clock = time.monotonic) -> None:
        self.name = name
        self._capture = capture
        self._clock = clock
        self._number = 0
        self._delivered = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        if is_set(stop):
            return None
        for _ in range(DAMAGED_FRAMES):  # one in the middle is not the end
            if not self._capture.grab():
                break
            has_image, image = self._capture.retrieve()
            self._number += 1
            if has_image:
                self._delivered += 1
                return Frame(np.asarray(image, np.uint8), self._number - 1, self._clock(), self.name)
        if self._delivered == 0:
            raise SourceError(f"{self.name}: holds no readable frame; expected a video; does it play elsewhere?")
        return None

    def close(self) -> None:
        self._capture.release()


class PacedCapture:
    """A capture that delivers at `fps`, as the camera did that recorded it."""

    def __init__(self, capture: Capture, fps: float, *, clock: Clock, sleep: Sleep) -> None:
        self.fps = fps if 1 <= fps <= FASTEST_FPS else USUAL_FPS
        self._capture = capture
        self._clock = clock
        self._sleep = sleep
        self._due_at: float | None = None

    def grab(self) -> bool:
        now = self._clock()
        due_at = now if self._due_at is None else self._due_at
        if due_at > now:
            self._sleep(due_at - now)
        self._due_at = due_at + 1 / self.fps
        return self._capture.grab()

    def retrieve(self) -> tuple[bool, Any]:
        return self._capture.retrieve()

    def release(self) -> None:
        self._capture.release()


class PatternSource:
    """A moving pattern at 30 frames a second, for trying Flora without a camera: seeded, each frame by its number."""

    name = "test"
    is_live = True
    reopened = 0
    warnings: Sequence[str] = ()

    def __init__(self, size_wh: tuple[int, int], *, clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> None:
        self.dropped = 0
        self._clock = clock
        self._sleep = sleep
        self._started_at = clock()
        self._next = 0
        width, height = size_wh
        coarse = np.random.default_rng(0).integers(40, 216, (6, 16, 3), np.uint8)
        coarse[:, -1] = coarse[:, 0]  # so that the background joins itself where it wraps
        self._background = np.asarray(cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        self._size_wh = size_wh

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        if is_set(stop):
            return None
        wait_s = self._started_at + self._next / TEST_FPS - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)
        now = self._clock()
        number = max(self._next, int((now - self._started_at) * TEST_FPS))
        self.dropped += number - self._next
        self._next = number + 1
        return Frame(self.image(number), number, now, self.name)

    def image(self, number: int) -> Picture:
        """Frame `number`: a background that scrolls by 2 pixels, a disc that circles every 4 s."""
        width, height = self._size_wh
        frame = np.roll(self._background, -2 * number, axis=1)[:, :width].copy()
        angle = 2 * math.pi * number / (4 * TEST_FPS)
        radius = min(width, height) // 6
        centre = (width // 2 + int(2 * radius * math.cos(angle)), height // 2 + int(2 * radius * math.sin(angle)))
        cv2.circle(frame, centre, radius, (40, 200, 250), -1, cv2.LINE_AA)
        cv2.circle(frame, centre, radius // 3, (30, 60, 110), -1, cv2.LINE_AA)
        return frame

    def close(self) -> None:
        """Nothing is held."""


def is_set(stop: threading.Event | None) -> bool:
    """Whether there is such an event, and it has happened."""
    return stop is not None and stop.is_set()
