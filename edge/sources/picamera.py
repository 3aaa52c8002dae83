"""The Raspberry Pi's own cameras, through picamera2, which only the Pi's system Python has.

In:  the number of a camera; (width, height) in pixels; frames a second.
Out: a Capture whose pictures are BGR uint8 (H, W, 3).

picamera2 names its formats as the kernel does, by the order of a word's bits and not by that of the bytes: what it
calls "RGB888" lies in memory as blue, green, red, which is what OpenCV and all of Flora expect. So it is asked for
here, and nowhere else is anything swapped.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from typing import Any

import numpy as np

from edge.base.text import one_line
from edge.contract.frame import Source
from edge.errors import DependencyError, SourceError
from edge.picture.geometry import Picture
from edge.sources.asked import Asked
from edge.sources.camera import CameraInfo, CameraOptions, other_size

BGR_IN_MEMORY = "RGB888"
USUAL_SIZE_WH = (640, 480)
MICROSECONDS = 1_000_000
LONGEST_REASON = 160  # characters
NAME = re.compile(r"picamera(?::(\d{1,2}))?", re.ASCII)
# What picamera2 and libcamera raise for a camera that is missing, held by another program, or has gone.
FAILURES = (RuntimeError, OSError, IndexError, ValueError)


def is_picamera(spec: str) -> bool:
    return NAME.fullmatch(spec) is not None


def picamera_source(spec: str, asked: Asked) -> Source:
    """The camera of a Raspberry Pi that `spec` names, watched. Raises SourceError and DependencyError."""
    match, options = NAME.fullmatch(spec), asked.of(CameraOptions)
    number = int(match[1] or 0) if match else 0

    def open_once() -> PicameraCapture:
        return PicameraCapture(number, options.size_wh, options.fps)

    first = asked.first(open_once)
    warnings = [] if isinstance(first, SourceError) else first.differences(options.size_wh)
    return asked.watched(f"picamera:{number}", open_once, first, warnings)


class PicameraCapture:
    """One camera, running. A Capture."""

    def __init__(self, number: int, size_wh: tuple[int, int] | None = None, fps: float | None = None) -> None:
        self._request: Any = None
        self._camera = _started(number, size_wh or USUAL_SIZE_WH, fps)

    def differences(self, size_wh: tuple[int, int] | None) -> list[str]:
        """What it gives instead of what it was asked for, one line each."""
        width, height = self._camera.camera_configuration()["main"]["size"]
        return other_size(size_wh, (width, height))

    def grab(self) -> bool:
        self._let_request_go()
        try:
            self._request = self._camera.capture_request()
        except FAILURES as error:
            raise SourceError(f"the camera stopped ({_reason(error)})") from error
        return self._request is not None

    def retrieve(self) -> tuple[bool, Picture | None]:
        if self._request is None:
            return False, None
        image = np.array(self._request.make_array("main"), np.uint8)  # a copy: the memory goes back to the camera
        self._let_request_go()
        return True, image

    def release(self) -> None:
        self._let_request_go()
        _close(self._camera)

    def _let_request_go(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()


def _started(number: int, size_wh: tuple[int, int], fps: float | None) -> Any:
    picamera2 = _picamera2()
    try:
        camera = picamera2.Picamera2(number)
    except FAILURES as error:
        raise SourceError(
            f"could not open picamera:{number}: {_reason(error)}; close other programs that use it; "
            "list cameras with: rpicam-hello --list-cameras"
        ) from error
    controls = {"FrameDurationLimits": (round(MICROSECONDS / fps),) * 2} if fps else {}
    try:
        camera.configure(
            camera.create_video_configuration(main={"size": size_wh, "format": BGR_IN_MEMORY}, controls=controls)
        )
        camera.start()
    except FAILURES as error:
        with contextlib.suppress(SourceError):  # why it did not start says more
            _close(camera)
        raise SourceError(
            f"could not open picamera:{number}: {_reason(error)} with {size_wh[0]}x{size_wh[1]}; try 640x480"
        ) from error
    return camera


def _close(camera: Any) -> None:
    try:
        camera.stop()
        camera.close()
    except FAILURES as error:
        raise SourceError(f"the camera could not be closed ({_reason(error)})") from error


def _picamera2() -> Any:
    try:
        return importlib.import_module("picamera2")
    except ValueError as error:  # one of its compiled parts was made for NumPy 1, and NumPy 2 is here
        raise DependencyError(
            f"picamera2 and NumPy {np.__version__} do not fit ({_reason(error)}); "
            "install a newer part with: pip install --upgrade simplejpeg"
        ) from error
    except ImportError as error:
        raise DependencyError(
            f"picamera2 cannot be imported ({_reason(error)}); install it with: apt install python3-picamera2; "
            "a virtual environment sees it only if it was made with: python3 -m venv --system-site-packages"
        ) from error


def picameras() -> list[CameraInfo]:
    """The Pi's own cameras. Raises DependencyError where picamera2 is missing."""
    found = _picamera2().Picamera2.global_camera_info()
    return [
        CameraInfo(f"picamera:{number}", "", str(camera.get("Model", "unknown")), None)
        for number, camera in enumerate(found)
    ]


def _reason(error: BaseException) -> str:
    return one_line(str(error), LONGEST_REASON) or type(error).__name__
