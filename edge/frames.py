"""Frames, and the four kinds of source that deliver them; `edge.source` opens the right one.

Out: `Frame`s, BGR uint8 (H, W, 3), each stamped with the second of its capture.

From a camera or a stream the newest frame wins: a thread grabs all the time into a slot that holds one frame, so
nothing queues and an answer is always about now. A file is read frame by frame, unless it is to play in real time.
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

Clock = Callable[[], float]
Sleep = Callable[[float], object]

STALL_S = 10.0  # a camera may take seconds to adapt to the light, none takes ten
FAILED_READS = 5  # in a row; a USB camera may deliver a torn frame or two when it starts
USUAL_FPS = 25.0  # for a video that does not say
FASTEST_FPS = 1000.0  # above this, and below 1, the number in the file is a fault
TEST_FPS = 30.0
WAIT_SLICE_S = 0.1  # how soon a waiting read notices that it should stop


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and where it is from."""

    image_bgr: Picture  # uint8 (H, W, 3)
    number: int  # from 0 in its source, frames that were dropped included
    captured_at: float  # seconds on the source's clock
    name: str  # the photo within its folder, else the name of the source


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
    def warnings(self) -> Sequence[str]:
        """What was left out so far, one line each."""

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        """The next frame; None at the end, or once `stop` is set. Raises SourceError if the source has gone."""

    def close(self) -> None: ...


class Capture(Protocol):
    """The part of cv2.VideoCapture that is used here."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class PhotoSource:
    """Photos in order. One that cannot be read is left out with a warning; if none can, SourceError."""

    is_live = False
    dropped = 0

    def __init__(self, name: str, photos: Sequence[tuple[Path, str]], *, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._photos = iter(photos)
        self._clock = clock
        self._delivered = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        for path, name in self._photos:
            if _is_set(stop):
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
    dropped = 0
    warnings: Sequence[str] = ()

    def __init__(self, name: str, capture: Capture, *, clock: Clock = time.monotonic) -> None:
        self.name = name
        self._capture = capture
        self._clock = clock
        self._number = 0
        self._delivered = 0

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        if _is_set(stop):
            return None
        for _ in range(FAILED_READS):  # a damaged frame in the middle is not the end
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


class NewestSource:
    """A camera, a stream, or a file in real time: a thread grabs, one slot holds the newest frame.

    `may_end` tells a file, whose end is its end, from a camera, whose end is a failure.
    """

    is_live = True
    warnings: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        capture: Capture,
        *,
        may_end: bool = False,
        stall_s: float = STALL_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.dropped = 0
        self._capture = capture
        self._may_end = may_end
        self._stall_s = stall_s
        self._clock = clock
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._grabbed = 0
        self._has_ended = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._grab_all, name=f"grab {name}", daemon=True)
        self._thread.start()

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        with self._changed:
            waited_from = self._clock()
            while self._slot is None and not self._has_ended and not self._is_closing and not _is_set(stop):
                self._changed.wait(min(WAIT_SLICE_S, self._stall_s))
                if self._slot is None and self._clock() - waited_from >= self._stall_s:
                    raise SourceError(f"{self.name}: no frame for {self._stall_s:g} s; check cable and network")
            if self._is_closing or _is_set(stop):
                return None
            frame, self._slot = self._slot, None
        if frame is None and not self._may_end:
            raise SourceError(f"{self.name}: ended after {self._grabbed} frames; check that it is still there")
        return frame

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        # The thread releases the capture: to do so here, while it is inside a read, crashes OpenCV.
        self._thread.join(timeout=2.0)

    def _grab_all(self) -> None:
        failed = 0
        try:
            while not self._is_closing and failed < FAILED_READS:
                failed = 0 if self._grab_one() else failed + 1
        finally:
            self._capture.release()
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _grab_one(self) -> bool:
        if not self._capture.grab():
            return False
        captured_at = self._clock()  # before the picture is decoded
        try:
            has_image, image = self._capture.retrieve()
        except cv2.error:  # a torn frame that cannot be converted
            return False
        if not has_image:
            return False
        with self._changed:
            self.dropped += self._slot is not None
            self._slot = Frame(np.asarray(image, np.uint8), self._grabbed, captured_at, self.name)
            self._grabbed += 1
            self._changed.notify_all()
        return True


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
        if _is_set(stop):
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


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()
