"""A moving pattern, for trying Flora without a camera."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import cv2
import numpy as np

from edge.contract.frame import Clock, Frame, Sleep, Source, is_set
from edge.picture.geometry import Picture
from edge.sources.asked import Asked
from edge.sources.camera import CameraOptions

TEST_FPS = 30.0
USUAL_SIZE_WH = (640, 480)


def is_pattern(spec: str) -> bool:
    return spec == PatternSource.name


def pattern_source(spec: str, asked: Asked) -> Source:
    """The pattern, in the size asked of a camera."""
    return PatternSource(asked.of(CameraOptions).size_wh or USUAL_SIZE_WH, clock=asked.clock, sleep=asked.sleep)


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
