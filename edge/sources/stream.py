"""Streams through OpenCV's FFmpeg, without the frames that have waited for us.

In:  the address of a stream, or of a video file on a server.
Out: a Source, or SourceError in one line.
"""

from __future__ import annotations

import time
from typing import Any

import cv2

from edge.base.text import shown_name
from edge.contract.frame import Capture, Clock, Source
from edge.errors import SourceError
from edge.picture.video import FASTEST_FPS, USUAL_FPS, quieten_opencv
from edge.sources.address import STREAM_SCHEMES, checked_address
from edge.sources.asked import Asked
from edge.sources.files import paced, video_source
from edge.sources.watchdog import Patience

READ_MARGIN_S = 1.0
LARGE_PIXELS = 1280 * 720  # above this one core of a small board may be too slow to decode in time
FIRST_SKIP_S = 2.0  # opening a stream takes FFmpeg about so long, and it keeps the frames
LONGEST_SKIP_S = 0.25  # then it is behind for good, because it cannot be decoded any faster
WAITING_SHARE = 0.25  # of the usual gap between frames
LATE_GAPS = 4  # so many usual gaps without a frame: others are waiting behind it
SLOWEST_GAP_S = 0.5  # of slower streams no frame can be spared
GAP_WEIGHT = 0.02  # of the newest gap in the usual one


def is_address(spec: str) -> bool:
    scheme, separator, _ = spec.partition("://")
    return bool(separator) and scheme.lower() in STREAM_SCHEMES


def stream_source(spec: str, asked: Asked) -> Source:
    """The stream at this address, watched; a video file there is read as one. Raises SourceError."""
    address, name = checked_address(spec), shown_name(spec)

    def open_once() -> cv2.VideoCapture:
        return open_stream(address, asked.of(Patience).stall_s)

    def open_again() -> Capture:
        capture = open_once()
        return paced(capture, asked) if _is_recorded(capture) else FreshCapture(capture, asked.clock)

    first = asked.first(open_once)
    if isinstance(first, SourceError):
        return asked.watched(name, open_again, first)
    if _is_recorded(first):
        return video_source(name, first, asked)
    return asked.watched(name, open_again, FreshCapture(first, asked.clock))


def _is_recorded(capture: cv2.VideoCapture) -> bool:
    """Only a file on a server knows how many frames it has; grabbed like a stream it would race past."""
    return bool(capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def open_stream(address: str, timeout_s: float) -> cv2.VideoCapture:
    """Open a stream within so many seconds. Raises SourceError if there is none, or the address is none."""
    checked_address(address)
    quieten_opencv()
    capture = _open_ffmpeg(address, timeout_s, threads=1)
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if width * height > LARGE_PIXELS:
        capture.release()
        capture = _open_ffmpeg(address, timeout_s, threads=None)
    return capture


def _open_ffmpeg(address: str, timeout_s: float, threads: int | None) -> cv2.VideoCapture:
    # To read may take longer, so that a stall is reported as one, by whoever waits for the frame; but not much: a
    # read that was given up on holds its thread and its connection for so long.
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(timeout_s * 1000)]
    limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int((timeout_s + READ_MARGIN_S) * 1000)]
    if threads is not None and hasattr(cv2, "CAP_PROP_N_THREADS"):
        # Each thread that decodes delays what it decodes by one frame more.
        limits += [cv2.CAP_PROP_N_THREADS, threads]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        shown = shown_name(address)
        raise SourceError(f"could not open {shown}: no video stream within {timeout_s:g} s; check the address")
    return capture


class FreshCapture:
    """A stream without the frames that have waited for us, which look as if they came just now. A Capture.

    They wait while the stream is opened, and whenever this thread did not get its turn, or the network paused; whoever
    has to wait for a frame has the newest. If the stream ends meanwhile, the last one is not passed over.
    """

    def __init__(self, capture: cv2.VideoCapture, clock: Clock = time.monotonic) -> None:
        self._capture = capture
        self._clock = clock
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._gap_s = 1 / (fps if 1 <= fps <= FASTEST_FPS else USUAL_FPS)  # HTTP cameras do not say: soon learnt
        self._came_at = clock()
        self._skip_until: float | None = self._came_at + FIRST_SKIP_S  # while it is behind
        self._skipped: tuple[bool, Any] | None = None  # the last one

    def grab(self) -> bool:
        self._skipped = None
        while True:
            asked = self._clock()
            if not self._capture.grab():
                return self._skipped is not None
            if not self._is_behind(asked, self._clock()):
                self._skipped = None
                return True
            self._skipped = self._capture.retrieve()

    def _is_behind(self, asked: float, now: float) -> bool:
        gap_s, self._came_at = now - self._came_at, now
        if self._skip_until is not None:
            if now > self._skip_until or now - asked >= WAITING_SHARE * self._gap_s:
                self._skip_until = None
        elif LATE_GAPS * self._gap_s < gap_s < LATE_GAPS * SLOWEST_GAP_S:
            self._skip_until = now + LONGEST_SKIP_S
        self._gap_s += GAP_WEIGHT * (gap_s - self._gap_s)
        return self._skip_until is not None

    def retrieve(self) -> tuple[bool, Any]:
        return self._skipped or self._capture.retrieve()

    def release(self) -> None:
        self._capture.release()
