"""Decisions in a window: the frame with the overlay; q, Esc or closing the window stops the run.

Whether there can be a window is asked first, without OpenCV: its window code ends the whole process, with no
exception to catch, where it finds no display.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Mapping

import cv2

from edge.errors import OutputError
from edge.frames import Frame
from edge.overlay import draw_overlay
from edge.smoothing import Decision

TITLE = "Flora (q stops)"
STOP_KEYS = frozenset({ord("q"), 27})  # 27 is Esc
WITHOUT = "run without --show, the terminal view needs no window"
X11_SOCKETS = "/tmp/.X11-unix/X"
X11_TCP_PORT = 6000  # plus the number of the display
CONNECT_TIMEOUT_S = 2.0


class WindowSink:
    """A window; sets `stop` when the person at it has seen enough. Raises OutputError where there can be none."""

    def __init__(self, stop: threading.Event) -> None:
        check_display(os.environ)
        check_build()
        self._stop = stop
        self._is_open = False

    def show(self, decision: Decision, frame: Frame) -> None:
        try:
            cv2.imshow(TITLE, draw_overlay(frame.image_bgr, decision))
            self._is_open = True
            key = cv2.waitKey(1) & 0xFF
            was_closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error as error:
            raise OutputError(f"no window: OpenCV refused it ({_first_line(error)}); {WITHOUT}") from error
        if key in STOP_KEYS or was_closed:
            self._stop.set()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(cv2.error):  # the person has closed it already
                cv2.destroyWindow(TITLE)


def check_display(environment: Mapping[str, str], platform: str = sys.platform) -> None:
    """Raise OutputError where a window is impossible: on Linux without a display that answers."""
    if not platform.startswith("linux") or environment.get("QT_QPA_PLATFORM") or environment.get("WAYLAND_DISPLAY"):
        return
    display = environment.get("DISPLAY", "")
    if not display:
        raise OutputError(f"no window: neither DISPLAY nor WAYLAND_DISPLAY is set, so there is no screen; {WITHOUT}")
    if not _answers(display):
        raise OutputError(f"no window: no display answers at DISPLAY={display}; start one, or {WITHOUT}")


def check_build() -> None:
    """Raise OutputError if this OpenCV was built without windows, as opencv-python-headless is."""
    if re.search(r"^\s*GUI:\s*NONE", cv2.getBuildInformation(), re.MULTILINE):
        raise OutputError(f"no window: this OpenCV has none; install Flora with [window], not [headless], or {WITHOUT}")


def _answers(display: str) -> bool:
    """True if an X server accepts a connection at `display`, such as ":0" or "localhost:10.0"."""
    match = re.fullmatch(r"(?P<host>.*):(?P<number>\d+)(\.\d+)?", display)
    if match is None:
        return False
    host, number = match["host"], int(match["number"])
    if host not in ("", "unix"):
        return _connects(socket.AF_INET, (host.removeprefix("tcp/"), X11_TCP_PORT + number))
    # Either a file or a name in Linux' abstract space, which begins with a zero byte.
    return any(_connects(socket.AF_UNIX, f"{start}{X11_SOCKETS}{number}") for start in ("", "\0"))


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_TIMEOUT_S)
        try:
            connection.connect(address)
        except OSError:
            return False
    return True


def _first_line(error: cv2.error) -> str:
    return str(error.err or error).strip().partition("\n")[0]
