"""Files as sources: photos in order, a video frame by frame, a video at its own rate.

In:  the name of a video, a picture or a folder, or a pattern that matches pictures.
Out: a Source of Frames, BGR uint8 (H, W, 3), or SourceError in one line.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.base.text import shown_name
from edge.contract.frame import Capture, Clock, Frame, Sleep, Source, is_set
from edge.errors import PhotoError, SourceError
from edge.picture.geometry import PHOTO_SUFFIXES, read_photo
from edge.picture.video import FASTEST_FPS, USUAL_FPS, open_video
from edge.sources.asked import Asked
from edge.sources.freeze import Freeze
from edge.sources.grabber import WAIT_SLICE_S, Grabber, Slot

DAMAGED_FRAMES = 5  # in a row; after that a video is at its end
WILDCARDS = "*?["


def is_file(spec: str) -> bool:
    path = _path(spec)
    return path is not None and path.exists() and not path.is_dir()


def is_folder(spec: str) -> bool:
    path = _path(spec)
    return path is not None and path.is_dir()


def is_glob(spec: str) -> bool:
    """A file whose name has a wildcard is that file."""
    path = _path(spec)
    return path is not None and not path.exists() and any(wildcard in spec for wildcard in WILDCARDS)


def file_source(spec: str, asked: Asked) -> Source:
    """A picture, or a video. Raises SourceError."""
    name, path = shown_name(spec), Path(spec).expanduser()
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return PhotoSource(name, [(path, path.name)], clock=asked.clock)
    return video_source(name, open_video(path), asked)


def folder_source(spec: str, asked: Asked) -> Source:
    """The photos in a folder and below. Raises SourceError where there is none."""
    return PhotoSource(shown_name(spec), _photos_in(Path(spec).expanduser()), clock=asked.clock)


def glob_source(spec: str, asked: Asked) -> Source:
    """The photos that a pattern matches. Raises SourceError where there is none."""
    return PhotoSource(shown_name(spec), _photos_matching(Path(spec).expanduser()), clock=asked.clock)


def video_source(name: str, capture: cv2.VideoCapture, asked: Asked) -> Source:
    """Every frame in order, or at the video's own rate."""
    if not asked.realtime:
        return VideoSource(name, capture, clock=asked.clock)
    return RealtimeSource(name, paced(capture, asked), clock=asked.clock, sleep=asked.sleep)


def paced(capture: cv2.VideoCapture, asked: Asked) -> PacedCapture:
    """At the rate that the file states."""
    return PacedCapture(capture, capture.get(cv2.CAP_PROP_FPS), clock=asked.clock, sleep=asked.sleep)


def _path(spec: str) -> Path | None:
    """None for what can be none: nothing at all, an address, what is in the home of nobody."""
    try:
        return None if not spec.strip() or "\0" in spec or "://" in spec else Path(spec).expanduser()
    except RuntimeError:
        return None


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


class RealtimeSource:
    """A file that plays at its own rate and drops frames as a camera would; its end is its end."""

    is_live = True
    reopened = 0
    warnings: Sequence[str] = ()

    def __init__(
        self, name: str, capture: Capture, *, clock: Clock = time.monotonic, sleep: Sleep = time.sleep
    ) -> None:
        self.name = name
        self._slot = Slot(name, clock)
        self._grabber = Grabber(self._slot, lambda: capture, freeze=Freeze(0.0), clock=clock, sleep=sleep)

    @property
    def dropped(self) -> int:
        return self._slot.dropped

    def read(self, stop: threading.Event | None = None) -> Frame | None:
        while not is_set(stop):
            has_ended = self._grabber.reason is not None  # asked first: the last frame may come in between
            frame = self._slot.take(0.0 if has_ended else WAIT_SLICE_S)
            if frame is not None or has_ended:
                return frame
        return None

    def close(self) -> None:
        self._grabber.let_go()
        self._grabber.join()
