"""Open what a name names: one string in, a `Source` of frames out.

In:  a camera number ("0"), a video file, a picture, a folder, a glob ("photos/*.jpg"), an http(s):// or rtsp://
     address, or "test" (a moving pattern without end).
Out: a Source (see `edge.frames`), or SourceError in one line that says what was found instead.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import cv2

from edge.errors import SourceError, UsageError
from edge.frames import (
    STALL_S,
    Clock,
    Frame,
    NewestSource,
    PacedCapture,
    PatternSource,
    PhotoSource,
    Sleep,
    Source,
    VideoSource,
)
from edge.geometry import PHOTO_SUFFIXES

__all__ = ["Frame", "Source", "open_source", "open_video", "quieten_opencv", "shown_name"]

STREAM_SCHEMES = frozenset({"http", "https", "rtsp", "rtsps"})
KINDS = "a camera number, a video, a picture, a folder, a glob, an http(s):// or rtsp:// address, or test"
TEST_SIZE_WH = (640, 480)
WILDCARDS = "*?["
SILENT = 0  # the level of OpenCV's log that says nothing


def open_source(
    spec: str,
    *,
    realtime: bool = False,
    size_wh: tuple[int, int] | None = None,
    stall_s: float = STALL_S,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> Source:
    """Open what `spec` names (the module says what it may be). Raises SourceError, one line, if it cannot be.

    `realtime` plays a video at its own rate; `size_wh` asks a camera, or the test pattern, for that size in pixels.
    """
    scheme = spec.partition("://")[0].lower() if "://" in spec else ""
    camera = re.fullmatch(r"(?:/dev/video)?(\d{1,3})", spec)
    if size_wh and not (camera or spec == "test"):
        raise UsageError(f"{shown_name(spec)} has its own size; only a camera or the test pattern can be given one")
    if camera:
        return NewestSource(f"camera {camera[1]}", _open_camera(int(camera[1]), size_wh), stall_s=stall_s, clock=clock)
    if spec == "test":
        return PatternSource(size_wh or TEST_SIZE_WH, clock=clock, sleep=sleep)
    if scheme in STREAM_SCHEMES:
        capture = _open_stream(spec, stall_s)
        # Only a file on a server knows how many frames it has; grabbed like a stream it would race past.
        if capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0:
            return NewestSource(shown_name(spec), capture, stall_s=stall_s, clock=clock)
        return _video_source(shown_name(spec), capture, realtime, clock, sleep)
    if scheme:
        raise SourceError(f"{shown_name(spec)}: {scheme}:// is not supported; expected {KINDS}")
    return _open_path(spec, realtime, clock, sleep)


def shown_name(spec: str) -> str:
    """The name of a source as it may be shown and logged: an address without its user and password."""
    return re.sub(r"://[^/?#]*@", "://", spec)


def _open_path(spec: str, realtime: bool, clock: Clock, sleep: Sleep) -> Source:
    path = Path(spec).expanduser()
    if not spec.strip():
        raise SourceError(f"no source was named; expected {KINDS}")
    if path.is_dir():
        return PhotoSource(spec, _photos_in(path), clock=clock)
    if path.exists():
        if path.suffix.lower() in PHOTO_SUFFIXES:
            return PhotoSource(spec, [(path, path.name)], clock=clock)
        return _video_source(spec, open_video(path), realtime, clock, sleep)
    if any(wildcard in spec for wildcard in WILDCARDS):
        return PhotoSource(spec, _photos_matching(path), clock=clock)
    raise SourceError(f"no such file or folder: {spec}; expected {KINDS}")


def _photos_in(folder: Path) -> list[tuple[Path, str]]:
    photos = sorted(path for path in folder.rglob("*") if _is_photo(path))
    if not photos:
        raise SourceError(f"{folder}: no photo in this folder or below; expected JPEG, PNG, BMP, WebP or TIFF files")
    return [(path, path.relative_to(folder).as_posix()) for path in photos]


def _photos_matching(pattern: Path) -> list[tuple[Path, str]]:
    fixed = next(i for i, part in enumerate(pattern.parts) if any(wildcard in part for wildcard in WILDCARDS))
    found = Path(*pattern.parts[:fixed]).glob(str(Path(*pattern.parts[fixed:])))
    photos = sorted(path for path in found if _is_photo(path))
    if not photos:
        raise SourceError(f"{pattern}: matches no photo; expected a pattern such as 'photos/*.jpg', quoted")
    return [(path, str(path)) for path in photos]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()


def _video_source(name: str, capture: cv2.VideoCapture, realtime: bool, clock: Clock, sleep: Sleep) -> Source:
    if not realtime:
        return VideoSource(name, capture, clock=clock)
    paced = PacedCapture(capture, capture.get(cv2.CAP_PROP_FPS), clock=clock, sleep=sleep)
    return NewestSource(name, paced, may_end=True, clock=clock)


def open_video(path: Path) -> cv2.VideoCapture:
    """Open a video file. Raises SourceError if it is none."""
    quieten_opencv()
    # OpenCV's own AVI reader, which it tries last, would print to stderr; where there is no FFmpeg it must do.
    has_ffmpeg = cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends()
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY)
    if not capture.isOpened():
        raise SourceError(f"{path}: not a readable video; expected a video file such as .mp4, .avi or .mkv")
    return capture


def _open_stream(address: str, timeout_s: float) -> cv2.VideoCapture:
    quieten_opencv()
    limit_ms = int(timeout_s * 1000)
    # To read may take longer, so that a stall is reported as one, by whoever waits for the frame.
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 2 * limit_ms]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        shown = shown_name(address)
        raise SourceError(f"could not open {shown}: no video stream within {timeout_s:g} s; check the address")
    return capture


def _open_camera(number: int, size_wh: tuple[int, int] | None) -> cv2.VideoCapture:
    quieten_opencv()
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise SourceError(f"could not open camera {number}: {_why_no_camera(Path('/dev'), number)}")
    if size_wh:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_wh[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_wh[1])
    return capture


def _why_no_camera(devices: Path, number: int) -> str:
    device = devices / f"video{number}"
    if not device.exists():
        numbers = sorted(int(path.name[5:]) for path in devices.glob("video*") if path.name[5:].isdigit())
        here = "video devices here: " + (", ".join(map(str, numbers)) or "none")
        return f"no such device; {here}; to try without a camera: --source test"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"permission denied for {device}; add yourself to the group that owns it (often: video), log in again"
    return "it is there but refuses; another program may hold it, or it is no camera; close that program, try again"


def quieten_opencv() -> None:
    """Keep OpenCV's own lines off stderr, where they would bury ours; setting OPENCV_LOG_LEVEL brings them back."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        return
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "0")  # read when FFmpeg is first used
    # OpenCV 4 has the function at its top, OpenCV 5 only there.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(SILENT)
