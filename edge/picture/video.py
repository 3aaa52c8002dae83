"""Video files through OpenCV, and OpenCV kept quiet.

In:  the path of a video file.
Out: an open cv2.VideoCapture, or SourceError in one line.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from edge.base.text import shown_name
from edge.errors import SourceError

USUAL_FPS = 25.0  # for a video that does not say
FASTEST_FPS = 1000.0  # above this, and below 1, the number in the file is a fault


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
    # OpenCV 4 has the function at its top, OpenCV 5 only there.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(SILENT)
