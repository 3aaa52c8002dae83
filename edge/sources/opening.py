"""Open what a name names: one string in, a `Source` of frames out.

In:  a camera number ("0") or device ("/dev/video0", or a link to it), "picamera" or "picamera:1", a video file, a
     picture, a folder, a glob ("photos/*.jpg"), an http(s):// or rtsp(s):// address, or "test" (a moving pattern).
Out: a Source (see `edge.contract.frame`), or SourceError in one line that says what was found instead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2

from edge.base.text import shown_name
from edge.contract.frame import Capture, Clock, Frame, Sleep, Source
from edge.errors import SourceError, UsageError
from edge.picture.geometry import PHOTO_SUFFIXES
from edge.picture.video import FASTEST_FPS, open_video, quieten_opencv
from edge.sources.address import STREAM_SCHEMES, checked_address
from edge.sources.camera import CameraInfo, camera_number, cameras, differences, watched_camera
from edge.sources.files import PacedCapture, PhotoSource, RealtimeSource, VideoSource
from edge.sources.pattern import PatternSource
from edge.sources.stream import FreshCapture, open_stream
from edge.sources.watchdog import FREEZE_S, STALL_S, Patience, Tell, WatchedSource, ignore

__all__ = [
    "CameraInfo",
    "Frame",
    "Source",
    "cameras",
    "open_source",
    "open_video",
    "quieten_opencv",
    "shown_name",
]

KINDS = "a camera number, a video, a picture, a folder, a glob, an http(s):// or rtsp:// address, picamera, or test"
TEST_SIZE_WH = (640, 480)
WILDCARDS = "*?["

C = TypeVar("C", bound=Capture)


@dataclass(frozen=True)
class _Asked:
    """What a source was asked for besides its name."""

    realtime: bool
    size_wh: tuple[int, int] | None
    fps: float | None
    max_fps: float | None
    patience: Patience
    tell: Tell
    clock: Clock
    sleep: Sleep
    wall: Clock

    def __post_init__(self) -> None:
        if self.size_wh is not None and min(self.size_wh) < 1:
            raise UsageError(f"--camera-size is {self.size_wh[0]}x{self.size_wh[1]}; expected pixels, as 1280x720")
        if self.fps is not None and not 0 < self.fps <= FASTEST_FPS:
            raise UsageError(f"--camera-fps is {self.fps:g}; expected more than 0 and at most {FASTEST_FPS:g}")


def open_source(
    spec: str,
    *,
    realtime: bool = False,
    size_wh: tuple[int, int] | None = None,
    fps: float | None = None,
    max_fps: float | None = None,
    stall_s: float = STALL_S,
    freeze_s: float = FREEZE_S,
    give_up_after_s: float | None = None,
    tell: Tell = ignore,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
    wall: Clock = time.time,
) -> Source:
    """Open what `spec` names (the module says what it may be). Raises SourceError, one line, if it cannot be.

    `realtime` plays a video at its own rate; `size_wh` (pixels) and `fps` are asked of a camera, the size also of the
    test pattern. Whoever reads at most `max_fps` frames a second spares the others their decoding. Cameras and streams
    are watched: see `edge.sources.watchdog` for `stall_s`, `freeze_s`, `give_up_after_s` and what is told; with
    `give_up_after_s` one that is not there yet is waited for.
    """
    patience = Patience(stall_s, freeze_s, give_up_after_s)
    asked = _Asked(realtime, size_wh, fps, max_fps, patience, tell, clock, sleep, wall)
    scheme = spec.partition("://")[0].lower() if "://" in spec else ""
    number = camera_number(spec)
    picamera = re.fullmatch(r"picamera(?::(\d{1,2}))?", spec, re.ASCII)
    _refuse_what_it_cannot(spec, asked, is_camera=number is not None or picamera is not None)
    if number is not None:
        return _camera(number, asked)
    if picamera:
        return _picamera(int(picamera[1] or 0), asked)
    if spec == "test":
        return PatternSource(size_wh or TEST_SIZE_WH, clock=clock, sleep=sleep)
    if scheme in STREAM_SCHEMES:
        return _stream(checked_address(spec), asked)
    if scheme:
        raise SourceError(f"{shown_name(spec)}: {shown_name(scheme)}:// is not supported; expected {KINDS}")
    return _open_path(spec, asked)


def _refuse_what_it_cannot(spec: str, asked: _Asked, is_camera: bool) -> None:
    if asked.size_wh and not (is_camera or spec == "test"):
        raise UsageError(f"{shown_name(spec)} has its own size; only a camera or the test pattern can be given one")
    if asked.fps and not is_camera:
        raise UsageError(f"{shown_name(spec)} has its own rate; only a camera can be given one; see --max-fps")


def _camera(number: int, asked: _Asked) -> Source:
    camera = watched_camera(number, asked.size_wh, asked.fps)
    first = _first(camera.open, asked)
    warnings = [] if isinstance(first, SourceError) else differences(first, asked.size_wh, asked.fps)
    return _watched(f"camera {number}", camera.open, first, asked, warnings)


def _picamera(number: int, asked: _Asked) -> Source:
    from edge.sources.picamera import PicameraCapture  # picamera2 is only on a Raspberry Pi

    def open_once() -> PicameraCapture:
        return PicameraCapture(number, asked.size_wh, asked.fps)

    first = _first(open_once, asked)
    warnings = [] if isinstance(first, SourceError) else first.differences(asked.size_wh)
    return _watched(f"picamera:{number}", open_once, first, asked, warnings)


def _stream(address: str, asked: _Asked) -> Source:
    def open_once() -> cv2.VideoCapture:
        return open_stream(address, asked.patience.stall_s)

    def open_again() -> Capture:
        capture = open_once()
        return _paced(capture, asked) if _is_file(capture) else FreshCapture(capture, asked.clock)

    first = _first(open_once, asked)
    if isinstance(first, SourceError):
        return _watched(shown_name(address), open_again, first, asked)
    if _is_file(first):
        return _video_source(shown_name(address), first, asked)
    return _watched(shown_name(address), open_again, FreshCapture(first, asked.clock), asked)


def _is_file(capture: cv2.VideoCapture) -> bool:
    """Only a file on a server knows how many frames it has; grabbed like a stream it would race past."""
    return bool(capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0)


def _first(open_once: Callable[[], C], asked: _Asked) -> C | SourceError:
    """The first attempt; its failure is an error, unless there is time to try again."""
    try:
        return open_once()
    except SourceError as error:
        if asked.patience.give_up_after_s is None:
            raise
        return error


def _watched(
    name: str,
    open_once: Callable[[], Capture],
    first: Capture | SourceError,
    asked: _Asked,
    warnings: Sequence[str] = (),
) -> Source:
    return WatchedSource(
        name,
        open_once,
        first=first,
        patience=asked.patience,
        rest_s=1 / asked.max_fps if asked.max_fps else 0.0,
        tell=asked.tell,
        warnings=warnings,
        clock=asked.clock,
        sleep=asked.sleep,
        wall=asked.wall,
    )


def _open_path(spec: str, asked: _Asked) -> Source:
    path = Path(spec).expanduser()
    if not spec.strip():
        raise SourceError(f"no source was named; expected {KINDS}")
    if "\0" in spec:
        raise SourceError(f"{shown_name(spec)}: a null character; expected {KINDS}")
    name = shown_name(spec)
    if path.is_dir():
        return PhotoSource(name, _photos_in(path), clock=asked.clock)
    if path.exists():
        if path.suffix.lower() in PHOTO_SUFFIXES:
            return PhotoSource(name, [(path, path.name)], clock=asked.clock)
        return _video_source(name, open_video(path), asked)
    if any(wildcard in spec for wildcard in WILDCARDS):
        return PhotoSource(name, _photos_matching(path), clock=asked.clock)
    raise SourceError(f"no such file or folder: {name}; expected {KINDS}")


def _photos_in(folder: Path) -> list[tuple[Path, str]]:
    photos = sorted(path for path in folder.rglob("*") if _is_photo(path))
    if not photos:
        raise SourceError(
            f"{shown_name(str(folder))}: no photo in this folder or below; expected JPEG, PNG, BMP, WebP or TIFF files"
        )
    return [(path, path.relative_to(folder).as_posix()) for path in photos]


def _photos_matching(pattern: Path) -> list[tuple[Path, str]]:
    fixed = next(i for i, part in enumerate(pattern.parts) if any(wildcard in part for wildcard in WILDCARDS))
    found = Path(*pattern.parts[:fixed]).glob(str(Path(*pattern.parts[fixed:])))
    photos = sorted(path for path in found if _is_photo(path))
    if not photos:
        raise SourceError(
            f"{shown_name(str(pattern))}: matches no photo; expected a pattern such as 'photos/*.jpg', quoted"
        )
    return [(path, str(path)) for path in photos]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES and path.is_file()


def _video_source(name: str, capture: cv2.VideoCapture, asked: _Asked) -> Source:
    if not asked.realtime:
        return VideoSource(name, capture, clock=asked.clock)
    return RealtimeSource(name, _paced(capture, asked), clock=asked.clock, sleep=asked.sleep)


def _paced(capture: cv2.VideoCapture, asked: _Asked) -> PacedCapture:
    return PacedCapture(capture, capture.get(cv2.CAP_PROP_FPS), clock=asked.clock, sleep=asked.sleep)
