"""Cameras that Linux shows as /dev/videoN: open one with a size and a rate, list those that are there.

In:  the number of a camera, or a path below /dev that leads to one; (width, height) in pixels; frames a second.
Out: an open cv2.VideoCapture, or SourceError in one line that says why there is none; CameraInfo for each camera.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge.base.options import option
from edge.base.text import printable
from edge.contract.frame import Source
from edge.errors import SourceError, UsageError
from edge.picture.video import FASTEST_FPS, quieten_opencv
from edge.sources import v4l2
from edge.sources.asked import Asked
from edge.sources.v4l2 import Mode

DEVICES = Path("/dev")
MJPG = cv2.VideoWriter.fourcc(*"MJPG")
RAW_BYTES_PER_S = 24e6  # what USB 2 has room for; beyond it raw pictures come ever more slowly, or not at all
RAW_BYTES_PER_PIXEL = 2
USUAL_FPS = 30.0
RATE_TOLERANCE = 0.1


def size_of(typed: str) -> tuple[int, int]:
    """(width, height) of "1280x720". Raises UsageError."""
    width, _, height = typed.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--camera-size {typed}: expected width x height in pixels, as 1280x720")
    return int(width), int(height)


@dataclass(frozen=True)
class CameraOptions:
    """What a camera is asked for; it may give something else."""

    size_wh: tuple[int, int] | None = option(
        None, "size asked of a camera, pixels, as 1280x720", metavar="WxH", flag="--camera-size", read=size_of
    )
    fps: float | None = option(None, "frames a second asked of a camera", flag="--camera-fps")

    def __post_init__(self) -> None:
        if self.size_wh is not None and min(self.size_wh) < 1:
            raise UsageError(f"--camera-size is {self.size_wh[0]}x{self.size_wh[1]}; expected pixels, as 1280x720")
        if self.fps is not None and not 0 < self.fps <= FASTEST_FPS:
            raise UsageError(f"--camera-fps is {self.fps:g}; expected more than 0 and at most {FASTEST_FPS:g}")


@dataclass(frozen=True)
class CameraInfo:
    """A camera that is there."""

    source: str  # what to give as --source
    device: str  # as /dev/video0; empty where it has none
    name: str
    problem: str | None  # why it cannot be opened; None if it can
    modes: tuple[Mode, ...] = ()


@dataclass(frozen=True)
class Camera:
    """One camera that can be opened again and again, also after it was plugged in again with another number."""

    number: int
    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    socket: Path | None = None  # the link that names the socket it is plugged in to

    def open(self) -> cv2.VideoCapture:
        """Raises SourceError, one line."""
        number = camera_number(str(self.socket), DEVICES) if self.socket and self.socket.exists() else None
        return open_camera(self.number if number is None else number, self.size_wh, self.fps)


def is_camera(spec: str) -> bool:
    return camera_number(spec) is not None


def camera_source(spec: str, asked: Asked) -> Source:
    """The camera that `spec` names, watched. Raises SourceError."""
    number, options = camera_number(spec), asked.of(CameraOptions)
    assert number is not None, spec
    camera = watched_camera(number, options.size_wh, options.fps)
    first = asked.first(camera.open)
    warnings = [] if isinstance(first, SourceError) else differences(first, options.size_wh, options.fps)
    return asked.watched(f"camera {number}", camera.open, first, warnings)


def watched_camera(
    number: int, size_wh: tuple[int, int] | None = None, fps: float | None = None, *, devices: Path = DEVICES
) -> Camera:
    """The camera that has this number now."""
    return Camera(number, size_wh, fps, _socket(devices, number))


def camera_number(spec: str, devices: Path = DEVICES) -> int | None:
    """Of "0", "/dev/video0" or a link to it such as those in /dev/v4l/by-id; None if it names no camera."""
    if re.fullmatch(r"\d{1,3}", spec, re.ASCII):
        return int(spec)
    if not Path(spec).is_relative_to(devices):
        return None
    match = re.fullmatch(r"video(\d{1,3})", Path(os.path.realpath(spec)).name, re.ASCII)
    return int(match[1]) if match else None


def _socket(devices: Path, number: int) -> Path | None:
    """A camera unplugged while it is open may come back with another number, but its socket keeps its name."""
    links = sorted((devices / "v4l" / "by-path").glob("*"))
    return next((link for link in links if camera_number(str(link), devices) == number), None)


def open_camera(number: int, size_wh: tuple[int, int] | None = None, fps: float | None = None) -> cv2.VideoCapture:
    """Raises SourceError if it cannot be opened; a size or rate that it does not have is no error."""
    quieten_opencv()
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise SourceError(f"could not open camera {number}: {_why_no_camera(DEVICES, number)}")
    # The format first: it decides which sizes there are, and the size which rates.
    if size_wh and _is_too_much_raw(size_wh, fps):
        capture.set(cv2.CAP_PROP_FOURCC, MJPG)
    if size_wh:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_wh[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_wh[1])
    if fps:
        capture.set(cv2.CAP_PROP_FPS, fps)
    return capture


def _is_too_much_raw(size_wh: tuple[int, int], fps: float | None) -> bool:
    return size_wh[0] * size_wh[1] * RAW_BYTES_PER_PIXEL * (fps or USUAL_FPS) > RAW_BYTES_PER_S


def differences(capture: cv2.VideoCapture, size_wh: tuple[int, int] | None, fps: float | None) -> list[str]:
    """What the camera gives instead of what it was asked for, one line each."""
    given_wh = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    found = other_size(size_wh, given_wh)
    given_fps = capture.get(cv2.CAP_PROP_FPS)
    if fps and given_fps > 0 and abs(given_fps - fps) > RATE_TOLERANCE * fps:
        found.append(f"asked for {fps:g} frames/s, the camera gives {given_fps:g}")
    return found


def other_size(asked_wh: tuple[int, int] | None, given_wh: tuple[int, int]) -> list[str]:
    if asked_wh is None or asked_wh == given_wh:
        return []
    asked, given = (f"{width}x{height}" for width, height in (asked_wh, given_wh))
    return [f"asked for {asked}, the camera gives {given}; its modes are listed by: flora doctor"]


def _why_no_camera(devices: Path, number: int) -> str:
    device = devices / f"video{number}"
    if not device.exists():
        numbers = sorted(int(path.name[5:]) for path in devices.glob("video*") if path.name[5:].isdigit())
        here = "video devices here: " + (", ".join(map(str, numbers)) or "none")
        return f"no such device; {here}; to try without a camera: --source test"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"permission denied for {device}; add yourself to the group that owns it (often: video), log in again"
    return "it is there but refuses; another program may hold it, or it is no camera; close that program, try again"


def cameras(root: Path = Path("/"), describe: Callable[[Path], v4l2.Device] = v4l2.describe) -> list[CameraInfo]:
    """Those that the kernel lists below /sys, by number; what delivers no pictures, as metadata, is left out."""
    folder = root / "sys/class/video4linux"
    numbers = sorted(int(path.name[5:]) for path in folder.glob("video*") if path.name[5:].isdigit())
    found = (_info(root, number, describe) for number in numbers)
    return [info for info in found if info is not None]


def _info(root: Path, number: int, describe: Callable[[Path], v4l2.Device]) -> CameraInfo | None:
    device = root / f"dev/video{number}"
    name = _read_name(root / f"sys/class/video4linux/video{number}/name")
    try:
        found = describe(device)
    except OSError as error:
        return CameraInfo(str(number), str(device), name, error.strerror or str(error))
    return CameraInfo(str(number), str(device), name or found.card, None, found.modes) if found.is_camera else None


def _read_name(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return printable(text.strip())
