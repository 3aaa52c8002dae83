"""Grab frames in a thread of their own, so that the newest one wins and nothing queues.

In:  a function that opens a Capture; a Slot for one frame.
Out: `Slot.take`, the newest Frame, BGR uint8 (H, W, 3), each once; `Grabber.reason`, why there are no more.

One Grabber is one capture from its opening to its release, all in one thread: to release an OpenCV capture while
another thread is inside a read crashes. Whoever loses patience with a Grabber lets it go and takes another one.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np

from edge.contract.frame import Capture, Clock, Frame, Sleep
from edge.errors import SourceError
from edge.picture.geometry import Picture
from edge.sources.freeze import Freeze

FAILED_READS = 5  # in a row; a USB camera may deliver a torn frame or two when it starts
FAILED_READ_PAUSE_S = 0.01
SAME_PICTURE_PAUSE_S = 0.005  # a camera that has been unplugged repeats its last picture as fast as it is asked
GAP_DECAY = 0.9  # by each frame: a hiccup is forgotten within seconds
CLOSING_S = 2.0  # a read that hangs inside OpenCV is not waited for any longer
WAIT_SLICE_S = 0.1  # how soon a waiting read notices that it should stop


class Slot:
    """Room for one frame: a newer one replaces it."""

    def __init__(self, name: str, clock: Clock, rest_s: float = 0.0) -> None:
        """`rest_s`: whoever takes a frame does not come for the next one before so many seconds have passed."""
        self.changed = threading.Condition()
        self.dropped = 0
        self.grabbed = 0
        self.picture_at = clock()  # when the newest picture was captured, that of a frozen camera not counted
        self._name = name
        self._frame: Frame | None = None
        self._clock, self._rest_s = clock, rest_s
        self._wanted_at = -math.inf

    def is_wanted(self, captured_at: float, gap_s: float) -> bool:
        """False while nobody will come for this frame, or the next one."""
        return captured_at >= self._wanted_at - 2 * gap_s

    def skip(self, captured_at: float) -> None:
        """A frame came that is not worth decoding."""
        with self.changed:
            self.grabbed += 1
            self.dropped += 1
            self.picture_at = captured_at

    @property
    def has_frame(self) -> bool:
        return self._frame is not None

    def put(self, image: Picture, captured_at: float) -> None:
        with self.changed:
            self.clear()
            self._frame = Frame(image, self.grabbed, captured_at, self._name)
            self.grabbed += 1
            self.picture_at = captured_at
            self.changed.notify_all()

    def clear(self) -> None:
        with self.changed:
            self.dropped += self._frame is not None
            self._frame = None

    def take(self, wait_s: float = 0.0) -> Frame | None:
        """The frame, if there is one now, or something changes within `wait_s`."""
        with self.changed:
            if self._frame is None and wait_s > 0:
                self.changed.wait(wait_s)
            frame, self._frame = self._frame, None
            if frame is not None and self._rest_s > 0:
                self._wanted_at = self._clock() + self._rest_s
            return frame


class Grabber:
    """Opens a capture and grabs until it fails, freezes or is let go; then releases it. Starts at once."""

    def __init__(
        self,
        slot: Slot,
        open_capture: Callable[[], Capture],
        *,
        freeze: Freeze,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.reason: str | None = None  # why it has ended; None while it goes on
        self.is_open = False
        self.alive_at = clock()  # of its start, its opening and then its newest frame
        self.first_at: float | None = None  # of its first frame
        self.gap_s = 0.0  # the longest between frames of late
        self._slot = slot
        self._open_capture = open_capture
        self._freeze = freeze
        self._clock = clock
        self._sleep = sleep
        self._is_let_go = self._is_frozen = False
        self._thread = threading.Thread(target=self._run, name="grab", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True until its thread has ended, and so the capture is released."""
        return self._thread.is_alive()

    @property
    def lasted_s(self) -> float:
        """How long it has delivered."""
        return 0.0 if self.first_at is None else self.alive_at - self.first_at

    def let_go(self) -> None:
        """No frame of it counts from now on; it releases its capture as soon as it can, perhaps never."""
        with self._slot.changed:
            self._is_let_go = True

    def join(self, timeout_s: float = CLOSING_S) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        reason = "its reader failed; please report that"
        try:
            reason = self._open_and_grab()
        except SourceError as error:
            reason = str(error)
        finally:
            with self._slot.changed:
                self.reason = reason
                self._slot.changed.notify_all()

    def _open_and_grab(self) -> str:
        with contextlib.ExitStack() as undo:
            capture = self._open_capture()
            undo.callback(capture.release)
            self.alive_at, self.is_open = self._clock(), True
            self._freeze.restart()
            return self._grab_all(capture)

    def _grab_all(self, capture: Capture) -> str:
        """Returns why it is over."""
        failed = grabbed = 0
        while not self._is_let_go:
            if self._grab_one(capture):
                failed, grabbed = 0, grabbed + 1
                continue
            if self._is_frozen:
                return f"the same picture, bit by bit, for {self.alive_at - self._slot.picture_at:.1f} s"
            failed += 1
            if failed >= FAILED_READS:
                return f"ended after {grabbed} frames"
            self._sleep(FAILED_READ_PAUSE_S)
        return "it was let go"

    def _grab_one(self, capture: Capture) -> bool:
        """False if there was no frame, or the picture is frozen."""
        try:
            if not capture.grab():
                return False
            captured_at = self._clock()  # before the picture is decoded
            if not self._slot.is_wanted(captured_at, self.gap_s):
                self._skip(captured_at)
                return True
            has_image, image = capture.retrieve()
        except cv2.error:  # a torn frame that cannot be converted
            return False
        return bool(has_image) and self._deliver(np.asarray(image, np.uint8), captured_at)

    def _skip(self, captured_at: float) -> None:
        with self._slot.changed:
            if not self._is_let_go:
                self._note_life(captured_at)
                self._slot.skip(captured_at)

    def _note_life(self, captured_at: float) -> None:
        self.first_at = captured_at if self.first_at is None else self.first_at
        self.gap_s = max(captured_at - self.alive_at, self.gap_s * GAP_DECAY)
        self.alive_at = captured_at

    def _deliver(self, image: Picture, captured_at: float) -> bool:
        """False if the picture is frozen."""
        with self._slot.changed:
            if self._is_let_go:
                return True
            self._note_life(captured_at)
            if self._freeze.is_frozen(image, captured_at):
                self._slot.clear()
                self._slot.picture_at = self._freeze.since
                self._is_frozen = True
                return False
            self._slot.put(image, captured_at)
        if self._freeze.is_same:
            self._sleep(SAME_PICTURE_PAUSE_S)
        return True
