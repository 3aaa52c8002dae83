"""Video files through OpenCV, read and written, and OpenCV kept quiet.

In:  the path of a video file; or pictures, BGR uint8 (H, W, 3), to write to one.
Out: an open cv2.VideoCapture, or SourceError in one line; an .avi file that is whole, or OutputError in one line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.base.text import shown_name
from edge.errors import OutputError, SourceError, UsageError
from edge.picture.geometry import Picture

USUAL_FPS = 25.0  # for a video that does not say
FASTEST_FPS = 1000.0  # above this, and below 1, the number in the file is a fault
JPEG_QUALITY = 92  # of each frame that is written
ADVICE = "free some space or choose another path for the clip"
SILENT = 0  # the level of OpenCV's log that says nothing


def open_video(path: Path) -> cv2.VideoCapture:
    """Open a video file. Raises SourceError if it is none."""
    quieten_opencv()
    # OpenCV's own AVI reader, which it tries last, would print to stderr; where there is no FFmpeg it must do.
    has_ffmpeg = cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends()
    # Absolute, because FFmpeg takes a name such as "concat:a" for one of its protocols.
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY)
    if not capture.isOpened():
        raise SourceError(f"{shown_name(str(path))}: not a readable video; expected a video file such as .mp4 or .avi")
    return capture


def quieten_opencv() -> None:
    """Keep OpenCV's own lines off stderr, where they would bury ours; setting OPENCV_LOG_LEVEL brings them back."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "0")  # read when FFmpeg is first used
    _log().setLogLevel(SILENT)


@contextlib.contextmanager
def opencv_quiet() -> Iterator[None]:
    """The same for a while, whatever OPENCV_LOG_LEVEL says: for who tells what is wrong with a file by himself."""
    level = _log().getLogLevel()
    _log().setLogLevel(SILENT)
    try:
        yield
    finally:
        _log().setLogLevel(level)


def _log() -> Any:
    """What sets the level of OpenCV's log: OpenCV 4 has it at its top, OpenCV 5 only there."""
    return cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging


class VideoWriter:
    """Pictures to `path`, an MJPEG .avi, which plays everywhere and needs no FFmpeg, to be played at `fps`, rounded.

    Written to a temporary name beside it and renamed when closed, so a clip that has its name is whole. The first
    picture sets the size; later ones of another size are resized to it. Without a picture nothing is left behind.
    """

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
        """Finish the clip and give it its name; may be called twice. Raises OutputError if it is not whole."""
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
