"""Decisions as a clip: the frames with their overlay in an MJPEG .avi, which plays everywhere and needs no FFmpeg.

Written to a temporary name beside it and renamed when closed, so a clip that has its name is whole. The first frame
sets the size; later ones of another size are resized to it.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from edge.contract.decision import Decision
from edge.contract.event import Event
from edge.contract.frame import Frame
from edge.drawing.overlay import draw_overlay
from edge.errors import OutputError, SourceError, UsageError
from edge.picture.geometry import Picture
from edge.picture.video import open_video

ADVICE = "free some space or choose another path for the clip"
JPEG_QUALITY = 92  # of each frame
BACKLOG = 64  # decisions; with their pictures, 640x480, 60 MB


class ClipSink:
    """Annotated frames to `path`, to be played at `fps`, rounded. Without a frame nothing is left behind."""

    name = "clip"
    backlog = BACKLOG
    needs_picture = True

    def __init__(self, path: str | Path, fps: float) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() != ".avi":
            raise UsageError(f"{path}: the clip is an MJPEG .avi; give a name that ends with .avi")
        # OpenCV chooses the container by the ending, so the temporary name keeps it.
        self._partial = self._path.with_name(f".{self._path.stem}.{os.getpid()}.avi")
        self._fps = max(1, round(fps))  # the writer cuts off what follows the point
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._frames = 0
        try:
            self._partial.touch()
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); {ADVICE}") from error

    def show(self, decision: Decision, frame: Frame) -> None:
        self.add(draw_overlay(frame, decision))

    def tell(self, event: Event) -> None:
        """A clip holds the answered frames alone."""

    def add(self, picture_bgr: Picture) -> None:
        """Append one picture, BGR uint8 (H, W, 3), as it is."""
        if self._writer is None:
            self._size_wh = (picture_bgr.shape[1], picture_bgr.shape[0])
            self._writer = self._open()
        if (picture_bgr.shape[1], picture_bgr.shape[0]) != self._size_wh:
            picture_bgr = np.asarray(cv2.resize(picture_bgr, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(picture_bgr)
        self._frames += 1

    def close(self) -> None:
        """Finish the clip and give it its name. Raises OutputError if it is not whole."""
        writer, self._writer = self._writer, None
        if writer is None:
            self._partial.unlink(missing_ok=True)
            return
        writer.release()
        # The writer says nothing of a full disk: the index, written last, tells.
        if _count_frames(self._partial) != self._frames:
            self._partial.unlink(missing_ok=True)
            raise OutputError(f"{self._path}: the clip could not be written whole; {ADVICE}")
        try:
            self._partial.replace(self._path)
        except OSError as error:
            self._partial.unlink(missing_ok=True)
            raise OutputError(f"{self._path}: cannot be written ({error.strerror}); {ADVICE}") from error

    def discard(self) -> None:
        """Drop what was written: for whoever cannot finish the clip."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        self._partial.unlink(missing_ok=True)

    def _open(self) -> cv2.VideoWriter:
        codec = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(self._partial), cv2.CAP_OPENCV_MJPEG, codec, self._fps, self._size_wh)
        if not writer.isOpened():
            raise OutputError(f"{self._path}: OpenCV cannot write this clip; {ADVICE}")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, JPEG_QUALITY)
        return writer


def _count_frames(path: Path) -> int:
    try:
        capture = open_video(path)
    except SourceError:
        return 0
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count
